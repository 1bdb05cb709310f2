"""What the interval and the gate's rule promise, tried in 10,000 simulated years of nightly looks."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from picktune.support import false_alarm, interval

ALPHA = 0.05
RUNS = 10_000
NIGHTS = 365
PROMOTED_AT = 0.70

Ints = npt.NDArray[np.int64]


def slack(share: float) -> float:
    """Three standard deviations of a share over the runs."""
    return 3 * float(np.sqrt(share * (1 - share) / RUNS))


@cache
def fewest(n: int, p: float) -> int:
    """The fewest wins of n whose interval reaches as high as p."""
    low, high = -1, n
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if interval(middle, n, ALPHA)[1] >= p else (middle, high)
    return high


@cache
def most(n: int, p: float) -> int:
    """The most wins of n whose interval reaches as low as p; the mirror of ``fewest``."""
    low, high = 0, n + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if interval(middle, n, ALPHA)[0] <= p else (low, middle)
    return low


def ever_missed(wins: Ints, n: Ints, p: float) -> float:
    """The share of runs in which one of the looks finds p outside the interval."""
    too_few = wins < np.array([fewest(int(count), p) for count in n])
    too_many = wins > np.array([most(int(count), p) for count in n])
    return float((too_few | too_many).any(axis=1).mean())


@pytest.mark.parametrize("p", [0.5, 0.7, 0.9])
def test_a_look_every_night_of_a_year_misses_the_truth_in_no_more_than_alpha_of_the_runs(p: float) -> None:
    rng = np.random.default_rng(2026)
    wins = rng.binomial(20, p, size=(RUNS, NIGHTS)).cumsum(axis=1)

    missed = ever_missed(wins, 20 * np.arange(1, NIGHTS + 1), p)

    assert missed <= ALPHA + slack(ALPHA)
    assert missed > 0.002  # and it is not simply too wide ever to miss


def test_a_look_at_every_single_pick_does_not_either() -> None:
    rng = np.random.default_rng(2026)
    wins = (rng.random((RUNS, 400)) < 0.7).cumsum(axis=1)

    assert 0.002 < ever_missed(wins, np.arange(1, 401), 0.7) <= ALPHA + slack(ALPHA)


def promoted(picks: int, life: int) -> npt.NDArray[np.bool_]:
    """Years by challengers: whether the gate's rule ever promotes one that is equal to the base.

    Every challenger lives for so many nights of so many picks, with a look after each; then the next comes.
    """
    rng = np.random.default_rng(365 + picks + life)
    wins = rng.binomial(picks, 0.5, size=(RUNS, NIGHTS // life, life)).cumsum(axis=2)
    n = picks * np.arange(1, life + 1)
    sure = np.array([most(int(count), 0.5) for count in n])
    passes: npt.NDArray[np.bool_] = ((wins >= PROMOTED_AT * n) & (wins > sure)).any(axis=2)
    return passes


# (picks a night, nights that a challenger lives): how many in 10,000 years docs/support-rate.md says
# that see at least one equal challenger promoted.
YEARS = {
    (5, 365): 100,
    (20, 365): 100,
    (5, 28): 1000,
    (20, 28): 600,
    (5, 7): 2200,
    (20, 7): 1800,
    (20, 1): 4100,
    (100, 7): 100,
}


@pytest.mark.parametrize(("picks", "life"), YEARS)
def test_equal_arms_are_promoted_in_no_more_than_the_stated_share(picks: int, life: int) -> None:
    passed = promoted(picks, life)

    # Each challenger: no more than Ville's inequality allows, and in fact under 1 %.
    assert passed.mean() <= false_alarm(ALPHA)
    assert passed.mean() < 0.01
    years = passed.any(axis=1).mean()
    assert years <= YEARS[picks, life] / RUNS
    assert years <= false_alarm(ALPHA, passed.shape[1])


def test_the_lower_bound_alone_holds_its_promise_whoever_picks_and_however_they_differ() -> None:
    # The chance of a win changes from pick to pick, and never has a running mean above 50 %: the annotator
    # who likes the tuned arm always comes after one who dislikes it as much.
    rng = np.random.default_rng(11)
    chances = np.tile([0.1, 0.9, 0.3, 0.7], 250)
    wins = (rng.random((RUNS, 1000)) < chances).cumsum(axis=1)
    n = np.arange(1, 1001)
    sure = np.array([most(int(count), 0.5) for count in n])

    assert (wins > sure).any(axis=1).mean() <= false_alarm(ALPHA)


def test_a_smaller_alpha_buys_a_quiet_year() -> None:
    # Fifty-two challengers a year, together no more than 5 %: alpha = 2 s / (k + s).
    alpha = 2 * 0.05 / (52 + 0.05)

    assert false_alarm(alpha, 52) == pytest.approx(0.05)
    assert false_alarm(ALPHA) == pytest.approx(0.0256, abs=1e-4)
    assert false_alarm(ALPHA, 1000) == 1.0
