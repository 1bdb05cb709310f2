"""The support rate: how often people, who cannot know, pick the tuned model's reply over the base's.

Of the complete slates on which somebody chose one reply, the share in which it was the tuned arm's, where
both arms showed equally many. 50 % is chance. Everything else is counted beside it; see docs/support-rate.md.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import betaln, chdtrc, xlog1py, xlogy

from picktune.errors import InvalidInput
from picktune.records import Decision, Record

SupportVerdict = Literal["harmful", "no_progress", "weak", "success", "great", "undecided", "no_data"]
Bin = Literal["counted", "ties", "none_good", "skipped", "shared", "incomplete", "repeated", "capped"]

MIXTURE = 2.0
"""The mixture is Beta(2, 2): a = b, so that neither arm is favoured; the bounds differ little from 1 to 5."""

ABOUT_HALF = 0.02
"""A rate within two points of 50 % is about 50 %."""

SMALLEST_CELL = 5.0
"""The chi-square approximation wants at least five expected picks in every cell."""


class Share(Record, frozen=True, kw_only=True):
    """The support rate among some of the counted decisions, with the same kind of interval."""

    name: str
    wins: int
    n: int
    rate: float
    low: float
    high: float


class PositionBias(Record, frozen=True, kw_only=True):
    """How often the reply at each shown position was picked (``counts``, from the first), and by chance.

    ``p_value`` is of a chi-square test that only chance decides the position; ``None`` with too few picks.
    """

    counts: tuple[int, ...]
    expected: tuple[float, ...]
    p_value: float | None


class Support(Record, frozen=True, kw_only=True):
    """The support rate of one adapter (``model``), or, with ``None``, of the base against itself.

    ``wins`` of ``n`` counted decisions fell on the tuned arm; ``low`` and ``high`` bound the rate with
    confidence 1 − ``alpha``, at whatever moments one looks. Every other decision of the comparison is in
    exactly one of ``ties``, ``none_good``, ``skipped``, ``shared`` (both arms said the picked words),
    ``incomplete`` (an arm was missing, or showed fewer), ``repeated`` (the slate had counted already) and
    ``capped`` (the annotator had reached the cap).
    """

    model: str | None
    tuned: str | None
    wins: int
    n: int
    rate: float | None
    low: float
    high: float
    alpha: float
    verdict: SupportVerdict
    ties: int = 0
    none_good: int = 0
    skipped: int = 0
    shared: int = 0
    incomplete: int = 0
    repeated: int = 0
    capped: int = 0
    annotators: int = 0
    simulated: bool = False
    by_tag: tuple[Share, ...] = ()
    by_annotator: tuple[Share, ...] = ()
    by_position: tuple[Share, ...] = ()
    position_bias: PositionBias


def support_rate(
    decisions: Iterable[Decision],
    *,
    model: str | None = None,
    alpha: float = 0.05,
    annotator_cap: int = 200,
) -> Support:
    """The support rate of the adapter ``model``, or of the base against itself, from standing decisions.

    The decisions may come in any order and may hold other comparisons. Each slate counts once, by the first
    decision on it; each annotator counts with the first ``annotator_cap``. Raises ``InvalidInput``.
    """
    _check(alpha, annotator_cap)
    mine = _of(decisions, model)
    bins: Counter[Bin] = Counter()
    whole, tags = _Tally(), defaultdict[str, _Tally](_Tally)
    annotators, positions = defaultdict[str, _Tally](_Tally), defaultdict[str, _Tally](_Tally)
    for one, into in _binned(mine, annotator_cap):
        bins[into] += 1
        if into != "counted":
            continue
        places = [] if one.position is None else [positions[str(one.position + 1)]]
        for tally in (whole, annotators[one.annotator], *(tags[tag] for tag in set(one.tags)), *places):
            tally.add(won=one.tuned in one.picked)

    low, high = interval(whole.wins, whole.n, alpha)
    rate = whole.wins / whole.n if whole.n else None
    return Support(
        model=model,
        tuned=mine[-1].tuned if mine else None,
        wins=whole.wins,
        n=whole.n,
        rate=rate,
        low=low,
        high=high,
        alpha=alpha,
        verdict=verdict(rate, low, high),
        ties=bins["ties"],
        none_good=bins["none_good"],
        skipped=bins["skipped"],
        shared=bins["shared"],
        incomplete=bins["incomplete"],
        repeated=bins["repeated"],
        capped=bins["capped"],
        annotators=sum(1 for tally in annotators.values() if tally.n),
        simulated=any(one.role == "model" for one in mine),
        by_tag=_shares(tags, alpha),
        by_annotator=_shares(annotators, alpha),
        by_position=_shares(positions, alpha),
        position_bias=position_bias(mine),
    )


def counted(
    decisions: Iterable[Decision], *, model: str | None = None, annotator_cap: int = 200
) -> list[Decision]:
    """The decisions that ``support_rate`` counts, in the order in which they count.

    Whether one counts depends on those before it only, so that a beginning of the list is what counted then.
    """
    binned = _binned(_of(decisions, model), annotator_cap)
    return [one for one, into in binned if into == "counted"]


def compare(decisions: Iterable[Decision], *, alpha: float = 0.05, annotator_cap: int = 200) -> list[Support]:
    """The support rate of every adapter that was decided on, the latest decided on first; then base-b's.

    The last one, the base against itself, is always there: it is the floor of noise that the others are
    read against.
    """
    decisions = list(decisions)
    latest: dict[str, object] = {}
    for one in sorted(decisions, key=lambda one: one.decided_at):
        if one.model is not None:
            latest.pop(one.model, None)
            latest[one.model] = one
    models: list[str | None] = [*reversed(latest), None]
    return [
        support_rate(decisions, model=model, alpha=alpha, annotator_cap=annotator_cap) for model in models
    ]


def interval(wins: int, n: int, alpha: float) -> tuple[float, float]:
    """The shares p that the picks so far do not speak against: a 1 − ``alpha`` confidence sequence.

    All p with ``log_martingale(wins, n, p)`` below log 1/``alpha``. By Ville's inequality, the chance that
    the true share is ever outside, at any of the n at which one looks, is at most ``alpha``.
    """
    _check(alpha, 1)
    if not 0 <= wins <= n:
        raise InvalidInput(f"{wins} wins of {n} decisions are impossible", field="wins")
    if n == 0:
        return 0.0, 1.0
    low, high = _lowest(wins, n, alpha), 1.0 - _lowest(n - wins, n, alpha)
    return min(low, wins / n), max(high, wins / n)


def _lowest(wins: int, n: int, alpha: float) -> float:
    """The smallest share that the picks do not speak against.

    Sought as a logarithm, for it may be tiny. There the martingale is convex, at most 1 at the mean, and
    grows beyond every bound towards 0.
    """
    if wins == 0:
        return 0.0
    mixed = float(betaln(MIXTURE + wins, MIXTURE + n - wins) - betaln(MIXTURE, MIXTURE))

    def excess(log_p: float) -> float:
        missed = (n - wins) * math.log1p(-math.exp(log_p)) if wins < n else 0.0
        return mixed - wins * log_p - missed + math.log(alpha)

    return math.exp(brentq(excess, -700.0, math.log(wins / n), xtol=1e-12))


def log_martingale(
    wins: npt.ArrayLike, n: npt.ArrayLike, p: npt.ArrayLike, *, mixture: float = MIXTURE
) -> npt.NDArray[np.float64]:
    """The logarithm of the evidence, in nats, that ``wins`` of ``n`` speak against a true share ``p``.

    With a = b = ``mixture``: log [B(a + wins, b + n − wins) / B(a, b)] − log [p^wins (1 − p)^(n − wins)], the
    beta-binomial mixture of Robbins (1970), see Howard, Ramdas, McAuliffe and Sekhon (2021), section 3.2. Its
    exponential is a martingale with mean 1 if p is true.
    """
    wins, n, p = (np.asarray(value, dtype=np.float64) for value in (wins, n, p))
    mixed = betaln(mixture + wins, mixture + n - wins) - betaln(mixture, mixture)
    return np.asarray(mixed - xlogy(wins, p) - xlog1py(n - wins, -p), dtype=np.float64)


def verdict(rate: float | None, low: float, high: float) -> SupportVerdict:
    """What the rate means, once its interval has left 50 %."""
    if rate is None:
        return "no_data"
    if low <= 0.5 <= high:
        return "undecided"
    if abs(rate - 0.5) <= ABOUT_HALF:
        return "no_progress"
    if rate < 0.5:
        return "harmful"
    if rate < 0.7:
        return "weak"
    return "success" if rate <= 0.8 else "great"


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


@dataclass(slots=True)
class _Tally:
    wins: int = field(default=0)
    n: int = field(default=0)

    def add(self, *, won: bool) -> None:
        self.wins += won
        self.n += 1


def _is_of(one: Decision, model: str | None) -> bool:
    return one.tuned == "base-b" if model is None else one.model == model


def _of(decisions: Iterable[Decision], model: str | None) -> list[Decision]:
    mine = [one for one in decisions if _is_of(one, model)]
    return sorted(mine, key=lambda one: (one.decided_at, one.slate_id, one.annotator))


def _binned(mine: Iterable[Decision], annotator_cap: int) -> Iterator[tuple[Decision, Bin]]:
    slates, annotators = set[str](), Counter[str]()
    for one in mine:
        into = _bin(one)
        if into == "counted" and one.slate_id in slates:
            into = "repeated"
        elif into == "counted" and annotators[one.annotator] >= annotator_cap:
            into = "capped"
        if into == "counted":
            slates.add(one.slate_id)
            annotators[one.annotator] += 1
        yield one, into


def _bin(one: Decision) -> Bin:
    if not one.complete or one.arms.count("base") != one.arms.count(one.tuned or ""):
        return "incomplete"
    if one.verdict == "tie":
        return "ties"
    if one.verdict == "none_good":
        return "none_good"
    if one.verdict != "chosen":
        return "skipped"
    return "shared" if len(set(one.picked)) > 1 else "counted"


def _shares(tallies: dict[str, _Tally], alpha: float) -> tuple[Share, ...]:
    shares = []
    for name, tally in sorted(tallies.items()):
        if tally.n:
            low, high = interval(tally.wins, tally.n, alpha)
            shares.append(
                Share(name=name, wins=tally.wins, n=tally.n, rate=tally.wins / tally.n, low=low, high=high)
            )
    return tuple(shares)


def _check(alpha: float, annotator_cap: int) -> None:
    if not 0.0 < alpha < 1.0:
        raise InvalidInput(f"alpha must be between 0 and 1, and is {alpha}", field="alpha")
    if annotator_cap < 1:
        raise InvalidInput(f"annotator_cap must be 1 or more, and is {annotator_cap}", field="annotator_cap")
