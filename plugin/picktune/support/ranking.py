"""The ranking of all that ever competed: Bradley–Terry strengths from picks of one out of K."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from picktune.errors import MissingExtra
from picktune.records import Decision, Record
from picktune.support.counting import check_cap, in_order
from picktune.support.sequence import check_alpha

BASE = "base"
RESAMPLES = 300
PRIOR = 0.5
"""Half a win each way between any two that met, as Firth's correction would give two: finite strengths."""

Pairs = Sequence[tuple[str, str]]
Floats = npt.NDArray[np.float64]


class Ranked(Record, frozen=True, kw_only=True):
    """One contestant: an adapter, or the base.

    ``chance`` is how often it would be picked over the ranking's reference, from ``low`` to ``high``; its
    rank is from ``best`` to ``worst``, both with confidence 1 − alpha for one look. It was picked on ``wins``
    of the ``n`` slates that it was on.
    """

    rank: int
    name: str
    chance: float
    low: float
    high: float
    best: int
    worst: int
    wins: int
    n: int


class Ranking(Record, frozen=True, kw_only=True):
    """All contestants that are connected with the ``reference`` by slates, the strongest first.

    ``apart`` are those that are not. The intervals are percentiles over ``resamples`` bootstrap samples of
    whole conversations.
    """

    reference: str | None
    contestants: tuple[Ranked, ...]
    apart: tuple[str, ...]
    slates: int
    conversations: int
    resamples: int
    alpha: float
    simulated: bool


class Contest(Record, frozen=True, kw_only=True):
    """One slate as the ranking sees it: who won, and over whom, each with a weight that adds up to 1."""

    conversation_id: str
    winner: str
    losers: Mapping[str, float]
    simulated: bool


def contestants(one: Decision) -> tuple[str, ...]:
    """Who speaks on the slate, a name for each reply; none if one of them cannot be named."""
    models = one.models or tuple(one.model if arm == one.tuned else None for arm in one.arms)
    names = tuple(_name(arm, model) for arm, model in zip(one.arms, models, strict=True))
    return () if "" in names else names


def contests(decisions: Iterable[Decision], *, annotator_cap: int = 200) -> list[Contest]:
    """What counts for a ranking: complete slates with one pick on which all contestants show equally many.

    As for the support rate, each slate counts once and each annotator with the first ``annotator_cap``
    between the same contestants. The picked one beats every other that was shown, as one out of K: with
    weights 1 / (number of others), so that a slate weighs 1 however many it showed.
    """
    check_cap(annotator_cap)
    slates, annotators = set[str](), Counter[tuple[str, frozenset[str]]]()
    found = []
    for one in in_order(decisions):
        shown = Counter(contestants(one))
        models = one.picked_models or tuple(one.model if arm == one.tuned else None for arm in one.picked)
        winners = {_name(arm, model) for arm, model in zip(one.picked, models, strict=True)}
        if one.verdict != "chosen" or not one.complete or one.slate_id in slates:
            continue
        if len(shown) < 2 or len(set(shown.values())) != 1 or len(winners) != 1:
            continue
        who = (one.annotator, frozenset(shown))
        if annotators[who] >= annotator_cap:
            continue
        annotators[who] += 1
        slates.add(one.slate_id)
        (winner,) = winners
        others = sorted(shown.keys() - {winner})
        found.append(
            Contest(
                conversation_id=one.conversation_id,
                winner=winner,
                losers=dict.fromkeys(others, 1 / len(others)),
                simulated=one.role == "model",
            )
        )
    return found


def rank(
    decisions: Iterable[Decision],
    *,
    alpha: float = 0.05,
    annotator_cap: int = 200,
    resamples: int = RESAMPLES,
) -> Ranking:
    """Rank the base and all adapters by P(i over j) = π_i / (π_i + π_j) (Bradley and Terry 1952).

    If people choose one of K in proportion to π (Luce 1959), then among the slates on which i or j was
    picked, i was with exactly that chance; so the pairs estimate the same π. Intervals are for one look,
    unlike those of the support rate. Raises ``MissingExtra`` without evalica.
    """
    check_alpha(alpha)
    fit = _solver()
    found = contests(decisions, annotator_cap=annotator_cap)
    reference, names, apart = _connected(found)
    mine = [one for one in found if one.winner in names]
    groups: dict[str, list[Contest]] = defaultdict(list)
    for one in mine:
        groups[one.conversation_id].append(one)
    pairs = _pairs(mine)
    counts = _counts(groups.values(), pairs)
    rows = _ranked(fit, names, pairs, counts, str(reference), resamples, alpha) if mine else {}
    wins, on = Counter(one.winner for one in mine), Counter[str]()
    for one in mine:
        on.update({one.winner, *one.losers})
    ordered = sorted(rows, key=lambda name: (rows[name][5], -on[name], name))
    return Ranking(
        reference=reference,
        contestants=tuple(
            Ranked(
                rank=place,
                name=name,
                chance=rows[name][0],
                low=rows[name][1],
                high=rows[name][2],
                best=int(rows[name][3]),
                worst=int(rows[name][4]),
                wins=wins[name],
                n=on[name],
            )
            for place, name in enumerate(ordered, 1)
        ),
        apart=apart,
        slates=len(mine),
        conversations=len(groups),
        resamples=resamples,
        alpha=alpha,
        simulated=any(one.simulated for one in mine),
    )


Fit = Callable[[Sequence[str], Pairs, Floats], Floats]


def _solver() -> Fit:
    try:
        from evalica import Winner, bradley_terry
    except ImportError as error:
        raise MissingExtra("a ranking", "rank") from error

    def fit(names: Sequence[str], pairs: Pairs, weights: Floats) -> Floats:
        """The logarithms of the strengths, in the order of the names."""
        scores = bradley_terry(
            [winner for winner, _ in pairs],
            [loser for _, loser in pairs],
            [Winner.X] * len(pairs),
            weights=list(weights + PRIOR),
            tolerance=1e-9,
            limit=100_000,
        ).scores
        found: Floats = np.log(scores.loc[list(names)].to_numpy(dtype=np.float64))
        return found

    return fit


def _ranked(
    fit: Fit,
    names: Sequence[str],
    pairs: Pairs,
    counts: Floats,
    reference: str,
    resamples: int,
    alpha: float,
) -> dict[str, tuple[float, ...]]:
    """Of each name: its chance, from, to, its best rank and its worst, and its strength, negated."""
    against = names.index(reference)
    whole = fit(names, pairs, counts.sum(axis=0))
    rng = np.random.default_rng(20_260_301)
    many = np.empty((resamples, len(names)))
    for row in range(resamples):
        drawn = np.bincount(rng.integers(len(counts), size=len(counts)), minlength=len(counts))
        many[row] = fit(names, pairs, drawn @ counts)
    tails = [alpha / 2, 1 - alpha / 2]
    chances = 1 / (1 + np.exp(many[:, [against]] - many))
    low, high = np.quantile(chances, tails, axis=0)
    ranks = 1 + (many[:, None, :] > many[:, :, None] + 1e-9).sum(axis=2)
    best, worst = np.quantile(ranks, tails, axis=0, method="nearest")
    chance = 1 / (1 + np.exp(whole[against] - whole))
    # The point estimate lies within its own percentiles but for accidents of the resampling.
    low, high = np.minimum(low, chance), np.maximum(high, chance)
    columns = (chance, low, high, best, worst, -whole)
    return {name: tuple(float(column[at]) for column in columns) for at, name in enumerate(names)}


def _pairs(found: Iterable[Contest]) -> list[tuple[str, str]]:
    """Every two that met, both ways round, in a fixed order."""
    met = {frozenset((one.winner, loser)) for one in found for loser in one.losers}
    return sorted(pair for two in met for pair in ((min(two), max(two)), (max(two), min(two))))


def _counts(groups: Iterable[Sequence[Contest]], pairs: Pairs) -> Floats:
    """Conversations by pairs: the weight with which the first beat the second."""
    at = {pair: place for place, pair in enumerate(pairs)}
    rows = list(groups)
    counts = np.zeros((len(rows), len(pairs)))
    for row, group in enumerate(rows):
        for one in group:
            for loser, weight in one.losers.items():
                counts[row, at[one.winner, loser]] += weight
    return counts


def _connected(found: Sequence[Contest]) -> tuple[str | None, list[str], tuple[str, ...]]:
    """The reference, all that slates connect with it, and the others, both by name.

    The reference is the base, or without it whoever was on most slates: strengths of contestants between
    whom no chain of slates leads cannot be compared.
    """
    on, met = Counter[str](), defaultdict[str, set[str]](set)
    for one in found:
        everyone = {one.winner, *one.losers}
        on.update(everyone)
        for name in everyone:
            met[name] |= everyone
    if not on:
        return None, [], ()
    reference = BASE if BASE in on else min(on, key=lambda name: (-on[name], name))
    reached, waiting = {reference}, [reference]
    while waiting:
        news = met[waiting.pop()] - reached
        reached |= news
        waiting += news
    return reference, sorted(reached), tuple(sorted(on.keys() - reached))


def _name(arm: str, model: str | None) -> str:
    """The contestant behind an arm; nothing if it is an adapter of which nobody knows which."""
    if model is not None:
        return model
    return BASE if arm in {"base", "base-b"} else ""
