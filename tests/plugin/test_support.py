"""The support rate: what counts, how sure one may be, and what it is called."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from picktune.errors import InvalidInput
from picktune.records import Decision
from picktune.support import compare, interval, log_martingale, position_bias, support_rate, verdict

START = datetime(2026, 3, 1, tzinfo=UTC)
ALPHA = 0.05
BINS = ("n", "ties", "none_good", "skipped", "shared", "incomplete", "repeated", "capped")


def decision(number: int = 0, won: bool | None = None, **fields: Any) -> Decision:
    """A decision on a slate of two and two; with ``won``, a chosen one."""
    tuned = fields.get("tuned", "challenger")
    values: dict[str, Any] = {
        "slate_id": f"slate {number}",
        "conversation_id": f"conversation {number}",
        "annotator": "ann",
        "role": "agent",
        "verdict": "chosen",
        "picked": () if won is None else ((tuned,) if won else ("base",)),
        "position": None if won is None else number % 4,
        "arms": ("base", tuned, tuned, "base"),
        "tuned": tuned,
        "model": "v1",
        "complete": True,
        "decided_at": START + timedelta(minutes=number),
    }
    return Decision(**values | fields)


def decisions(wins: int, n: int, **fields: Any) -> list[Decision]:
    return [decision(number, number < wins, **fields) for number in range(n)]


def test_the_share_of_the_tuned_arm() -> None:
    support = support_rate(decisions(16, 20), model="v1")

    assert (support.wins, support.n, support.rate) == (16, 20, 0.8)
    assert (support.model, support.tuned, support.alpha) == ("v1", "challenger", 0.05)
    assert support.low < 0.8 < support.high
    assert (support.low, support.high) == interval(16, 20, 0.05)


def test_without_decisions_everything_is_possible() -> None:
    support = support_rate([])

    assert (support.n, support.rate, support.low, support.high) == (0, None, 0.0, 1.0)
    assert support.verdict == "no_data"
    assert support.position_bias.p_value is None


@pytest.mark.parametrize(
    ("counted_as", "fields"),
    [
        ("ties", {"verdict": "tie"}),
        ("none_good", {"verdict": "none_good"}),
        ("skipped", {"verdict": "skip"}),
        ("shared", {"picked": ("base", "challenger"), "position": 1}),
        ("incomplete", {"won": True, "complete": False}),
        ("incomplete", {"won": True, "arms": ("base", "challenger", "challenger")}),
        ("incomplete", {"verdict": "tie", "complete": False}),
        ("incomplete", {"won": True, "arms": ("challenger",)}),
        ("n", {"won": True}),
        ("n", {"won": False}),
    ],
)
def test_every_decision_is_counted_in_one_place(counted_as: str, fields: dict[str, Any]) -> None:
    support = support_rate([decision(**fields)], model="v1")

    assert {name: getattr(support, name) for name in BINS} == dict.fromkeys(BINS, 0) | {counted_as: 1}


def test_words_that_both_arms_said_count_for_both_arms() -> None:
    # Three texts on the slate: the base and the tuned arm said one of them both.
    merged = {"arms": ("base", "challenger", "base", "challenger"), "shown": 3}
    won = decision(0, picked=("challenger",), position=2, **merged)
    shared = decision(1, picked=("base", "challenger"), position=0, **merged)

    support = support_rate([won, shared], model="v1")

    assert (support.n, support.wins, support.shared, support.incomplete) == (1, 1, 1, 0)


def test_a_slate_counts_once_by_the_first_decision_on_it() -> None:
    first = decision(1, True, annotator="bob")
    second = structs.replace(decision(1, False), decided_at=START + timedelta(days=1))
    tie = decision(1, annotator="cai", verdict="tie", decided_at=START)

    support = support_rate([second, tie, first], model="v1")

    assert (support.wins, support.n, support.repeated, support.ties) == (1, 1, 1, 1)


def test_one_prolific_annotator_decides_nothing_alone() -> None:
    prolific = decisions(300, 300)
    others = [decision(1000 + number, number < 5, annotator=f"other {number}") for number in range(10)]

    support = support_rate(prolific + others, model="v1", annotator_cap=10)

    assert (support.n, support.wins, support.capped, support.annotators) == (20, 15, 290, 11)
    assert support.verdict == "undecided"
    assert {share.name: share.n for share in support.by_annotator}["ann"] == 10


def test_the_cap_takes_the_first_ones_in_whatever_order_they_come() -> None:
    mine = decisions(10, 30)
    random.Random(1).shuffle(mine)

    support = support_rate(mine, model="v1", annotator_cap=10)

    assert (support.wins, support.n) == (10, 10)


def test_the_cap_is_each_comparisons_own() -> None:
    both = decisions(5, 10) + [
        decision(number, True, model="v2", slate_id=f"other {number}") for number in range(10)
    ]

    assert [support.n for support in compare(both, annotator_cap=10)] == [10, 10, 0]


def test_one_comparison_for_each_adapter_and_the_base_against_itself() -> None:
    old = decisions(9, 10, model="v1", tuned="champion")
    new = [
        structs.replace(one, slate_id=f"new {one.slate_id}", decided_at=one.decided_at + timedelta(days=1))
        for one in decisions(3, 10, model="v2")
    ]
    floor = decisions(5, 10, tuned="base-b", model=None)
    of_no_comparison = [
        decision(99, tuned=None, model=None, arms=("base",) * 4, picked=("base",), position=0),
        decision(98, tuned="champion", model=None, picked=("base", "champion"), position=0),
    ]

    supports = compare([*new, *of_no_comparison, *old, *floor])

    assert [(one.model, one.tuned, one.wins, one.n) for one in supports] == [
        ("v2", "challenger", 3, 10),
        ("v1", "champion", 9, 10),
        (None, "base-b", 5, 10),
    ]
    assert compare([])[0].verdict == "no_data"


def test_an_adapter_keeps_its_picks_when_it_becomes_champion() -> None:
    trial = decisions(8, 10)
    crowned = [
        structs.replace(one, slate_id=f"later {one.slate_id}") for one in decisions(9, 10, tuned="champion")
    ]

    support = support_rate(trial + crowned, model="v1")

    assert (support.wins, support.n) == (17, 20)


def test_simulated_decisions_say_so() -> None:
    people = decisions(5, 10)

    assert not support_rate(people, model="v1").simulated
    assert support_rate([*people, decision(50, verdict="tie", role="model")], model="v1").simulated
    assert not support_rate([*people, decision(50, True, role="model", model="v2")], model="v1").simulated


def test_by_tag_by_annotator_by_position() -> None:
    one = decision(0, True, tags=("refund", "zh"), position=0)
    two = decision(1, False, tags=("refund",), position=3, annotator="bob")

    support = support_rate([one, two, decision(2, verdict="tie", tags=("tie",))], model="v1")

    def counts(shares: Any) -> dict[str, tuple[int, int]]:
        return {share.name: (share.wins, share.n) for share in shares}

    assert counts(support.by_tag) == {"refund": (1, 2), "zh": (1, 1)}
    assert counts(support.by_annotator) == {"ann": (1, 1), "bob": (0, 1)}
    assert counts(support.by_position) == {"1": (1, 1), "4": (0, 1)}
    assert all(share.low <= share.rate <= share.high for share in support.by_tag)


@pytest.mark.parametrize(
    ("rate", "low", "high", "expected"),
    [
        (None, 0.0, 1.0, "no_data"),
        (0.9, 0.5, 1.0, "undecided"),
        (0.5, 0.45, 0.55, "undecided"),
        (0.3, 0.1, 0.5, "undecided"),
        (0.3, 0.2, 0.4, "harmful"),
        (0.47, 0.45, 0.49, "harmful"),
        (0.485, 0.475, 0.495, "no_progress"),
        (0.515, 0.505, 0.525, "no_progress"),
        (0.53, 0.51, 0.55, "weak"),
        (0.699, 0.6, 0.75, "weak"),
        (0.7, 0.6, 0.8, "success"),
        (0.8, 0.7, 0.9, "success"),
        (0.801, 0.7, 0.9, "great"),
    ],
)
def test_the_bands(rate: float | None, low: float, high: float, expected: str) -> None:
    assert verdict(rate, low, high) == expected


def test_the_shares_that_the_demo_has_to_reach() -> None:
    support = support_rate(decisions(135, 150), model="v1")

    assert support.verdict == "great"
    assert support.low > 0.6


@pytest.mark.parametrize(("alpha", "cap"), [(0.0, 1), (1.0, 1), (float("nan"), 1), (0.05, 0)])
def test_settings_that_mean_nothing_are_refused(alpha: float, cap: int) -> None:
    with pytest.raises(InvalidInput):
        support_rate([], alpha=alpha, annotator_cap=cap)


def test_impossible_counts_are_refused() -> None:
    for wins, n in ((-1, 3), (4, 3)):
        with pytest.raises(InvalidInput):
            interval(wins, n, ALPHA)


@given(
    st.integers(0, 10**7).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(1e-6, 0.5)
)
@settings(deadline=None, max_examples=300)
def test_the_interval_holds_the_estimate_and_nothing_that_the_picks_speak_against(
    counts: tuple[int, int], alpha: float
) -> None:
    wins, n = counts
    low, high = interval(wins, n, alpha)

    assert 0.0 <= low <= high <= 1.0
    if n:
        assert low <= wins / n <= high
    bound = -np.log(alpha)
    # The ends are where the evidence reaches the bound: an end near 1 only as near as floats lie there.
    for end in (low, high):
        if 0.0 < end < 1.0 - 1e-9:
            assert log_martingale(wins, n, end) == pytest.approx(bound, abs=1e-3)
    assert (low == 0.0) == (wins == 0)
    assert (high == 1.0) == (wins == n) or n > 10_000


@given(st.integers(0, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@settings(deadline=None)
def test_swapping_the_arms_mirrors_the_interval(counts: tuple[int, int]) -> None:
    wins, n = counts
    low, high = interval(wins, n, ALPHA)

    assert interval(n - wins, n, ALPHA) == pytest.approx((1 - high, 1 - low), abs=1e-9)


@given(st.integers(1, 50).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.integers(1, 30))
@settings(deadline=None)
def test_more_of_the_same_makes_it_narrower(counts: tuple[int, int], times: int) -> None:
    wins, n = counts
    low, high = interval(wins * times, n * times, ALPHA)
    next_low, next_high = interval(wins * (times + 1), n * (times + 1), ALPHA)

    assert next_high - next_low < high - low


@given(st.integers(0, 500), st.integers(1, 500))
@settings(deadline=None)
def test_more_confidence_makes_it_wider(wins: int, losses: int) -> None:
    low, high = interval(wins, wins + losses, 0.05)
    surer_low, surer_high = interval(wins, wins + losses, 0.01)

    assert surer_low <= low
    assert high < surer_high or high == 1.0


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["ann", "bob"])), max_size=40), st.randoms())
@settings(deadline=None)
def test_the_order_does_not_matter(outcomes: list[tuple[bool, str]], rng: random.Random) -> None:
    mine = [decision(number, won, annotator=who) for number, (won, who) in enumerate(outcomes)]
    shuffled = list(mine)
    rng.shuffle(shuffled)

    assert support_rate(shuffled, model="v1") == support_rate(mine, model="v1")


@given(st.lists(st.sampled_from(["won", "lost", "tie", "none_good", "skip", "shared", "late"]), max_size=40))
@settings(deadline=None)
def test_nothing_is_lost_and_swapping_the_arms_swaps_the_wins(kinds: list[str]) -> None:
    def one(number: int, kind: str, *, swapped: bool) -> Decision:
        if kind in ("won", "lost"):
            return decision(number, (kind == "won") != swapped)
        if kind == "shared":
            return decision(number, picked=("base", "challenger"), position=0)
        if kind == "late":
            return decision(number, True, complete=False)
        return decision(number, verdict=kind)

    support, mirror = (
        support_rate(
            [one(number, kind, swapped=swapped) for number, kind in enumerate(kinds)],
            model="v1",
            annotator_cap=9,
        )
        for swapped in (False, True)
    )

    assert sum(getattr(support, name) for name in BINS) == len(kinds)
    assert mirror.wins == support.n - support.wins
    assert (mirror.low, mirror.high) == pytest.approx((1 - support.high, 1 - support.low), abs=1e-9)


def misses(p: float, *, runs: int, picks: int, seed: int) -> float:
    """The share of runs in which somebody who looks at every pick ever sees ``p`` outside the interval."""
    rng = np.random.default_rng(seed)
    n = np.arange(1, picks + 1)
    outside = 0
    for _ in range(runs // 100):
        wins = np.cumsum(rng.random((100, picks)) < p, axis=1)
        outside += int((log_martingale(wins, n, p).max(axis=1) >= -np.log(ALPHA)).sum())
    return outside / runs


@pytest.mark.parametrize("p", [0.5, 0.7, 0.9])
def test_looking_at_every_pick_does_no_harm(p: float) -> None:
    missed = misses(p, runs=2000, picks=4000, seed=7)

    # A share of 5 % has a standard deviation of 0.5 % over 2,000 runs; three of them are slack.
    assert missed <= ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / 2000)
    # And it is not simply so wide that it never misses.
    assert missed > 0.005


def test_an_ordinary_interval_would_not_survive_looking() -> None:
    rng = np.random.default_rng(7)
    n = np.arange(1, 4001)
    wins = np.cumsum(rng.random((500, 4000)) < 0.5, axis=1)
    naive = np.abs(wins / n - 0.5) > 1.96 * np.sqrt(0.25 / n)

    assert naive[:, 50:].any(axis=1).mean() > 0.3


def test_the_interval_itself_covers_under_looking() -> None:
    picks, runs, p = 250, 2000, 0.7
    inside = np.zeros((picks + 1, picks + 1), dtype=bool)
    for n in range(picks + 1):
        for wins in range(n + 1):
            low, high = interval(wins, n, ALPHA)
            inside[wins, n] = low <= p <= high
    rng = np.random.default_rng(11)
    wins = np.cumsum(rng.random((runs, picks)) < p, axis=1)

    missed = (~inside[wins, np.arange(1, picks + 1)]).any(axis=1).mean()

    assert missed <= ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / runs)


def test_the_cap_does_not_spoil_the_coverage() -> None:
    # Two annotators of different tastes, and a cap that bites: the base against itself stays within 50 %.
    rng = random.Random(5)
    wrong, itself = 0, {"tuned": "base-b", "model": None}
    for _ in range(150):
        mine = [
            decision(number, rng.random() < 0.5, **itself, annotator=rng.choice(["ann", "bob", "bob"]))
            for number in range(120)
        ]
        looks = (support_rate(mine[:seen], annotator_cap=30) for seen in range(10, 121, 10))
        wrong += any(not look.low <= 0.5 <= look.high for look in looks)

    assert wrong / 150 <= ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / 150)


def at(position: int, size: int, number: int) -> Decision:
    arms = ("base", "challenger") * (size // 2) + ("base",) * (size % 2)
    return decision(number, picked=(arms[position],), position=position, arms=arms, shown=size)


def test_no_bias_when_every_position_is_picked_equally_often() -> None:
    bias = position_bias([at(number % 4, 4, number) for number in range(80)])

    assert (bias.counts, bias.expected) == ((20,) * 4, (20.0,) * 4)
    assert bias.p_value == pytest.approx(1.0)


def test_always_the_first_is_no_accident() -> None:
    bias = position_bias([at(0 if number % 2 else number // 2 % 4, 4, number) for number in range(80)])

    assert bias.counts[0] > 40
    assert bias.p_value is not None
    assert bias.p_value < 1e-6


def test_slates_of_different_sizes_are_expected_to_differ() -> None:
    bias = position_bias(
        [at(number % 4, 4, number) for number in range(40)]
        + [at(number % 2, 2, number) for number in range(40)]
    )

    assert bias.counts == (30, 30, 10, 10)
    assert bias.expected == (30.0, 30.0, 10.0, 10.0)
    assert bias.p_value == pytest.approx(1.0)


def test_the_p_value_is_that_of_the_chi_square_test() -> None:
    from scipy.stats import chisquare

    counts = (31, 22, 18, 29)
    picks = [at(place, 4, place * 100 + number) for place in range(4) for number in range(counts[place])]

    assert position_bias(picks).p_value == pytest.approx(chisquare(counts).pvalue)


def test_too_few_picks_prove_nothing() -> None:
    assert position_bias([at(0, 4, number) for number in range(19)]).p_value is None
    alone = position_bias([at(0, 1, 0), decision(1, verdict="tie")])
    assert (alone.counts, alone.p_value) == ((), None)


def test_p_values_of_unbiased_picks_are_rarely_small() -> None:
    rng = random.Random(2)
    small = 0
    for _ in range(400):
        picks = [at(rng.randrange(4), 4, number) for number in range(60)]
        picks += [at(rng.randrange(2), 2, number) for number in range(30)]
        p_value = position_bias(picks).p_value
        assert p_value is not None
        small += p_value < 0.05

    assert 0.01 < small / 400 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
