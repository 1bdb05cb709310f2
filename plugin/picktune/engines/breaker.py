"""A circuit breaker: who has failed several times in a row is left alone for a while, then tried once."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Literal

SHAKY = 0.5  # seconds

BreakerState = Literal["closed", "open", "half_open"]


class Breaker:
    """Closed while all is well; open after ``failures`` in a row; half open when ``seconds`` have passed.

    Half open it lets one request through: if that succeeds it closes, if it fails it opens for twice as long,
    up to ``longest`` seconds. The times are jittered by ``rng``, so that several processes do not come back
    at once.
    """

    def __init__(
        self,
        *,
        failures: int,
        seconds: float,
        longest: float,
        rng: random.Random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reason: str | None = None
        self.opened = 0
        self._limit = failures
        self._seconds = seconds
        self._longest = longest
        self._rng = rng
        self._clock = clock
        self._row = 0
        self._times = 0
        self._until = 0.0
        self._failed_at = 0.0
        self._trying = False

    @property
    def state(self) -> BreakerState:
        """Whether requests go through, none do, or one may."""
        if self._row < self._limit:
            return "closed"
        return "half_open" if self._clock() >= self._until else "open"

    @property
    def retry_in(self) -> float:
        """Seconds until a request is let through."""
        return max(0.0, self._until - self._clock()) if self._row >= self._limit else 0.0

    @property
    def shaky(self) -> bool:
        """Whether it failed just now: whoever asks again had better ask another."""
        return self._row > 0 and self._clock() - self._failed_at < SHAKY

    def allows(self) -> bool:
        """Whether a request may be sent now."""
        return self.state == "closed" or (self.state == "half_open" and not self._trying)

    def trying(self) -> None:
        """A request is sent; half open, it is the only one until it is known how it went."""
        self._trying = True

    def gave_up(self) -> None:
        """Whoever asked went away before there was an answer: nothing is known."""
        self._trying = False

    def succeeded(self) -> None:
        """There was an answer."""
        self._row = self._times = 0
        self._trying = False
        self.reason = None

    def failed(self, why: str) -> None:
        """There was none, for that reason; what was sent before it opened and fails later does not count."""
        was = self.state
        self._failed_at = self._clock()
        self._trying = False
        self.reason = why
        if was == "open":
            return
        self._row += 1
        if self._row >= self._limit:
            wait = min(self._seconds * 2**self._times, self._longest)
            self._until = self._clock() + wait * self._rng.uniform(0.75, 1.25)
            self._times = min(self._times + 1, 30)
            self.opened += 1
