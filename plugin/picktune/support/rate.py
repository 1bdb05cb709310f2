"""The support rate of one comparison, and of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from picktune.records import Decision
from picktune.support.answers import Support, verdict
from picktune.support.clusters import Clustered
from picktune.support.counting import Bin, bins, check_cap, of_model
from picktune.support.groups import GROUPS, shares
from picktune.support.outlook import forecast
from picktune.support.positions import position_bias
from picktune.support.sequence import check_alpha, interval


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
    check_alpha(alpha)
    check_cap(annotator_cap)
    mine = of_model(decisions, model)
    beside: Counter[Bin] = Counter()
    choices = list[Decision]()
    for one, into in bins(mine, annotator_cap):
        beside[into] += 1
        if into == "counted":
            choices.append(one)

    n, wins = len(choices), sum(one.tuned in one.picked for one in choices)
    clustering = Clustered(choices).first(n, alpha)
    low, high = interval(wins, n, alpha, design_effect=clustering.design_effect)
    rate = wins / n if n else None
    called = verdict(rate, low, high)
    return Support(
        model=model,
        tuned=mine[-1].tuned if mine else None,
        wins=wins,
        n=n,
        rate=rate,
        low=low,
        high=high,
        alpha=alpha,
        verdict=called,
        ties=beside["ties"],
        none_good=beside["none_good"],
        skipped=beside["skipped"],
        shared=beside["shared"],
        incomplete=beside["incomplete"],
        repeated=beside["repeated"],
        capped=beside["capped"],
        annotators=clustering.annotators,
        simulated=any(one.role == "model" for one in mine),
        clustering=clustering,
        # Of the base against itself nothing is to be decided: it ought to stay at 50 %.
        forecast=forecast(wins, n, alpha, design_effect=clustering.design_effect)
        if called == "undecided" and model is not None
        else None,
        position_bias=position_bias(mine),
        **{f"by_{by}": shares(choices, by, alpha) for by in GROUPS},
    )


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
