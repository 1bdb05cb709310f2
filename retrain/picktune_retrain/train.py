"""Training on what people decided: one loop that reads from top to bottom."""

from __future__ import annotations

import hashlib
import math
import random
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from pathlib import Path

from msgspec import structs
from picktune.records import ChoiceSet, new_id

from picktune_retrain.models import require_torch

require_torch()

import torch  # noqa: E402

from picktune_retrain import curriculum, divergence, encoding, forward, methods, mixture, models  # noqa: E402
from picktune_retrain.checkpoint import Keeper, Progress  # noqa: E402
from picktune_retrain.encoding import EncodedSet  # noqa: E402
from picktune_retrain.errors import NothingToTrain, TrainingDiverged, TrainingInterrupted  # noqa: E402
from picktune_retrain.examples import Examples, batches, examples, label_weights  # noqa: E402
from picktune_retrain.losses import Losses, Tally, known_batches  # noqa: E402
from picktune_retrain.models import Model  # noqa: E402
from picktune_retrain.packing import bundles  # noqa: E402
from picktune_retrain.recompute import recompute_layers  # noqa: E402
from picktune_retrain.records import Answer, Extra, Recipe, SplitName, Step, TrainingRun  # noqa: E402
from picktune_retrain.references import References  # noqa: E402
from picktune_retrain.shelf import Shelf  # noqa: E402


def train(
    train: Sequence[ChoiceSet],
    validation: Sequence[ChoiceSet] = (),
    *,
    extras: Sequence[Extra] = (),
    dataset_id: str,
    base_model: str | Path | None,
    recipe: Recipe,
    folder: Path,
    progress: Callable[[Step], None] | None = None,
    referenced: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    state: Path | None = None,
    references: Path | None = None,
    offsets: Mapping[int, Sequence[float]] | None = None,
    answered: Callable[[Answer], None] | None = None,
    check_every: int | None = None,
    now: datetime,
) -> TrainingRun:
    """Train on ``train`` and write to ``folder`` what comes out: an adapter as PEFT does, or a whole model.

    ``extras`` are what objectives other than choice learn from: see ``Recipe`` and ``mixture``. Whatever is
    learned, ``validation`` is scored by the choice loss, so that objectives can be compared.

    ``progress`` gets a record of every step, and of every pass over ``validation``: one an epoch, and one
    after every ``check_every`` steps; ``referenced`` hears before that how many of how many sets have their
    reference values. ``should_stop`` is asked before every step. ``offsets`` are b of every place, in nats,
    by the number of replies shown; without them places do not matter. With ``state``, a folder of this run's
    own, whatever ended an earlier call, even a kill, the next one goes on from the last checkpoint and ends
    with the same adapter. ``references`` is a file that keeps what the base gives the replies, for later
    runs.

    A training that runs away (see ``divergence``) goes back to where it was well, the last quarter of its
    steps, and on at half the learning rate, twice at most; ``answered`` hears of it. That takes a ``state``.

    Raises ``NothingToTrain``; ``TrainingInterrupted`` if told to stop; ``TrainingDiverged`` if it runs away
    all the same; ``TrainingStateMismatch`` or ``StateCorrupt`` for the state folder;
    ``EngineDown`` without the base model; ``InvalidInput`` or ``EngineError`` for a set that cannot be
    encoded.
    """
    began = time.perf_counter()
    objectives = mixture.check(recipe)
    if not train and not extras:
        raise NothingToTrain(f"dataset {dataset_id!r} has no choice sets to train on; collect more picks")
    model = models.load(base_model, recipe)
    methods.prepare(model, recipe)
    weights = model.parameters()
    optimizer = torch.optim.AdamW(weights.values(), lr=recipe.learning_rate, weight_decay=0.0)
    keeper = Keeper(state, weights, optimizer, whole=recipe.method != "progressive")
    shelf = Shelf(keeper.folder)
    found = examples(train, extras, model.tokenizer, recipe, objectives, shelf.put)
    if not found.all and found.too_long:
        raise NothingToTrain(
            f"all {found.too_long} rows of dataset {dataset_id!r} have a reply of more than "
            f"{recipe.max_reply} tokens, and replies are never cut; allow longer ones with --max-reply"
        )
    if not found.all:
        raise NothingToTrain(
            f"dataset {dataset_id!r} has nothing that the objective {recipe.objective} learns from; collect "
            "more, or train another objective"
        )
    held = [shelf.put(encoding.encode(one, model.tokenizer, recipe)) for one in validation]
    encoded = [*found.all, *held]
    forward.choose_layout(model, encoded)
    if recipe.checkpointing:
        recompute_layers(model)
    staged = recipe.method == "progressive"
    places = {shown: torch.tensor(values, device=model.device) for shown, values in (offsets or {}).items()}

    # Batches are made up once, each of rows of several examples; an epoch only takes them in another order.
    # So the reference, which is the base itself, is computed once, in the very rows of the policy, and kept.
    steps = batches(found, recipe)[: recipe.max_steps]
    checks = list(bundles(held, recipe.batch, recipe.row_tokens))
    fingerprint = _fingerprint(encoded, len(found.all), model, recipe, offsets)
    losses = Losses(model, recipe, objectives, places, label_weights(found.labels, recipe))
    judge = Losses(model, recipe, {"choice": 1.0}, places)
    run = keeper.restore(fingerprint)
    if run is None:
        reference: list[tuple[float, ...]] = []
        rows = [*chain(*steps), *checks]
        count = sum(map(len, rows))
        with References(references, model, recipe) as base:
            for row in rows:
                if should_stop is not None and should_stop():
                    raise TrainingInterrupted("stopped before the first step; nothing is lost, run it again")
                written = row[0].kind == "text"  # its own likelihood is all that counts
                reference += [()] * len(row) if written else base.of_row(row)
                if referenced is not None:
                    referenced(len(reference), count)
        seconds = time.perf_counter() - began
        run = Progress(
            run_id=new_id(),
            fingerprint=fingerprint,
            reference=tuple(reference),
            seconds=seconds,
            started_at=now,
        )
        keeper.mark(run)
        keeper.save(run)
    began = time.perf_counter() - run.seconds
    known = iter(run.reference)
    training = known_batches(steps, known)
    checking = [[(one, next(known)) for one in row] for row in checks]
    if staged:
        training = curriculum.plain_to_hard(training, recipe)
    per_epoch = len(training)
    total = min(per_epoch * recipe.epochs, recipe.max_steps or per_epoch * recipe.epochs)

    while run.step < total:
        number = run.step + 1
        if should_stop is not None and should_stop():
            keeper.save(run)
            remedy = "run it again to go on from there" if state else "without a state folder it is lost"
            raise TrainingInterrupted(f"stopped after step {number - 1} of {total}; {remedy}")

        # Load a batch; loss and gradient, row by row.
        place = _place(number - 1, per_epoch, recipe)
        if staged:
            stage = methods.stage_of(number, total, recipe.stages)
            first = next(
                n for n in range(1, number + 1) if methods.stage_of(n, total, recipe.stages) == stage
            )
            place = curriculum.place(number, per_epoch, stage, first, recipe)
            methods.thaw_stage(weights, stage, recipe.stages)
        batch = training[place]
        step_began = time.perf_counter()
        with models.dropout(model, recipe.seed + number):
            tally = losses.backward(batch)

        # Step.
        pace = recipe.learning_rate * divergence.SLOWER ** len(run.answers)
        rate = pace * _schedule(number, total, recipe.warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate
        norm = float(torch.nn.utils.clip_grad_norm_(weights.values(), recipe.max_grad_norm))
        record = _record(
            number, total, per_epoch, "train", tally, objectives, rate, time.perf_counter() - step_began, norm
        )
        if why := divergence.why(run.steps, record, recipe):
            run = _go_back(keeper, run, pace, why)
            if answered is not None:
                answered(run.answers[-1])
            continue
        optimizer.step()
        optimizer.zero_grad()
        records = [record]

        # Validate, once an epoch and at the end, or more often for whoever wants to see it learn.
        at_end = number % per_epoch == 0 or number == total
        if checking and (at_end or (check_every and number % check_every == 0)):
            step_began = time.perf_counter()
            tally = Tally()
            with torch.no_grad():
                for check in checking:
                    judge.of_row(check, tally)
            seconds = time.perf_counter() - step_began
            records.append(
                _record(number, total, per_epoch, "validation", tally, {"choice": 1.0}, rate, seconds)
            )

        # Save.
        run = structs.replace(
            run, step=number, steps=(*run.steps, *records), seconds=time.perf_counter() - began
        )
        # First the mark: a run that goes on from this checkpoint has to find it.
        if divergence.is_place_to_return_to(run.steps, total):
            keeper.mark(run)
        if keeper.due() or number == total:
            keeper.save(run)
        if progress is not None:
            for record in records:
                progress(record)

    _write(model, recipe, folder)
    return TrainingRun(
        id=run.run_id,
        dataset_id=dataset_id,
        base_model=model.name,
        recipe=recipe,
        steps=run.steps,
        seconds=time.perf_counter() - began,
        truncated=sum(one.truncated for one in encoded),
        too_long=found.too_long,
        started_at=run.started_at,
        offsets={shown: tuple(values) for shown, values in (offsets or {}).items()},
        rows={} if recipe.objective == "choice" else _rows(found, objectives),
        answers=run.answers,
    )


def _place(step: int, per_epoch: int, recipe: Recipe) -> int:
    """Which batch a step takes, counted from 0; every epoch has an order of its own, drawn from the seed."""
    epoch, place = divmod(step, per_epoch)
    order = list(range(per_epoch))
    random.Random(f"{recipe.seed}:{epoch}").shuffle(order)  # noqa: S311
    return order[place]


def _schedule(step: int, total: int, warmup: float) -> float:
    """The share of the learning rate at a step, counted from 1: linear up, then half a cosine down."""
    rising = max(1, round(warmup * total))
    if step <= rising:
        return step / rising
    return 0.5 * (1.0 + math.cos(math.pi * (step - rising) / (total - rising + 1)))


def _record(
    number: int,
    total: int,
    per_epoch: int,
    split: SplitName,
    tally: Tally,
    weights: Mapping[mixture.Objective, float],
    rate: float,
    seconds: float,
    norm: float = 0.0,
) -> Step:
    parts = tally.parts()
    loss = sum(weights[name] * mean for name, mean in parts.items())
    return Step(
        step=number,
        steps=total,
        epoch=number / per_epoch,
        split=split,
        loss=loss,
        accuracy=tally.accuracy(),
        learning_rate=rate,
        seconds=seconds,
        parts={str(name): mean for name, mean in parts.items()} if set(weights) != {"choice"} else {},
        norm=norm,
    )


def _go_back(keeper: Keeper, run: Progress, pace: float, why: str) -> Progress:
    """The run as it was where it was well, to go on at half the pace, on disk already."""
    tried = run.answers
    before = keeper.go_back() if len(tried) < divergence.MOST_SLOWED else None
    keeper.optimizer.zero_grad()
    if before is None:
        steps = f", also at {' and '.join(f'{one.value:g}' for one in tried)}" if tried else ""
        asked = pace / divergence.SLOWER ** len(tried)
        raise TrainingDiverged(
            f"the training ran away ({why}) at a learning rate of {asked:g}{steps}; lower the recipe's "
            "learning_rate, or look for rows that nothing can be learned from",
            tried,
        )
    slower = Answer(fault="diverged", did="slower", value=pace * divergence.SLOWER, step=before.step, why=why)
    run = structs.replace(
        before, run_id=run.run_id, reference=run.reference, seconds=run.seconds, answers=(*tried, slower)
    )
    keeper.save(run)
    return run


def _rows(found: Examples, objectives: Mapping[mixture.Objective, float]) -> dict[str, int]:
    counts = {
        "choice": len(found.sets),
        "dpo": sum(bool(one.rejected) for one in found.sets),
        "kto": len(found.labels),
        "sft": len(found.texts),
    }
    return {name: counts[name] for name in objectives}


def _fingerprint(
    encoded: Sequence[EncodedSet],
    trained: int,
    model: Model,
    recipe: Recipe,
    offsets: Mapping[int, Sequence[float]] | None,
) -> str:
    places = sorted((shown, tuple(values)) for shown, values in (offsets or {}).items())
    parts = (
        encoding.fingerprint(encoded),
        trained,
        model.name,
        model.dtype,
        model.packed,
        _Told(recipe),
        places,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


class _Told:
    """A recipe as it was written down before it could say more, if it says no more."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def __repr__(self) -> str:
        return self.recipe.told()


def _write(model: Model, recipe: Recipe, folder: Path) -> None:
    temporary = folder.with_name(f".tmp-{folder.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        methods.save(model, recipe, temporary)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
