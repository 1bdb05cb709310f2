"""The outlook: how many more picks until it is decided."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picktune.support import about, forecast, interval

ALPHA = 0.05


def test_at_a_clear_rate_it_does_not_take_long() -> None:
    found = forecast(26, 40, ALPHA)

    assert found is not None
    assert found.low < found.picks < (found.high or 0)
    assert 20 <= found.picks <= 120
    assert forecast(26, 40, ALPHA) == found  # the same counts, the same words


def test_nothing_is_promised_about_half_at_the_start_or_when_it_is_decided() -> None:
    assert forecast(0, 0, ALPHA) is None
    assert forecast(500, 1000, ALPHA) is None
    assert forecast(515, 1000, ALPHA) is None
    assert forecast(90, 100, ALPHA) is None
    assert forecast(10, 100, ALPHA) is None


def test_one_pick_does_not_promise_that_all_will_be_like_it() -> None:
    found = forecast(1, 1, ALPHA)

    assert found is not None
    assert found.picks > 50  # at 60 %, not at 100 %


def test_a_losing_challenger_is_decided_as_soon_as_a_winning_one() -> None:
    winning, losing = forecast(60, 90, ALPHA), forecast(30, 90, ALPHA)

    assert winning is None or losing is None or abs(winning.picks - losing.picks) <= 0.5 * winning.picks
    assert (winning is None) == (losing is None)


def test_clusters_make_it_take_longer() -> None:
    alone, clustered = forecast(26, 40, ALPHA), forecast(26, 40, ALPHA, design_effect=3.0)

    assert alone is not None
    assert clustered is not None
    assert clustered.picks > 2 * alone.picks


def test_it_comes_true() -> None:
    """Half of real futures, looked at pick by pick with the real interval, are decided by then."""
    wins, n = 24, 40
    found = forecast(wins, n, ALPHA)
    assert found is not None
    assert found.high is not None
    rng = np.random.default_rng(4)
    futures = wins + (rng.random((300, found.high)) < (wins + 2) / (n + 4)).cumsum(axis=1)
    total = n + np.arange(1, found.high + 1)
    needed = np.empty(found.high)
    least = n // 2
    for place, count in enumerate(total):
        while interval(least, int(count), ALPHA)[0] <= 0.5:
            least += 1
        needed[place] = least
    decided = np.maximum.accumulate(np.maximum(futures, total - futures) >= needed, axis=1)

    assert decided[:, found.picks - 1].mean() == pytest.approx(0.5, abs=0.1)
    assert decided[:, found.low - 1].mean() == pytest.approx(0.1, abs=0.06)
    assert decided[:, found.high - 1].mean() == pytest.approx(0.9, abs=0.06)


@given(
    st.integers(0, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    st.sampled_from([1.0, 1.7, 20.0]),
)
@settings(deadline=None, max_examples=40)
def test_it_is_there_only_while_the_interval_holds_half(counts: tuple[int, int], effect: float) -> None:
    wins, n = counts
    low, high = interval(wins, n, ALPHA, design_effect=effect)
    found = forecast(wins, n, ALPHA, design_effect=effect)

    if not low <= 0.5 <= high:
        assert found is None
    if found is not None:
        assert 1 <= found.low <= found.picks
        assert found.high is None or found.picks <= found.high


@pytest.mark.parametrize(("picks", "said"), [(7, 7), (87, 87), (105, 100), (1234, 1200), (99_600, 100_000)])
def test_two_figures_are_enough(picks: int, said: int) -> None:
    assert about(picks) == said
