"""Keeps what was shown, beside the answer, and also while the log is away: the chat waits for neither."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from picktune.errors import LogUnavailable, PicktuneError
from picktune.log.base import Log
from picktune.records import Exposure, Slate

logger = logging.getLogger("picktune")

LIMIT = 1000
BESIDE = 256  # slates whose answers may be on their way before they are on disk
NEW = 2000  # ms: how old a slate is at most that another server may still be writing

ShownT = TypeVar("ShownT", Slate, Exposure)


class _Writing(NamedTuple):
    slate: Slate
    viewer: str | None
    task: asyncio.Task[bool]


class Keeper:
    """Writes slates and exposures to the log; those that it cannot take now wait here, at most ``LIMIT``.

    ``lost`` counts those for which there was no room.

    Only what was shown is kept this way. A decision is acknowledged when it is on disk, or not at all.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._waiting: dict[str, Slate | Exposure] = {}
        self._writing: dict[str, _Writing] = {}
        self._flushing = asyncio.Lock()
        self.lost = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def waiting_slate(self, slate_id: str) -> Slate | None:
        """The slate of that id, if it waits here, or is being written."""
        if slate_id in self._writing:
            return self._writing[slate_id].slate
        found = self._waiting.get(slate_id)
        return found if isinstance(found, Slate) else None

    def waiting_viewers(self, slate_id: str) -> set[str]:
        """Whose exposures to the slate wait here, or are being written."""
        waiting = [one for one in self._waiting.values() if isinstance(one, Exposure)]
        found = {one.viewer for one in waiting if one.slate_id == slate_id}
        writing = self._writing.get(slate_id)
        return found if writing is None or writing.viewer is None else {*found, writing.viewer}

    def is_kept(self, slate_id: str) -> bool:
        """Whether the slate does not wait for the log to come back; it may be being written."""
        return slate_id not in self._waiting and not (self._waiting and slate_id in self._writing)

    async def keep_slate(self, slate: Slate, exposure: Exposure | None = None) -> bool:
        """Keep a slate, and to whom it is shown, now or as soon as the log is back; whether it is on disk."""
        try:
            await self.flush()
            await self._log.add_slate(slate, exposure)
        except LogUnavailable as error:
            self._wait(slate.id, slate, error)
            if exposure is not None:
                self._wait(f"{exposure.slate_id} {exposure.viewer}", exposure, error)
            return False
        return True

    async def beside(
        self, slate: Slate, keeping: Coroutine[Any, Any, bool], *, viewer: str | None = None
    ) -> None:
        """Let the ``keeping`` of a slate go on while its answer is sent.

        What the log refuses at once is raised. Whatever comes to the log after this is written after the
        slate, so a decision on it finds it. With too many of them under way, this waits for the slate's own.
        ``viewer`` is whom it is shown to.
        """
        task = asyncio.ensure_future(keeping)
        await asyncio.sleep(0)  # now it stands in the log's queue, or has failed
        if not task.done():
            self._writing[slate.id] = _Writing(slate, viewer, task)
            task.add_done_callback(lambda done: self._written(slate.id, done))
        if task.done() or len(self._writing) > BESIDE:
            await asyncio.shield(task)

    async def settle(self) -> None:
        """Wait until everything is written that is being written now."""
        await asyncio.gather(*(one.task for one in self._writing.values()), return_exceptions=True)

    async def arrives(self, slate_id: str, now: datetime) -> bool:
        """Wait for a slate that may still be on its way to the log, from here or from another server.

        False for one that is not, or not any more.
        """
        if slate_id in self._writing:
            await asyncio.gather(self._writing[slate_id].task, return_exceptions=True)
            return True
        try:
            age = int(now.timestamp() * 1000) - int(slate_id[:12], 16)  # a UUIDv7 begins with its time
        except ValueError:
            return False
        if not 0 <= age < NEW:
            return False
        await asyncio.sleep(0.1)
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

    def _written(self, slate_id: str, task: asyncio.Task[bool]) -> None:
        self._writing.pop(slate_id, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.lost += 1
            logger.error("a slate was shown and is lost: %s", error, extra={"slate_id": slate_id})

    def _wait(self, key: str, shown: ShownT, error: LogUnavailable) -> ShownT:
        about = {"slate_id": shown.id if isinstance(shown, Slate) else shown.slate_id}
        if len(self._waiting) < LIMIT:
            logger.warning("%s was shown and waits to be kept: %s", key, error, extra=about)
            self._waiting.setdefault(key, shown)
        else:
            self.lost += 1
            logger.error("%s was shown and is lost, for too much waits already: %s", key, error, extra=about)
        return shown
