"""The adapter on the frozen hold-out: the same picks every night, so that nights can be compared by them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from picktune.records import ChoiceSet, Record

from picktune_retrain.choice import Scores
from picktune_retrain.dataset import HoldOut, cluster_names
from picktune_retrain.dataset.holdout import Frozen
from picktune_retrain.evaluate import figures, lower_bound, per_token, picked, predict
from picktune_retrain.records import Figures


class FrozenFigures(Record, frozen=True, kw_only=True):
    """How the adapter does on the hold-out ``name``, beside the champion, the base and chance.

    ``missing`` of its rows are not in the log any more. ``gain`` is over chance in nats a set, bounded from
    either side with 95 % confidence each.
    """

    name: str
    sets: int
    missing: int
    adapter: Figures
    base: Figures
    chance: Figures
    champion: Figures | None = None
    gain: float
    gain_low: float
    gain_high: float


def on_hold_out(
    hold_out: HoldOut,
    sets: Sequence[ChoiceSet],
    scores: Sequence[Scores],
    adapter: Sequence[Sequence[float]],
    champion: Sequence[Sequence[float]] | None = None,
    *,
    seed: int = 0,
) -> FrozenFigures | None:
    """The figures on those of the held-out sets that are frozen; ``None`` if none is.

    ``adapter`` and ``champion`` are what each gives every reply of a set, in nats.
    """
    frozen = Frozen(hold_out)
    those = [i for i, one in enumerate(sets) if frozen.holds(one)]
    if not those:
        return None
    held = [sets[i] for i in those]
    alike = [picked(one) for one in held]
    ours = [predict(adapter[i], same) for i, same in zip(those, alike, strict=True)]
    base = [predict(per_token(scores[i]), same) for i, same in zip(those, alike, strict=True)]
    chance = [predict([0.0] * len(same), same) for same in alike]
    theirs = []
    if champion is not None:
        theirs = [predict(champion[i], same) for i, same in zip(those, alike, strict=True)]
    gains = [blind.loss - mine.loss for blind, mine in zip(chance, ours, strict=True)]
    clusters = cluster_names(held)
    return FrozenFigures(
        name=hold_out.name,
        sets=len(held),
        missing=len(hold_out.rows) - len(held),
        adapter=figures(ours),
        base=figures(base),
        chance=figures(chance),
        champion=figures(theirs) if theirs else None,
        gain=fmean(gains),
        gain_low=lower_bound(gains, clusters, seed=seed),
        gain_high=-lower_bound([-gain for gain in gains], clusters, seed=seed),
    )
