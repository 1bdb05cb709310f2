"""The geometry of the support page's figures: where the needle, the interval and the curve stand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import structs

from picktune.records import Decision, Record
from picktune.support import Support, support_rate

POINTS = 40


class Bar(Record, frozen=True, kw_only=True):
    """The rate and its interval on the scale, in per cent of its width."""

    rate: float
    low: float
    high: float
    width: float


class Curve(Record, frozen=True, kw_only=True):
    """The rate over the decisions: SVG paths in a square of 100 by 100, and the times of its two ends."""

    line: str
    band: str
    first: datetime
    last: datetime


def bar(support: Support) -> Bar | None:
    """Where the rate stands, or ``None`` before the first choice."""
    if support.rate is None:
        return None
    low, high = round(100 * support.low, 2), round(100 * support.high, 2)
    return Bar(rate=round(100 * support.rate, 2), low=low, high=high, width=round(high - low, 2))


def curve(
    decisions: Sequence[Decision], *, model: str | None, alpha: float, annotator_cap: int
) -> Curve | None:
    """How the rate and its interval moved, decision by decision, at no more than ``POINTS`` places.

    Each point is the support rate of the decisions until then, so that the last one is what the page says
    beside it. ``None`` before the second counted choice.
    """
    mine = sorted(
        (one for one in decisions if (one.model == model if model else one.tuned == "base-b")),
        key=lambda one: one.decided_at,
    )
    # Breakdowns would cost an interval for each tag at each point, and nobody sees them here.
    plain = [_without_tags(one) for one in mine]
    points = [
        (support_rate(plain[:end], model=model, alpha=alpha, annotator_cap=annotator_cap), end)
        for end in _ends(len(plain))
    ]
    counted = [(one, end) for one, end in points if one.rate is not None]
    if not counted or counted[-1][0].n < 2:
        return None
    if len(counted) == 1:
        counted = [*counted, *counted]
    first, last = counted[0][1], counted[-1][1]
    across = [
        100 * (end - first) / (last - first) if last > first else 100 * place
        for place, (_, end) in enumerate(counted)
    ]
    rates = [
        f"{x:.2f} {100 - 100 * (one.rate or 0):.2f}" for x, (one, _) in zip(across, counted, strict=True)
    ]
    lows = [f"{x:.2f} {100 - 100 * one.low:.2f}" for x, (one, _) in zip(across, counted, strict=True)]
    highs = [f"{x:.2f} {100 - 100 * one.high:.2f}" for x, (one, _) in zip(across, counted, strict=True)]
    return Curve(
        line="M" + " L".join(rates),
        band="M" + " L".join([*highs, *reversed(lows)]) + " Z",
        first=mine[first - 1].decided_at,
        last=mine[last - 1].decided_at,
    )


def _ends(count: int) -> list[int]:
    """Where to look: every decision while there are few, then evenly spread, always with the last."""
    if count <= POINTS:
        return list(range(1, count + 1))
    return sorted({round(count * place / POINTS) for place in range(1, POINTS + 1)})


def _without_tags(one: Decision) -> Decision:
    return structs.replace(one, tags=(), position=None)
