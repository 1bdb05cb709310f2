"""The evaluation: arithmetic that can be done by hand, ties and copies, and an honest lower bound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picktune.records import ChoiceSet, Message
from picktune_retrain.choice import Scores
from picktune_retrain.evaluate import evaluate, lower_bound, outcomes

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def choice(number: int, chosen: int, replies: Sequence[str] = ("a", "b", "c", "d")) -> ChoiceSet:
    return ChoiceSet(
        slate_id=f"slate-{number}",
        conversation_id=f"conversation-{number}",
        messages=(Message(role="user", content=f"question {number}"),),
        replies=tuple(replies),
        chosen=chosen,
        annotator="ann",
        role="agent",
        decided_at=NOW,
    )


def scores(
    number: int, base: Sequence[float], adapter: Sequence[float], tokens: Sequence[int] | None = None
) -> Scores:
    return Scores(
        slate_id=f"slate-{number}",
        base=tuple(base),
        adapter=tuple(adapter),
        tokens=tuple(tokens or [10] * len(base)),
    )


def test_figures_by_hand() -> None:
    sets = [choice(1, 0, ("a", "b")), choice(2, 1, ("a", "b"))]
    given = [
        scores(1, base=(-10, -20), adapter=(-6, -20), tokens=(10, 10)),
        scores(2, base=(-10, -12), adapter=(-10, -14), tokens=(10, 20)),
    ]
    result = evaluate(sets, given, beta=0.5)
    # Set 1: rewards 2 and 0. Set 2: rewards 0 and -1, so the wrong one leads.
    first, second = math.log(1 + math.exp(-2)), math.log(1 + math.exp(1))
    assert result.adapter.accuracy == 0.5
    assert result.adapter.log_loss == pytest.approx((first + second) / 2)
    # The base a token: -1 and -2 (right), then -1 and -0.6 (right).
    assert result.base.accuracy == 1.0
    assert result.base.log_loss == pytest.approx(
        (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-0.4))) / 2
    )
    assert result.chance.accuracy == 0.5
    assert result.chance.log_loss == pytest.approx(math.log(2))
    assert result.gain == pytest.approx(math.log(2) - result.adapter.log_loss)
    assert result.sets == 2


def test_an_untrained_adapter_is_exactly_chance() -> None:
    sets = [choice(i, i % 4) for i in range(20)]
    result = evaluate(sets, [scores(i, (-5, -9, -7, -8), (-5, -9, -7, -8)) for i in range(20)], beta=0.2)
    assert result.adapter == result.chance
    assert result.chance.accuracy == 0.25
    assert result.gain == pytest.approx(0, abs=1e-12)
    assert result.gain_low <= 1e-12
    assert result.accuracy_low == result.chance.accuracy


def test_one_odd_pick_in_a_dozen_does_not_hide_that_the_rest_were_found() -> None:
    """Its loss takes the bound of the gain below nought; what was found is beyond doubt all the same."""
    sets = [choice(i, 0) for i in range(12)]
    right, wrong = (0.0, -9.0, -9.0, -9.0), (-40.0, 0.0, 0.0, 0.0)
    told = [scores(i, (0.0, 0.0, 0.0, 0.0), wrong if i == 5 else right) for i in range(12)]
    result = evaluate(sets, told, beta=0.3)
    assert result.gain_low < 0 < result.gain
    assert 0.6 < result.accuracy_low < 11 / 12


def test_a_copy_of_the_picked_reply_counts_as_picked_as_in_the_loss() -> None:
    one = choice(1, 0, ("same", "other", "same"))
    result = evaluate([one], [scores(1, (0, 0, 0), (0, 1, 2))], beta=1.0)
    shares = np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum()
    assert result.adapter.log_loss == pytest.approx(-math.log(shares[0] + shares[2]))
    assert result.adapter.accuracy == 1.0
    assert result.chance.accuracy == pytest.approx(2 / 3)
    assert result.chance.log_loss == pytest.approx(math.log(3 / 2))


def test_outcomes_are_probabilities_in_the_order_shown() -> None:
    (outcome,) = outcomes([choice(1, 2)], [scores(1, (-10, -10, -10, -10), (-10, -10, -4, -10))], beta=0.5)
    assert sum(outcome.adapter) == pytest.approx(1)
    assert sum(outcome.base) == pytest.approx(1)
    assert outcome.adapter.index(max(outcome.adapter)) == 2
    assert outcome.adapter[2] == pytest.approx(math.exp(3) / (math.exp(3) + 3))


def test_a_diverged_adapter_gives_no_bound_above_nought() -> None:
    result = evaluate(
        [choice(i, 0) for i in range(5)],
        [scores(i, (-5, -5, -5, -5), (float("nan"), -5, -5, -5)) for i in range(5)],
        beta=0.2,
    )
    assert not result.gain_low > 0
    assert math.isnan(result.adapter.log_loss)


def test_nothing_to_evaluate_on() -> None:
    with pytest.raises(ValueError, match="no held-out"):
        evaluate([], [], beta=0.2)


def test_scores_of_other_sets_are_refused() -> None:
    with pytest.raises(ValueError, match="slate-2"):
        evaluate([choice(1, 0)], [scores(2, (0, 0, 0, 0), (0, 0, 0, 0))], beta=0.2)


def test_the_bound_is_reproducible_and_below_the_mean() -> None:
    gains = [0.1, 0.9, 0.4, 0.3, 0.7, 0.2]
    names = [str(i) for i in range(6)]
    low = lower_bound(gains, names, seed=3)
    assert low == lower_bound(gains, names, seed=3)
    assert 0 < low < sum(gains) / 6


def test_many_picks_of_one_conversation_are_one_piece_of_evidence() -> None:
    gains = [0.5] * 50 + [-0.1] * 3
    apart = lower_bound(gains, [str(i) for i in range(53)], seed=0)
    together = lower_bound(gains, ["long"] * 50 + ["b", "c", "d"], seed=0)
    assert apart > 0.35
    assert together < 0
    assert lower_bound([0.5] * 50, ["only"] * 50, seed=0) <= 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-5, 2), min_size=2, max_size=30))
def test_the_bound_never_exceeds_the_largest_gain(gains: list[float]) -> None:
    low = lower_bound(gains, [str(i) for i in range(len(gains))], seed=0)
    assert min(gains) - 1e-9 <= low <= max(gains) + 1e-9


def test_the_bound_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    for sets in (5, 10):
        misses = sum(
            lower_bound(list(rng.normal(0, 1, sets)), [str(i) for i in range(sets)], seed=i, resamples=1000)
            > 0
            for i in range(1000)
        )
        # 5 %, give or take; the plain percentile misses 10 % of the time with five sets.
        assert 0.025 <= misses / 1000 <= 0.085, sets
