"""The stages of a night: each makes one product, and may be run again after being killed half-way."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import structs
from picktune.log import SQLiteLogReader
from picktune.settings import Settings
from picktune_adapters import AdapterVersion, AliasChange, disk
from picktune_adapters.registry import Registry

from picktune_retrain import answers, nights
from picktune_retrain import dataset as datasets
from picktune_retrain.basemodel import BaseModel
from picktune_retrain.choice import Scores, score
from picktune_retrain.comparison import LONGEST_REPLY, Comparison, let_them_speak
from picktune_retrain.curves import Curves
from picktune_retrain.drift import measure_drift
from picktune_retrain.errors import NightStopped, TrainingDiverged, TrainingOutOfMemory
from picktune_retrain.evaluate import Judgement, evaluate, outcomes, rewards
from picktune_retrain.frozen import on_hold_out
from picktune_retrain.mixture import wanted
from picktune_retrain.nights import Manifest, Night
from picktune_retrain.plan import Plan, Watch
from picktune_retrain.records import Answer, Dataset, Recipe, Step, TrainingRun
from picktune_retrain.replies import golden_prompts
from picktune_retrain.report import Account, write_report
from picktune_retrain.rivals import against_champion, against_places, by_tag, learn_places

if TYPE_CHECKING:
    from picktune_retrain.position import Offsets

_BY = "nightly"


class Stages:
    """What every stage needs: the settings, the plan, who watches, whether to stop, and the clock."""

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        watch: Watch,
        should_stop: Callable[[], bool],
        now: Callable[[], datetime],
    ) -> None:
        self.settings = settings
        self.plan = plan
        self.watch = watch
        self.should_stop = should_stop
        self.now = now
        self.home = settings.folder
        self.registry = Registry(settings.registry_path)
        self.references = self.home / nights.REFERENCES

    def read_the_log(self) -> Dataset:
        """The dataset as the log stands, nothing of it written yet."""
        self.watch.stage("read the log")
        now = self.now()
        folder = self.home / "datasets"
        reader = SQLiteLogReader(self.settings.log_path)
        try:
            return datasets.build_dataset(
                reader,
                until=self.plan.until or now,
                roles=self.settings.roles,
                seed=self.plan.recipe.seed,
                now=now,
                earlier=datasets.load_splits(folder),
                extras=wanted(self.plan.recipe),
                recipe=self.plan.data,
                hold_out=datasets.load_hold_out(folder),
                spool=self.home,
            )
        finally:
            reader.close()

    def begin(self, base: BaseModel, dataset: Dataset) -> Night:
        """Keep the dataset and its split for good, freeze a hold-out if it is time, and open the folder."""
        folder, now = self.home / "datasets", self.now()
        datasets.save_splits(dataset, folder)
        datasets.save_dataset(dataset, folder)
        datasets.save_lineage(dataset, self.home)
        if 0 < self.plan.freeze_at <= len(dataset.test) and datasets.load_hold_out(folder) is None:
            made = datasets.freeze(dataset.test, folder, name="first", dataset_id=dataset.version.id, now=now)
            self.watch.note(f"{len(made.rows)} held-out picks are frozen for good as hold-out {made.name!r}")
        return nights.begin(
            self.home,
            Manifest(
                id=nights.new_night_id(self.home, now),
                started_at=now,
                until=dataset.version.until,
                roles=self.settings.roles,
                recipe=self.plan.recipe,
                gate=self.plan.gate,
                base=base,
                dataset_id=dataset.version.id,
                data=self.plan.data,
            ),
        )

    def before(self, stage: str) -> None:
        """Say that a stage begins, unless the night was asked to stop."""
        if self.should_stop():
            raise NightStopped(f"stopped before stage {stage!r}; run again to go on from there")
        self.watch.stage(stage)

    def train(self, night: Night, dataset: Dataset) -> TrainingRun:
        """Train on the base; a checkpoint of an interrupted training is taken up again.

        What a training fails of is answered, see ``answers``, and the manifest says how. Raises
        ``TrainingDiverged`` and ``TrainingOutOfMemory`` when there is no answer left.
        """
        self._look_for_kills(night)
        while True:
            try:
                run = self._train(night, dataset)
                night.update(attempt=None)
                return run
            except (Exception, KeyboardInterrupt) as error:
                with suppress(OSError):
                    night.update(attempt=None)
                if isinstance(error, TrainingDiverged):
                    error.answers = night.manifest.answers
                if not answers.is_out_of_memory(error):
                    raise
                why = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            # Only here is the failed training let go of, with all that its traceback held.
            answers.let_go()
            self._need_less(night, "out_of_memory", why)

    def _look_for_kills(self, night: Night) -> None:
        """A system that is short of memory kills without a word: twice at one place is taken for that."""
        made = night.manifest
        attempt = answers.begin(made.attempt, answers.state_of(night.folder, made.answers))
        if attempt.deaths >= answers.MOST_DEATHS:
            self._need_less(night, "killed", f"at {attempt.died_at}")
        else:
            night.update(attempt=attempt)

    def _need_less(self, night: Night, fault: Literal["out_of_memory", "killed"], why: str) -> None:
        """Go on with a recipe that needs less memory, or raise ``TrainingOutOfMemory``."""
        made = night.manifest
        recipe = answers.answered(made.recipe, made.answers)
        answer = answers.next_answer(recipe, fault, why)
        if answer is None:
            night.update(attempt=None)
            raise TrainingOutOfMemory(
                f"there is not enough memory to train {recipe.method} on {made.base.name}, also with a batch "
                f"of {recipe.batch} ({why}); free memory, lower max_prompt, or see what fits: picktune plan",
                made.answers,
            )
        before = answers.state_of(night.folder, made.answers)
        self._note_answer(night, answer, attempt=answers.begin(None, before))
        shutil.rmtree(before, ignore_errors=True)

    def _note_answer(self, night: Night, answer: Answer, **more: object) -> None:
        """Keep in the manifest what was done about a fault, and say it."""
        known = night.manifest.answers
        if answer not in known:  # a training that goes on from before may have to do it again
            night.update(answers=(*known, answer), **more)
            self.watch.note(answers.sentence(answer))

    def _train(self, night: Night, dataset: Dataset) -> TrainingRun:
        from picktune_retrain.train import train

        made = night.manifest
        offsets = self._offsets(night, dataset) if made.recipe.position_bias else None
        curves = Path(self.plan.tensorboard) / made.id if self.plan.tensorboard else None
        with _hushed(), Curves(curves, self.watch.note) as curve:

            def progress(step: Step) -> None:
                curve.step(step)
                self.watch.step(step)

            run = train(
                dataset.train,
                dataset.validation,
                extras=dataset.extras.get("train", ()),
                dataset_id=made.dataset_id,
                base_model=made.base.name,
                recipe=answers.answered(made.recipe, made.answers),
                folder=night.folder / "adapter",
                progress=progress,
                referenced=self.watch.referenced,
                should_stop=self.should_stop,
                state=answers.state_of(night.folder, made.answers),
                references=self.references,
                offsets=offsets,
                answered=lambda answer: self._note_answer(night, answer),
                now=self.now(),
            )
        if run.truncated:
            self.watch.note(
                f"{run.truncated} prompts have more than {made.recipe.max_prompt} tokens and lost their "
                "oldest messages (--max-prompt)"
            )
        if run.too_long:
            self.watch.note(
                f"{run.too_long} rows have a reply of more than {made.recipe.max_reply} tokens and were not "
                "trained on (--max-reply)"
            )
        # One id for the night and its training, so that an adapter's lineage leads to this folder.
        return structs.replace(run, id=made.id)

    def _offsets(self, night: Night, dataset: Dataset) -> Offsets:
        """Fitted once a night, on the picks to train on; an interrupted training goes on with them."""
        from picktune_retrain.position import fit_offsets

        path = night.folder / "offsets.json"
        if path.exists():
            kept: Offsets = nights.read(path, dict[int, tuple[float, ...]])
            return kept
        learned = {(row.slate_id, row.annotator) for row in dataset.train}
        made = night.manifest
        with SQLiteLogReader(self.settings.log_path) as reader:
            decisions = reader.decisions(until=made.until, roles=made.roles)
            offsets = fit_offsets(one for one in decisions if (one.slate_id, one.annotator) in learned)
        disk.replace(path, msgspec.json.encode(offsets))
        return offsets

    def evaluate(self, night: Night, dataset: Dataset) -> Judgement:
        """Score the held-out sets under the base and the adapter."""
        made = night.manifest
        with _hushed():
            scores = score(
                dataset.test,
                base_model=made.base.name,
                adapter=night.folder / "adapter",
                recipe=made.recipe,
                references=self.references,
                progress=self._scored,
            )
        beta, seed, a_token = made.recipe.beta, made.recipe.seed, made.recipe.length_normalised
        return Judgement(
            evaluation=evaluate(dataset.test, scores, beta=beta, seed=seed, a_token=a_token),
            outcomes=tuple(outcomes(dataset.test, scores, beta=beta, a_token=a_token)),
            scores=tuple(scores),
        )

    def compare(self, night: Night, dataset: Dataset, judged: Judgement) -> Comparison:
        """Set the adapter beside its rivals, its base and the champion."""
        made, sets = night.manifest, dataset.test
        seed, adapter = made.recipe.seed, night.folder / "adapter"
        # A night that an earlier version began kept no scores.
        scored = judged.scores or self.evaluate(night, dataset).scores
        ours = _rewards(scored, made.recipe)
        rivals = [against_places(sets, ours, learn_places(dataset.train), seed=seed)]
        champion, theirs = self._champion(made), None
        golden = golden_prompts(self.home)
        hold_out = datasets.load_hold_out(self.home / "datasets")
        with _hushed():
            if champion is not None:
                _, folder, recipe = champion
                scores = score(
                    sets,
                    base_model=made.base.name,
                    adapter=folder,
                    recipe=recipe,
                    references=self.references,
                    progress=self._scored,
                )
                theirs = _rewards(scores, recipe)
                rivals.append(against_champion(sets, ours, theirs, seed=seed))
            drift = measure_drift(
                sets,
                base_model=made.base.name,
                adapter=adapter,
                recipe=made.recipe,
                progress=self._scored,
            )
            spoken = let_them_speak(
                sets,
                count=self.plan.replies,
                base_model=made.base.name,
                adapter=adapter,
                champion=champion[1] if champion else None,
                golden=golden,
                max_tokens=min(LONGEST_REPLY, made.recipe.max_reply),
            )
        return Comparison(
            champion=champion[0] if champion else None,
            rivals=tuple(rivals),
            by_tag=by_tag(sets, ours, seed=seed),
            drift=drift,
            conduct=spoken.conduct,
            golden=spoken.golden,
            replies=spoken.replies,
            frozen=on_hold_out(hold_out, sets, scored, ours, theirs, seed=seed) if hold_out else None,
        )

    def _champion(self, made: Manifest) -> tuple[str, Path, Recipe] | None:
        """The champion's name, files and recipe, if it can be compared: it may have another base.

        The split is for good, so tonight's held-out sets are none that the champion was trained on.
        """
        name = self.registry.aliases().champion
        if name is None or self.registry.get(name).base_model != made.base.name:
            return None
        theirs = [one.manifest.recipe for one in nights.all_nights(self.home) if one.manifest.adapter == name]
        return name, self.registry.folder(name), theirs[-1] if theirs else made.recipe

    def _scored(self, done: int, total: int) -> None:
        if self.should_stop():
            raise NightStopped(f"stopped after scoring {done} of {total} held-out picks; run again to go on")
        self.watch.scored(done, total)

    def register(self, night: Night, dataset: Dataset, judged: Judgement) -> AdapterVersion:
        """Keep the adapter in the registry, whether or not it passes; once, however often this is run."""
        made, evaluation, now = night.manifest, judged.evaluation, self.now()
        for version in self.registry.versions():
            if version.run_id == made.id:
                return version
        from picktune_retrain.probes import keep_probes

        with _hushed():
            keep_probes(night.folder / "adapter", base_model=made.base.name, recipe=made.recipe)
        version = self.registry.add(
            night.folder / "adapter",
            name=self.registry.next_name(now),
            base_model=made.base.name,
            base=Path(made.base.folder),
            run_id=made.id,
            method=made.recipe.method,
            dataset_id=made.dataset_id,
            picks=len(dataset.train),
            picks_until=made.until,
            simulated=dataset.version.simulated,
            metrics={
                "sets": evaluation.sets,
                "accuracy": evaluation.adapter.accuracy,
                "log_loss": evaluation.adapter.log_loss,
                "base_accuracy": evaluation.base.accuracy,
                "base_log_loss": evaluation.base.log_loss,
                "chance_accuracy": evaluation.chance.accuracy,
                "chance_log_loss": evaluation.chance.log_loss,
                "gain": evaluation.gain,
                "gain_low": evaluation.gain_low,
                "accuracy_low": evaluation.accuracy_low,
            },
            now=now,
        )
        night.update(adapter=version.name)
        return version

    def challenge(self, night: Night, adapter: AdapterVersion) -> AliasChange:
        """Let the adapter challenge; it takes the place of the one on trial.

        Raises ``NightStopped`` while the gate is frozen: the next run after that goes on from here.
        """
        with SQLiteLogReader(self.settings.log_path) as reader:
            frozen = reader.freeze()
        if frozen is not None:
            raise NightStopped(
                f"{adapter.name} passed, and waits: {frozen.by} has frozen the gate ({frozen.reason}); run "
                "again after picktune gate unfreeze, or put it on trial with: "
                f"picktune gate challenge {adapter.name}"
            )
        reason = f"night {night.manifest.id}: passed offline on held-out picks"
        move = self.registry.move("challenger", adapter.name, by=_BY, reason=reason, now=self.now())
        if move.before not in (None, adapter.name):
            self.watch.note(
                f"{adapter.name} takes the place of the challenger {move.before}, whose trial ends"
            )
        return move

    def report(self, night: Night, account: Account) -> str:
        """Write the report beside the manifest; returns its path."""
        path = night.folder / "report.html"
        write_report(account, path, locale=self.plan.locale, plots=self.plan.plots)
        return str(path)


def _rewards(scores: Sequence[Scores], recipe: Recipe) -> list[list[float]]:
    return [rewards(one, recipe.beta, recipe.length_normalised) for one in scores]


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep the libraries' own progress bars and deprecations out of cron's mail."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
