"""Keeps what was shown, also while the log is away: the chat goes on, and the log learns of it later."""

from __future__ import annotations

import asyncio
import logging
from typing import TypeVar

from picktune.errors import LogUnavailable, PicktuneError
from picktune.log.base import Log
from picktune.records import Exposure, Slate

logger = logging.getLogger("picktune")

LIMIT = 1000

ShownT = TypeVar("ShownT", Slate, Exposure)


class Keeper:
    """Writes slates and exposures to the log; those that it cannot take now wait here, at most ``LIMIT``.

    ``lost`` counts those for which there was no room.

    Only what was shown is kept this way. A decision is acknowledged when it is on disk, or not at all.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._waiting: dict[str, Slate | Exposure] = {}
        self._flushing = asyncio.Lock()
        self.lost = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def waiting_slate(self, slate_id: str) -> Slate | None:
        """The slate of that id, if it waits here."""
        found = self._waiting.get(slate_id)
        return found if isinstance(found, Slate) else None

    def waiting_viewers(self, slate_id: str) -> set[str]:
        """Whose exposures to the slate wait here."""
        waiting = [one for one in self._waiting.values() if isinstance(one, Exposure)]
        return {one.viewer for one in waiting if one.slate_id == slate_id}

    async def keep_slate(self, slate: Slate) -> bool:
        """Keep a slate, now or as soon as the log is back; whether it is on disk."""
        try:
            await self.flush()
            await self._log.add_slate(slate)
        except LogUnavailable as error:
            self._wait(slate.id, slate, error)
            return False
        return True

    async def keep_exposure(self, exposure: Exposure) -> Exposure:
        """Keep an exposure, now or as soon as the log is back, and return the one that stands."""
        try:
            await self.flush()
            return await self._log.add_exposure(exposure)
        except LogUnavailable as error:
            return self._wait(f"{exposure.slate_id} {exposure.viewer}", exposure, error)

    async def flush(self) -> None:
        """Write what waits, in the order in which it came; raises ``LogUnavailable`` at the first failure."""
        if not self._waiting:
            return
        async with self._flushing:
            while self._waiting:
                key, shown = next(iter(self._waiting.items()))
                try:
                    if isinstance(shown, Slate):
                        await self._log.add_slate(shown)
                    else:
                        await self._log.add_exposure(shown)
                except LogUnavailable:
                    raise
                except PicktuneError as error:
                    logger.error("could not keep %s: %s", key, error)
                del self._waiting[key]

    async def run(self, every: float) -> None:
        """Flush again and again until cancelled, ``every`` so many seconds."""
        while True:
            await asyncio.sleep(every)
            try:
                await self.flush()
            except LogUnavailable:
                continue
            except Exception:
                logger.exception("keeping what was shown failed; trying again")

    def _wait(self, key: str, shown: ShownT, error: LogUnavailable) -> ShownT:
        about = {"slate_id": shown.id if isinstance(shown, Slate) else shown.slate_id}
        if len(self._waiting) < LIMIT:
            logger.warning("%s was shown and waits to be kept: %s", key, error, extra=about)
            self._waiting.setdefault(key, shown)
        else:
            self.lost += 1
            logger.error("%s was shown and is lost, for too much waits already: %s", key, error, extra=about)
        return shown
