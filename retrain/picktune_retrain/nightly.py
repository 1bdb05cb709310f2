"""One night: the picks in the log become an adapter, and if it passes, it joins the blind slates."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from picktune.records import utc_now
from picktune.settings import Settings
from picktune_adapters import AdapterVersion, AliasChange

from picktune_retrain import curves, mixture, nights
from picktune_retrain import dataset as datasets
from picktune_retrain.basemodel import base_model
from picktune_retrain.budget import GIB, Deadline, check_room, disk_need
from picktune_retrain.comparison import Comparison
from picktune_retrain.evaluate import Judgement
from picktune_retrain.gate import admit
from picktune_retrain.plan import Plan, Quiet, Summary, Watch
from picktune_retrain.preflight import (
    check_base,
    check_extra,
    check_log,
    check_served,
    interrupted,
    nothing_to_do,
)
from picktune_retrain.records import Decision, TrainingRun
from picktune_retrain.report import Account
from picktune_retrain.retention import drop_checkpoints
from picktune_retrain.stages import Stages


def nightly(
    settings: Settings,
    plan: Plan | None = None,
    *,
    watch: Watch | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    now: Callable[[], datetime] = utc_now,
) -> Summary:
    """Run one night, or go on with the one that was interrupted, and say how it ended.

    Whatever fails raises an error that says what to do; champion and challenger are then as they were, what
    was done is kept, and the next run goes on from there. ``should_stop`` is asked before every stage and at
    every step of the training; ``now`` is the clock.
    """
    plan, watch, home = plan or Plan(), watch or Quiet(), settings.folder
    mixture.check(plan.recipe)
    curves.check(plan.tensorboard)
    check_served(settings, plan, watch.note)
    stages = Stages(settings, plan, watch, Deadline(plan.stop_after, should_stop, watch.note), now)
    if plan.dry_run:
        return rehearse(stages)
    check_log(settings)
    with nights.exclusive(home, now()), nights.disk_has_room(home):
        base = base_model(settings.model)
        check_base(stages.registry, home, base, plan)
        night = interrupted(home, settings, plan, base, watch.note, now())
        if night is None:
            fresh = stages.read_the_log()
            if why := nothing_to_do(fresh.version, home, settings, plan, base):
                return Summary(exit_code=Summary.NOTHING_TO_DO, message=why, dataset=fresh.version)
            check_extra()
            check_room(home, plan.min_free, disk_need(Path(base.folder), plan.recipe))
            night = stages.begin(base, fresh)
        dataset = datasets.load_dataset(night.manifest.dataset_id, home / "datasets")
        watch.dataset(dataset.version)
        with night.at_work(stages.before):
            run = night.once("train", TrainingRun, lambda: stages.train(night, dataset))
            judged = night.once("evaluate", Judgement, lambda: stages.evaluate(night, dataset))
            compared = night.once("compare", Comparison, lambda: stages.compare(night, dataset, judged))
            decision = night.once(
                "decide", Decision, lambda: admit(judged.evaluation, night.manifest.gate, compared)
            )
            adapter = night.once("register", AdapterVersion, lambda: stages.register(night, dataset, judged))
            move = None
            if decision.admitted:
                move = night.once("challenge", AliasChange, lambda: stages.challenge(night, adapter))
            account = Account(
                manifest=night.manifest,
                dataset=dataset,
                run=run,
                evaluation=judged.evaluation,
                outcomes=judged.outcomes,
                comparison=compared,
                decision=decision,
                adapter=adapter,
                replaced=move.before if move else None,
            )
            report = night.once("report", str, lambda: stages.report(night, account))
            night.close("admitted" if decision.admitted else "not_admitted", now())
        if plan.keep_checkpoints is not None:
            drop_checkpoints(stages.registry, plan.keep_checkpoints, by="nightly", note=watch.note, now=now())
    return summary(account, report)


def rehearse(stages: Stages) -> Summary:
    """What a run would do now; nothing is written, and nothing trained."""
    base = base_model(stages.settings.model)
    check_base(stages.registry, stages.home, base, stages.plan)
    for night in nights.all_nights(stages.home):
        if night.manifest.result is None:
            stages.watch.note(f"night {night.manifest.id} was interrupted at stage {night.stage!r}")
    need = disk_need(Path(base.folder), stages.plan.recipe)
    if need:
        stages.watch.note(
            f"{stages.plan.recipe.method} would take {need / GIB:.2f} GiB of the disk while it works"
        )
    dataset = stages.read_the_log()
    stages.watch.dataset(dataset.version)
    why = nothing_to_do(dataset.version, stages.home, stages.settings, stages.plan, base)
    return Summary(
        exit_code=Summary.NOTHING_TO_DO if why else Summary.ADMITTED,
        message=why
        or f"would train on {dataset.version.counts['train']} picks; nothing was written (--dry-run)",
        dataset=dataset.version,
    )


def summary(account: Account, report: str) -> Summary:
    """How the night ended, in a sentence and in figures."""
    adapter, admitted = account.adapter.name, account.decision.admitted
    failed = "" if admitted else ": " + "; ".join(account.failed())
    return Summary(
        exit_code=Summary.ADMITTED if admitted else Summary.NOT_ADMITTED,
        message=f"{adapter} joins the slates as challenger"
        if admitted
        else f"{adapter} is not admitted{failed}",
        night=account.manifest.id,
        dataset=account.dataset.version,
        evaluation=account.evaluation,
        decision=account.decision,
        adapter=account.adapter,
        replaced=account.replaced,
        report=report,
        training_seconds=account.run.seconds,
        answers=account.manifest.answers,
    )
