"""The interval: a confidence sequence, which stays right however often one looks."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import betaln, xlog1py, xlogy

from picktune.errors import InvalidInput

MIXTURE = 2.0
"""The mixture is Beta(2, 2): a = b, so that neither arm is favoured; the bounds differ little from 1 to 5."""


def interval(wins: float, n: float, alpha: float, *, design_effect: float = 1.0) -> tuple[float, float]:
    """The shares p that the picks so far do not speak against: a 1 − ``alpha`` confidence sequence.

    All p with ``log_martingale(wins, n, p)`` below log 1/``alpha``. By Ville's inequality, the chance that
    the true share is ever outside, at any of the n at which one looks, is at most ``alpha``. With a
    ``design_effect`` d above 1 the picks speak as loudly as n / d independent ones would; the interval is
    then never narrower than without.
    """
    check_alpha(alpha)
    if not 0 <= wins <= n:
        raise InvalidInput(f"{wins} wins of {n} decisions are impossible", field="wins")
    if not 1.0 <= design_effect < math.inf:
        raise InvalidInput(f"a design effect is 1 or more, not {design_effect}", field="design_effect")
    if n == 0:
        return 0.0, 1.0
    low, high = _interval(wins, n, alpha)
    if design_effect > 1.0:
        wider = _interval(wins / design_effect, n / design_effect, alpha)
        low, high = min(low, wider[0]), max(high, wider[1])
    return low, high


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


def false_alarm(alpha: float, challengers: int = 1) -> float:
    """The most that the chance can be of ever taking one of so many equal challengers for the better one.

    For one challenger α / (2 − α): as wins are above half, the half of the mixture below 50 % is at most 1,
    so that the half above must reach 2 / α − 1 (Ville's inequality); for several, their sum.
    """
    check_alpha(alpha)
    if challengers < 0:
        raise InvalidInput(f"there cannot be {challengers} challengers", field="challengers")
    return min(1.0, challengers * alpha / (2.0 - alpha))


def check_alpha(alpha: float) -> None:
    """Raise ``InvalidInput`` unless 0 < ``alpha`` < 1."""
    if not 0.0 < alpha < 1.0:
        raise InvalidInput(f"alpha must be between 0 and 1, and is {alpha}", field="alpha")


def _interval(wins: float, n: float, alpha: float) -> tuple[float, float]:
    low, high = _lowest(wins, n, alpha), 1.0 - _lowest(n - wins, n, alpha)
    return min(low, wins / n), max(high, wins / n)


def _lowest(wins: float, n: float, alpha: float) -> float:
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

    if excess(-700.0) <= 0.0:  # a small part of one win: its lowest share is below the smallest float
        return 0.0
    return math.exp(brentq(excess, -700.0, math.log(wins / n), xtol=1e-12))
