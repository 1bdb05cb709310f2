"""The outlook: how many more picks it takes until a comparison is decided."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from picktune.support.answers import ABOUT_HALF, Forecast
from picktune.support.sequence import MIXTURE, check_alpha, log_martingale

RUNS = 500
BLOCK = 48
HORIZON = 100_000
"""Beyond so many further picks nothing is forecast: the rate will not stay as it is for so long."""


def forecast(wins: int, n: int, alpha: float, *, design_effect: float = 1.0) -> Forecast | None:
    """The number of further picks until the interval leaves 50 %, over ``RUNS`` simulated futures.

    In each, the true rate is the present one, (wins + 2) / (n + 4): the mean under the interval's own
    mixture, so that the first few picks promise nothing. ``None`` if it is decided already, if the rate is
    about 50 %, or if in half of the futures it takes more than ``HORIZON``. Always the same for the same
    counts.
    """
    check_alpha(alpha)
    rate = (wins + MIXTURE) / (n + 2 * MIXTURE)
    if abs(rate - 0.5) <= ABOUT_HALF or max(wins, n - wins) >= _boundary(np.array([n]), alpha, design_effect):
        return None
    looks = _looks()
    rng = np.random.default_rng(20_260_301)
    took = np.full(RUNS, np.inf)
    standing = np.full(RUNS, wins, dtype=np.int64)
    for start in range(1, len(looks), BLOCK):
        block = looks[start : start + BLOCK]
        steps = np.diff(looks[start - 1 : start + BLOCK])
        futures = standing[:, None] + np.cumsum(rng.binomial(steps, rate, size=(RUNS, len(block))), axis=1)
        total = n + block
        left = np.maximum(futures, total - futures) >= _boundary(total, alpha, design_effect)
        news = np.isinf(took) & left.any(axis=1)
        took[news] = block[left[news].argmax(axis=1)]
        standing = futures[:, -1]
        if np.isfinite(took).mean() > 0.95:
            break
    low, middle, high = np.quantile(took, [0.1, 0.5, 0.9], method="inverted_cdf")
    if math.isinf(middle):
        return None
    return Forecast(picks=int(middle), low=int(low), high=None if math.isinf(high) else int(high))


def about(picks: int) -> int:
    """The number to two figures, for more would claim more than is known: 87 stays, 1,234 becomes 1,200."""
    unit: int = 10 ** max(0, len(str(picks)) - 2)
    return int(round(picks / unit) * unit)


def _looks() -> npt.NDArray[np.int64]:
    """After how many further picks to look: one by one at first, then in steps of 2 %."""
    grown = 50 * 1.02 ** np.arange(math.ceil(math.log(HORIZON / 50) / math.log(1.02)))
    return np.unique(np.concatenate([np.arange(51), grown.astype(np.int64), [HORIZON]]))


def _boundary(n: npt.NDArray[np.int64], alpha: float, design_effect: float) -> npt.NDArray[np.float64]:
    """How many of each n picks must agree for the interval to leave 50 %; infinite if all are too few."""
    low, high = n / 2.0, n.astype(np.float64)
    bound = -math.log(alpha)

    def decided(agreeing: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        evidence = log_martingale(agreeing, n, 0.5)
        thinner = log_martingale(agreeing / design_effect, n / design_effect, 0.5)
        return np.asarray(np.minimum(evidence, thinner) > bound)

    never = ~decided(high)
    for _ in range(40):
        middle = (low + high) / 2
        enough = decided(middle)
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(never, np.inf, high)
