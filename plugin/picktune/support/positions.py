"""Position bias: whether people favour a reply for where it stands."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from scipy.special import chdtrc

from picktune.records import Decision
from picktune.support.answers import PositionBias

SMALLEST_CELL = 5.0
"""The chi-square approximation wants at least five expected picks in every cell."""


def position_bias(decisions: Iterable[Decision]) -> PositionBias:
    """How the chosen replies spread over the positions at which they were shown.

    By chance, each of the K positions of a slate is picked once in K slates. Slates of different K are
    tested apart, and their chi-squares and degrees of freedom added up.
    """
    picked: dict[int, Counter[int]] = defaultdict(Counter)
    for one in decisions:
        size = one.shown or len(one.arms)
        if one.verdict == "chosen" and one.position is not None and size > 1:
            picked[size][one.position] += 1
    longest = max(picked, default=0)
    counts, expected = [0] * longest, [0.0] * longest
    statistic, freedom, small = 0.0, 0, False
    for size, counter in picked.items():
        share = counter.total() / size
        small = small or share < SMALLEST_CELL
        freedom += size - 1
        for place in range(size):
            counts[place] += counter[place]
            expected[place] += share
            statistic += (counter[place] - share) ** 2 / share
    p_value = float(chdtrc(freedom, statistic)) if picked and not small else None
    return PositionBias(counts=tuple(counts), expected=tuple(expected), p_value=p_value)
