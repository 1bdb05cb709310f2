"""From plain choices to hard ones: what a progressive training learns from at each of its stages."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from picktune_retrain.encoding import EncodedSet
from picktune_retrain.examples import Examples, batches_of
from picktune_retrain.losses import KnownRow
from picktune_retrain.records import Recipe

Known = tuple[EncodedSet, tuple[float, ...]]


def hardness(one: EncodedSet, base: Sequence[float]) -> float:
    """−log of the share that the base itself gives the picked reply, by its mean log-probability a token.

    The base as a chooser is the teacher's score of Bengio et al. 2009, *Curriculum Learning*: what it would
    have picked too is plain. Nought for what is no choice.
    """
    if one.kind != "set" or one.tied:
        return 0.0
    values = [total / len(reply) for total, reply in zip(base, one.replies, strict=True)]
    top = max(values)
    shares = [math.exp(value - top) for value in values]
    mine = sum(share for share, same in zip(shares, one.same, strict=True) if same)
    return -math.log(mine / sum(shares)) if mine > 0 else math.inf


def plain_to_hard(steps: Sequence[Sequence[KnownRow]], recipe: Recipe) -> list[list[KnownRow]]:
    """The same examples in batches again, the plainest first. Only for fp32, where layouts do not matter."""
    known = [pair for step in steps for row in step for pair in row]
    ranked = sorted(known, key=lambda pair: (hardness(*pair), pair[0].slate_id))
    values = {id(one): base for one, base in ranked}
    kinds = {kind: [one for one, _ in ranked if one.kind == kind] for kind in ("set", "label", "text")}
    found = Examples(sets=kinds["set"], labels=kinds["label"], texts=kinds["text"])
    return [[[(one, values[id(one)]) for one in row] for row in step] for step in batches_of(found, recipe)]


def place(step: int, per_epoch: int, stage: int, first: int, recipe: Recipe) -> int:
    """Which batch a step takes in a stage that began with step ``first``: one of the plainest stage/stages.

    They come in an order drawn from the seed, each once before any comes again.
    """
    pool = max(1, math.ceil(per_epoch * stage / recipe.stages))
    turn, at = divmod(step - first, pool)
    order = list(range(pool))
    random.Random(f"{recipe.seed}:stage{stage}:{turn}").shuffle(order)  # noqa: S311
    return order[at]
