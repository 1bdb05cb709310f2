"""Clusters: what is taken from picks that resemble each other."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picktune.errors import InvalidInput
from picktune.records import Decision
from picktune.support import Clustered, interval, support_rate

START = datetime(2026, 3, 1, tzinfo=UTC)
ALPHA = 0.05


def pick(number: int, won: bool, conversation: object, annotator: object = "ann") -> Decision:
    return Decision(
        slate_id=f"slate {number}",
        conversation_id=f"conversation {conversation}",
        annotator=str(annotator),
        role="agent",
        verdict="chosen",
        picked=("challenger",) if won else ("base",),
        position=number % 2,
        arms=("base", "challenger"),
        tuned="challenger",
        model="v1",
        complete=True,
        decided_at=START + timedelta(minutes=number),
    )


def test_picks_of_different_conversations_lose_nothing() -> None:
    support = support_rate([pick(number, number % 4 > 0, number) for number in range(80)], model="v1")

    clustering = support.clustering
    assert (clustering.design_effect, clustering.effective) == (1.0, 80.0)
    assert (clustering.conversations, clustering.annotators) == (80, 1)
    assert clustering.by_conversation == pytest.approx(1.0)
    assert clustering.by_annotator is None  # one annotator says nothing about others
    assert (clustering.low, clustering.high) == (support.low, support.high) == interval(60, 80, ALPHA)


def test_conversations_that_always_say_the_same_count_as_one_pick_each() -> None:
    once = [pick(number, number % 4 > 0, number) for number in range(40)]
    thrice = [pick(number, number // 3 % 4 > 0, number // 3) for number in range(120)]

    single, repeated = support_rate(once, model="v1"), support_rate(thrice, model="v1")

    # As 40 picks, but for G / (G - 1) beside n / (n - 1).
    assert repeated.clustering.design_effect == pytest.approx(3 * (40 / 39) / (120 / 119))
    assert (repeated.low, repeated.high) == pytest.approx((single.low, single.high), abs=0.003)
    assert repeated.clustering.low > repeated.low


def test_annotators_of_different_tastes_widen_it() -> None:
    tastes = {"ann": 0.95, "bob": 0.6, "cai": 0.85, "dee": 0.4}
    rng = random.Random(2)
    picks = [
        pick(i, rng.random() < tastes[who], i, who) for i in range(400) for who in [rng.choice([*tastes])]
    ]

    support = support_rate(picks, model="v1")

    assert support.clustering.by_annotator is not None
    assert support.clustering.by_annotator > 5
    assert support.clustering.design_effect >= support.clustering.by_annotator
    assert support.low < interval(support.wins, support.n, ALPHA)[0] - 0.05


def test_without_any_difference_nothing_can_be_estimated() -> None:
    support = support_rate([pick(number, True, number // 3) for number in range(30)], model="v1")

    assert support.clustering.by_conversation is None
    assert support.clustering.design_effect == 1.0


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 3)), max_size=60),
    st.integers(0, 60),
)
@settings(deadline=None)
def test_a_beginning_says_what_it_said_then_and_clusters_only_ever_widen(
    picks: list[tuple[bool, int, int]], n: int
) -> None:
    decisions = [pick(number, won, where, who) for number, (won, where, who) in enumerate(picks)]
    n = min(n, len(decisions))

    then = Clustered(decisions).first(n, ALPHA)
    support = support_rate(decisions[:n], model="v1")

    assert then == support.clustering
    assert support.low <= then.low <= then.high <= support.high
    assert then.design_effect >= 1.0
    assert 0 <= then.effective <= n


@given(st.integers(0, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(1, 1000))
@settings(deadline=None)
def test_a_greater_design_effect_never_narrows(counts: tuple[int, int], effect: float) -> None:
    low, high = interval(*counts, ALPHA)
    wider_low, wider_high = interval(*counts, ALPHA, design_effect=effect)

    assert 0.0 <= wider_low <= low <= high <= wider_high <= 1.0


@pytest.mark.parametrize("effect", [0.9, 0.0, float("nan"), float("inf")])
def test_a_design_effect_below_one_is_refused(effect: float) -> None:
    with pytest.raises(InvalidInput, match="design effect"):
        interval(3, 4, ALPHA, design_effect=effect)


def ever_missed(
    *, annotators: int, spread: float, alike: float, runs: int, nights: int = 30
) -> tuple[float, float]:
    """How often nightly looks ever miss the whole house's rate of 70 %: as if picks were alone, and widened.

    Annotators differ with the intraclass correlation ``spread``, and so do conversations, of three picks
    each, with ``alike``.
    """
    rng = np.random.default_rng(annotators)
    missed = np.zeros(2)
    for _ in range(runs):
        tastes = rng.beta(0.7 * (1 / spread - 1), 0.3 * (1 / spread - 1), size=annotators) if spread else None
        who = rng.integers(annotators, size=nights * 7)
        chance = np.full(len(who), 0.7) if tastes is None else np.clip(tastes[who], 0.001, 0.999)
        chance = rng.beta(chance * (1 / alike - 1), (1 - chance) * (1 / alike - 1))
        won = rng.random((len(who), 3)) < chance[:, None]
        picks = [
            pick(3 * talk + turn, bool(won[talk, turn]), talk, who[talk])
            for talk in range(len(who))
            for turn in range(3)
        ]
        clustered, wins = Clustered(picks), np.cumsum(won.ravel())
        outside = np.zeros(2, dtype=bool)
        for n in range(21, len(picks) + 1, 21):
            then = clustered.first(n, ALPHA)
            low, high = interval(int(wins[n - 1]), n, ALPHA, design_effect=then.design_effect)
            outside |= [not then.low <= 0.7 <= then.high, not low <= 0.7 <= high]
        missed += outside
    alone, widened = missed / runs
    return float(alone), float(widened)


@pytest.mark.parametrize(("annotators", "spread", "alike"), [(20, 0.05, 0.2), (1, 0.0, 0.5)])
def test_the_widened_interval_covers_what_clusters_would_make_it_miss(
    annotators: int, spread: float, alike: float
) -> None:
    runs = 150
    alone, widened = ever_missed(annotators=annotators, spread=spread, alike=alike, runs=runs)

    assert widened <= ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / runs)
    assert alone > 0.12
