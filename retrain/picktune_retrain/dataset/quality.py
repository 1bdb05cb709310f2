"""Quality before quantity: what picks say of themselves, and when that is too poor to be learned from."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import numpy as np
from msgspec import Meta
from picktune.records import Record
from scipy.stats import beta

from picktune_retrain.dataset.habits import Columns, groups
from picktune_retrain.records import DatasetVersion, Quality

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
_TOO_FEW = 30
"""Of fewer picks, or pairs of picks, nothing is concluded."""


class Standard(Record, frozen=True, kw_only=True):
    """What picks must be like. ``picktune nightly`` trains on none that are worse.

    ``most_unusable`` is the share of rows that rules may leave out; ``most_one_place``, ``most_one_reply``
    and ``most_one_person`` the shares of picks at one place, of the same words and by one annotator.
    Annotators who decided on the same replies must agree ``above_chance`` more often than blind ones, or at
    least not surely less. ``min_annotators`` is how many must have taken part.
    """

    most_unusable: Share = 0.5
    most_one_place: Share = 0.95
    most_one_reply: Share = 0.95
    most_one_person: Share = 1.0
    above_chance: Share = 0.1
    min_annotators: Annotated[int, Meta(ge=1)] = 1


def measure(rows: Columns, *, dropped: int, liked: int = 0, disliked: int = 0) -> Quality:
    """The figures of the rows that are kept; ``dropped`` were left out by a rule."""
    picks = len(rows)
    total = picks + dropped
    if not picks:
        return Quality(unusable=1.0 if total else 0.0, liked=liked, disliked=disliked)
    sizes, counts = np.unique(rows.shown, return_counts=True)
    shown = int(sizes[counts.argmax()])
    places = np.bincount(rows.place[rows.shown == shown])
    pairs, agreeing, by_chance = _agreement(rows)
    return Quality(
        picks=picks,
        annotators=len(np.unique(rows.person)),
        pairs=pairs,
        agreeing=agreeing,
        by_chance=by_chance,
        shown=shown,
        one_place=float(places.max() / places.sum()),
        one_person=float(np.unique(rows.person, return_counts=True)[1].max() / picks),
        one_reply=float(np.unique(rows.picked, return_counts=True)[1].max() / picks),
        unusable=dropped / total,
        liked=liked,
        disliked=disliked,
    )


def too_poor(version: DatasetVersion, standard: Standard) -> str | None:
    """Why these picks are too poor to be learned from, and what to do; ``None`` if they are good enough."""
    found = version.quality
    if found is None or not (found.picks or version.dropped):
        return None
    if found.picks >= _TOO_FEW and found.one_place > standard.most_one_place:
        return (
            f"{found.one_place:.0%} of the picks are at one and the same place of {found.shown}: they "
            f"say where "
            "people click, not what is good; see that the replies are shuffled, and ask the annotators to "
            "read them all"
        )
    if found.picks >= _TOO_FEW and found.one_reply > standard.most_one_reply:
        return (
            f"{found.one_reply:.0%} of the picks are the very same words: there is one class of picks and "
            "nothing to tell apart; draw replies with a higher temperature, on more different conversations"
        )
    if found.annotators < standard.min_annotators:
        return (
            f"{found.annotators} annotator{'' if found.annotators == 1 else 's'}, and "
            f"{standard.min_annotators} "
            "are asked for; let others decide too, or lower --min-annotators"
        )
    if found.picks >= _TOO_FEW and found.one_person > standard.most_one_person:
        return (
            f"one annotator gave {found.one_person:.0%} of the picks, and {standard.most_one_person:.0%} "
            f"is the "
            "most; let others decide too, or give that one less weight"
        )
    if found.pairs >= _TOO_FEW and (high := _highest(found)) < found.by_chance + standard.above_chance:
        return (
            f"annotators who saw the same replies agree in {found.agreeing} of {found.pairs} cases (at most "
            f"{high:.0%}, 95 %), and blind ones would in {found.by_chance:.0%}: there is no common taste to "
            "learn; tell them what a good reply is, and let experts settle where they differ"
        )
    dropped = sum(version.dropped.values())
    if dropped >= _TOO_FEW and found.unusable > standard.most_unusable:
        worst = max(version.dropped, key=lambda name: version.dropped[name])
        return (
            f"{found.unusable:.0%} of the rows cannot be used, most of them for {worst!r}; picktune "
            f"dataset why "
            "tells what to do about it"
        )
    return None


def _highest(found: Quality) -> float:
    """The upper end of the exact one-sided 95 % interval of agreement (Clopper and Pearson 1934)."""
    if found.agreeing >= found.pairs:
        return 1.0
    return float(beta.ppf(0.95, found.agreeing + 1, found.pairs - found.agreeing))


def _agreement(rows: Columns) -> tuple[int, int, float]:
    """Pairs of different people on the same replies, one pair a pair of neighbours, and what they come to."""
    pairs = agreeing = 0
    chance = 0.0
    for group in groups(rows.content):
        newest = {int(rows.person[i]): int(i) for i in group}
        those = list(newest.values())
        for one, other in pairwise(those):
            pairs += 1
            agreeing += bool(rows.picked[one] == rows.picked[other])
            chance += 1 / int(rows.shown[one])
    return pairs, agreeing, chance / pairs if pairs else 0.0
