"""The geometry of the support page's figures: where the needle, the interval and the curve stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from itertools import accumulate

from picktune.records import Decision, Record
from picktune.support import Clustered, Share, Support, counted, interval

POINTS = 40
WEEKS = 26


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


class Point(Record, frozen=True, kw_only=True):
    """One week: where it stands, in per cent of the width, and its rate and interval on the scale."""

    name: str
    n: int
    across: float
    bar: Bar


class Trend(Record, frozen=True, kw_only=True):
    """The rate of each week for itself: SVG paths in a square of 100 by 100, and the weeks."""

    line: str
    band: str
    points: tuple[Point, ...]


def bar(support: Support | Share) -> Bar | None:
    """Where the rate stands, or ``None`` before the first choice."""
    if support.rate is None:
        return None
    low, high = round(100 * support.low, 2), round(100 * support.high, 2)
    return Bar(rate=round(100 * support.rate, 2), low=low, high=high, width=round(high - low, 2))


def trend(weeks: Sequence[Share]) -> Trend | None:
    """The last ``WEEKS`` weeks that had a choice, each at its time. ``None`` before the second one.

    A week's interval is that of its choices alone; over a week without any the line runs on.
    """
    weeks = weeks[-WEEKS:]
    if len(weeks) < 2:
        return None
    days = [_monday(one.name).toordinal() for one in weeks]
    points = tuple(
        Point(
            name=one.name, n=one.n, across=round(100 * (day - days[0]) / (days[-1] - days[0]), 2), bar=drawn
        )
        for one, day in zip(weeks, days, strict=True)
        if (drawn := bar(one)) is not None
    )
    lows = [f"{one.across:.2f} {100 - one.bar.low:.2f}" for one in points]
    highs = [f"{one.across:.2f} {100 - one.bar.high:.2f}" for one in points]
    return Trend(
        line="M" + " L".join(f"{one.across:.2f} {100 - one.bar.rate:.2f}" for one in points),
        band="M" + " L".join([*highs, *reversed(lows)]) + " Z",
        points=points,
    )


def curve(
    decisions: Iterable[Decision], *, model: str | None, alpha: float, annotator_cap: int
) -> Curve | None:
    """How the rate and its interval moved, choice by choice, looked at no more than ``POINTS`` times.

    The last point is what ``support_rate`` says of the same decisions. ``None`` before the second choice.
    """
    choices = counted(decisions, model=model, annotator_cap=annotator_cap)
    if len(choices) < 2:
        return None
    wins = list(accumulate(one.tuned in one.picked for one in choices))
    clustered = Clustered(choices)
    line, lows, highs = list[str](), list[str](), list[str]()
    for n in _looks(len(choices)):
        across = 100 * (n - 1) / (len(choices) - 1)
        effect = clustered.first(n, alpha).design_effect
        low, high = interval(wins[n - 1], n, alpha, design_effect=effect)
        for into, share in ((line, wins[n - 1] / n), (lows, low), (highs, high)):
            into.append(f"{across:.2f} {100 - 100 * share:.2f}")
    return Curve(
        line="M" + " L".join(line),
        band="M" + " L".join([*highs, *reversed(lows)]) + " Z",
        first=choices[0].decided_at,
        last=choices[-1].decided_at,
    )


def _monday(week: str) -> date:
    year, number = week.split("-W")
    return date.fromisocalendar(int(year), int(number), 1)


def _looks(count: int) -> list[int]:
    """After how many choices to look: every one while there are few, then evenly spread, always the last."""
    if count <= POINTS:
        return list(range(1, count + 1))
    return sorted({1, *(round(count * place / (POINTS - 1)) for place in range(1, POINTS))})
