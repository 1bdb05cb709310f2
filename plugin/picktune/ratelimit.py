"""How many requests a minute one key, or one person at a browser, may send."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from picktune.auth import Viewer
from picktune.errors import RateLimited
from picktune.metrics import Limited, Metrics
from picktune.settings import Rates

_SWEEP = 5.0  # seconds between two looks for what has left the window
_WHAT = {"slates": "slates drawn", "picks": "decisions and reactions sent", "signals": "signals sent"}


class _Rest(threading.Timer):
    """Stands where the storage keeps its timer, and counts as at work for so many seconds.

    The storage sweeps in a new thread after every hit, unless one is at work: starting it would take longer
    than the hit, and hold up the event loop.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds, lambda: None)
        self._until = time.monotonic() + seconds

    def is_alive(self) -> bool:
        """Whether the storage is still to rest; this thread itself never runs."""
        return time.monotonic() < self._until


class RateLimits:
    """Counts requests over the last ``seconds``, in this process; a rate of 0 is no limit.

    All keys of one name count together, and so do all sessions of one: to sign in again gains nothing.
    """

    def __init__(self, rates: Rates, metrics: Metrics, *, seconds: int = 60) -> None:
        self._rates = rates
        self._metrics = metrics
        self._seconds = seconds
        self._window: MovingWindowRateLimiter | None = None
        self._open: Counter[tuple[str, str]] = Counter()

    def change(self, rates: Rates) -> None:
        """Count by these from now on; what was counted stays counted."""
        self._rates = rates

    def open_stream(self, viewer: Viewer) -> Callable[[], None]:
        """Count a stream until what is returned is called; raises ``RateLimited`` for one too many."""
        who = "session" if viewer.is_browser else "key"
        most: int = getattr(self._rates, f"{who}_streams")
        name = (who, viewer.name)
        if most and self._open[name] >= most:
            self._metrics.limited("streams")
            raise RateLimited(
                f"{viewer.name!r} has {most:,} streams open at once; end some, or raise the setting "
                f"'rates.{who}_streams'",
                retry_after=1,
            )
        self._open[name] += 1
        closed = False

        def close() -> None:
            nonlocal closed
            if not closed:
                closed = True
                self._open[name] -= 1
                if not self._open[name]:
                    del self._open[name]

        return close

    def take(self, limit: Limited, viewer: Viewer) -> None:
        """Count a request; raises ``RateLimited`` for one too many, which is not counted."""
        who = "session" if viewer.is_browser else "key"
        most: int = getattr(self._rates, f"{who}_{limit}")
        if not most:
            return
        if self._window is None:
            self._storage = MemoryStorage()
            self._window = MovingWindowRateLimiter(self._storage)
        item = RateLimitItemPerSecond(most, self._seconds)
        free = self._window.hit(item, limit, who, viewer.name)
        if not isinstance(self._storage.timer, _Rest):
            self._storage.timer = _Rest(_SWEEP)
        if free:
            return
        self._metrics.limited(limit)
        wait = self._window.get_window_stats(item, limit, who, viewer.name).reset_time - time.time()
        seconds = max(1, math.ceil(wait))
        raise RateLimited(
            f"{viewer.name!r} has reached {most:,} {_WHAT[limit]} in {self._seconds} s; try again in "
            f"{seconds} s, or raise the setting 'rates.{who}_{limit}'",
            retry_after=seconds,
        )
