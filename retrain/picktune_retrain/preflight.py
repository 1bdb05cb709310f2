"""What is asked before a night begins: may it, is there anything to do, and was one interrupted?"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from picktune.errors import InvalidInput, MissingExtra
from picktune.log import SQLiteLogReader
from picktune.settings import Settings
from picktune_adapters import disk
from picktune_adapters.registry import Registry

from picktune_retrain import mixture, nights
from picktune_retrain.basemodel import BaseModel
from picktune_retrain.dataset import too_poor
from picktune_retrain.errors import BaseChanged
from picktune_retrain.nights import Manifest, Night
from picktune_retrain.plan import Plan
from picktune_retrain.records import DatasetVersion, ExtraKind


def check_extra() -> None:
    """Raise ``MissingExtra`` unless what training needs is installed; nothing of it is imported."""
    for package in ("torch", "transformers", "peft"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtra("training", "retrain")


def check_served(settings: Settings, plan: Plan, note: Callable[[str], None]) -> None:
    """Raise ``InvalidInput`` if the engine of the settings cannot serve what would come out of the night."""
    method = plan.recipe.method
    if settings.engine != "vllm":
        return
    if method in mixture.PROMPT_METHODS:
        raise InvalidInput(
            f"{method} makes a prompt adapter, which only the local engine serves, and the setting engine is "
            'vllm; train lora or qlora, or serve with engine = "local"',
            field="method",
        )
    if method in mixture.OWN_WEIGHTS and not settings.vllm.checkpoints:
        note(
            f"{method} makes a checkpoint, which vLLM serves by a server of its own: start one on it when "
            "it is registered, and name that server in 'vllm.checkpoints'"
        )


def check_log(settings: Settings) -> None:
    """Raise ``LogUnavailable`` unless there is a log, before anything is written into a mistyped home."""
    SQLiteLogReader(settings.log_path).close()


def check_base(registry: Registry, home: Path, base: BaseModel, plan: Plan) -> None:
    """Raise ``BaseChanged`` if an adapter in service was trained on another base model than tonight's.

    The picks in the log compare that base with its adapters; an adapter for another base could neither be
    served beside them nor be compared with them.
    """
    aliases = registry.aliases()
    hashes = {night.manifest.adapter: night.manifest.base for night in nights.all_nights(home)}
    for alias, name in (("champion", aliases.champion), ("challenger", aliases.challenger)):
        if name is None or plan.new_base:
            continue
        known = hashes.get(name)
        version = registry.get(name)
        same = known.sha256 == base.sha256 if known else version.base_model == base.name
        if not same:
            files = " (the files under that name have changed)" if version.base_model == base.name else ""
            raise BaseChanged(
                f"the {alias} {name} was trained on the base model {version.base_model}, and tonight's is "
                f"{base.name}{files}; go back to that model, or train for the new one with --new-base and "
                "serve it once its adapter has passed"
            )


def nothing_to_do(
    version: DatasetVersion, home: Path, settings: Settings, plan: Plan, base: BaseModel
) -> str | None:
    """Why there is no reason to train tonight; ``None`` if there is one."""
    picks, held_out = sum(version.counts.values()), version.counts["test"]
    if picks < plan.min_picks:
        return (
            f"{picks} usable picks in the log{_others(version)}, and {plan.min_picks} are needed; collect "
            "more, or lower --min-picks"
        )
    if not plan.allow_poor and (why := too_poor(version, plan.standard)):
        return f"too poor to learn from: {why}. --allow-poor trains all the same"
    if held_out < plan.gate.min_sets or not version.counts["validation"]:
        spread = sum(version.conversations.values())
        return (
            f"too little to judge by: {held_out} held-out choice sets, and {plan.gate.min_sets} are needed "
            f"({picks} picks from {spread} conversations); pick in more conversations, or lower "
            "--min-held-out"
        )
    if why := _unfed(version, plan):
        return why
    finished = [
        night for night in nights.all_nights(home) if night.manifest.result in ("admitted", "not_admitted")
    ]
    if plan.force or not finished:
        return None
    last = finished[-1].manifest
    if last.dataset_id == version.id and _asked(last) == _wanted(settings, plan, base):
        return (
            f"nothing new in the log since night {last.id} ({picks} picks); use --force to train all the same"
        )
    return None


def _others(version: DatasetVersion) -> str:
    left_out = sum(version.dropped.values())
    parts = []
    if left_out:
        why = ", ".join(f"{rule} {count}" for rule, count in version.dropped.items())
        parts.append(f"{left_out} more cannot be used: {why}; see picktune dataset why")
    if version.unselected:
        parts.append(f"{version.unselected} are not selected")
    return f" ({'; '.join(parts)})" if parts else ""


def _unfed(version: DatasetVersion, plan: Plan) -> str | None:
    """Why the log has nothing for the objectives of the plan; ``None`` if one of them has something."""
    objectives = mixture.weights_of(plan.recipe.objective)
    labels = version.quality
    if set(objectives) == {"kto"} and labels and bool(labels.liked) != bool(labels.disliked):
        only, missing = ("liked", "disliked") if labels.liked else ("disliked", "liked")
        count = labels.liked + labels.disliked
        return (
            f"the objective kto tells liked replies from disliked ones, and all {count} to train on are "
            f"{only}; collect {missing} ones too, or train with --objective choice"
        )
    needs: dict[str, ExtraKind] = {"kto": "labelled", "sft": "written"}
    if any(name not in needs or version.extras.get(needs[name]) for name in objectives):
        return None
    rows = " and ".join({"kto": "reactions", "sft": "edited or written replies"}[name] for name in objectives)
    return (
        f"the objective {plan.recipe.objective} learns from {rows}, and the log has none to train on; "
        "collect some, or train with --objective choice"
    )


def interrupted(
    home: Path, settings: Settings, plan: Plan, base: BaseModel, note: Callable[[str], None], now: datetime
) -> Night | None:
    """The night that was interrupted, to go on with, if it is the one that is asked for now.

    One that differs in what is asked, or that has failed three times, is left behind, saying so.
    """
    found: Night | None = None
    for night in nights.all_nights(home):
        made = night.manifest
        if made.result is not None:
            continue
        why = None
        if plan.fresh:
            why = "a fresh start is asked for"
        elif made.base.sha256 != base.sha256:
            why = f"the base model has changed since it began (it was {made.base.name})"
        elif _asked(made) != _wanted(settings, plan, base):
            why = "it was asked to train differently"
        elif plan.until is not None and plan.until != made.until:
            why = "it was asked to end at another moment"
        elif made.failures >= nights.MOST_FAILURES:
            why = f"it failed {made.failures} times at stage {night.stage!r} ({made.failure})"
        if why or found:
            note(f"leaving the unfinished night {made.id} behind: {why or 'an earlier one is at work'}")
            night.close("abandoned", now)
            continue
        disk.sweep(night.folder)
        failure = f"; last time: {made.failure}" if made.failure else ""
        note(f"going on with night {made.id} at stage {night.stage!r}{failure}")
        found = night
    return found


def _asked(manifest: Manifest) -> tuple[object, ...]:
    return manifest.recipe, manifest.gate, manifest.roles, manifest.base.sha256, manifest.data


def _wanted(settings: Settings, plan: Plan, base: BaseModel) -> tuple[object, ...]:
    return plan.recipe, plan.gate, settings.roles, base.sha256, plan.data
