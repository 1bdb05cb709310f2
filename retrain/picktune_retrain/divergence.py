"""Whether a training has run away: no number any more, far from where it began, or gradients that explode."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import islice
from statistics import fmean, median

from picktune_retrain.records import Recipe, Step

# How often a training goes back and on at half the pace, before it gives up.
MOST_SLOWED = 2
SLOWER = 0.5
# A training that goes back goes to the end of a quarter of its steps, so that it is the same one every time.
QUARTERS = 4
_LOSSES, _LATELY, _NORMS, _FIRST = 20, 5, 10, 10
_FAR, _EXPLODED = 3.0, 100.0


def why(steps: Sequence[Step], last: Step, recipe: Recipe) -> str | None:
    """What is wrong with a training that made these steps and then ``last``; ``None`` if nothing is.

    The loss begins at log K, the choice of somebody who knows nothing; it has run away if the median of 20
    steps, and of the last 5, is three times as high as the first step, and a nat more. A gradient has
    exploded if its norm was for 10 steps a hundred times that of the first 10 (or of what it is clipped to,
    if that is more).
    """
    at = f"step {last.step} of {last.steps}"
    if not math.isfinite(last.loss) or not math.isfinite(last.norm):
        return f"{at}: the loss is {last.loss:g}, the norm of its gradient {last.norm:g}"
    recent = [last, *_train(reversed(steps))]
    first = _train(steps)[:_FIRST] or [last]
    limit = _FAR * first[0].loss + 1.0
    if len(recent) >= _LOSSES:
        usual = median(step.loss for step in recent[:_LOSSES])
        # A training that has come back by itself is left alone.
        if min(usual, median(step.loss for step in recent[:_LATELY])) > limit:
            return f"{at}: the loss is at {usual:.3g} nats, and began at {first[0].loss:.3g}"
    if last.step >= _FIRST + _NORMS:
        usual = max(recipe.max_grad_norm, median(step.norm for step in first))
        if all(step.norm > _EXPLODED * usual for step in recent[:_NORMS]):
            return f"{at}: the norm of the gradient is {last.norm:.3g}, and was {usual:.3g}"
    return None


def is_place_to_return_to(steps: Sequence[Step], total: int) -> bool:
    """Whether the last step ends a quarter of the training, and the training is well."""
    train = _train(reversed(steps))
    if not train or train[0].step % math.ceil(total / QUARTERS) or train[0].step == total:
        return False
    return fmean(step.loss for step in train[:_LATELY]) <= 1.5 * _train(steps)[0].loss + 0.5


def _train(steps: Iterable[Step]) -> list[Step]:
    """Those of the first of these that are steps of the training; of the last, if they are turned round."""
    return [step for step in islice(steps, 2 * _LOSSES) if step.split == "train"]
