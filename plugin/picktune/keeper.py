"""Keeps what was shown, beside the answer, and also while the log is away: the chat waits for neither."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from datetime import datetime
from typing import Any, NamedTuple

from anyio import to_thread

from picktune.errors import LogUnavailable, PicktuneError
from picktune.log.base import Log
from picktune.records import Exposure, Slate
from picktune.spool import Spool

logger = logging.getLogger("picktune")

LIMIT = 20_000
BATCH = 64
# Nobody waits longer for a disk: what is not written by then is shown, and kept when it is.
PATIENCE = 0.25
BESIDE = 256  # slates whose answers may be on their way before they are on disk
NEW = 2000  # ms: how old a slate is at most that another server may still be writing


class _Writing(NamedTuple):
    slate: Slate
    viewer: str | None
    task: asyncio.Task[bool]


class Keeper:
    """Writes slates and exposures to the log; those that it cannot take now wait here and in the journal.

    At most ``LIMIT`` wait; ``lost`` counts those for which there was no room, and ``spooled`` those that were
    written into the journal, for whoever comes after this process. Where the journal is full or cannot be
    written, they wait in memory alone.

    Only what was shown is kept this way. A decision is acknowledged when it is on disk, or not at all.
    """

    def __init__(self, log: Log, spool: Spool | None = None) -> None:
        self._log = log
        self._spool = spool
        self._waiting: dict[str, Slate | Exposure] = {}
        self._writing: dict[str, _Writing] = {}
        self._late: dict[str, asyncio.Task[Any]] = {}
        self._flushing = asyncio.Lock()
        self._wanted = asyncio.Event()
        self._away = False
        self.lost = 0
        self.spooled = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def journal_bytes(self) -> int:
        """How much is in the journal now."""
        return self._spool.bytes if self._spool is not None else 0

    async def open(self) -> None:
        """Take over what an earlier process could not keep."""
        if self._spool is None:
            return
        left = await to_thread.run_sync(list, self._spool.left())
        if left:
            logger.warning("%d slates and exposures of an earlier process wait to be kept", len(left))
        for shown in left:
            self._wait(shown)

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
        """Keep a slate and to whom it is shown, now or as soon as the log takes it; whether it is on disk."""
        return await self._keep(self._log.add_slate(slate, exposure), slate, exposure) is not None

    async def beside(
        self, slate: Slate, keeping: Coroutine[Any, Any, bool], *, viewer: str | None = None
    ) -> None:
        """Let the ``keeping`` of a slate go on while its answer is sent.

        What the log refuses at once is raised. Whatever comes to the log after this is written after the
        slate, so a decision on it finds it. With too many of them under way, this waits for the slate's own.
        ``viewer`` is whom it is shown to.
        """
        task = asyncio.ensure_future(keeping)
        for _ in range(6):  # steps until it stands in the log's queue, or has failed
            await asyncio.sleep(0)
            if task.done():
                break
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
        """Keep an exposure, now or as soon as the log takes it, and return the one that stands."""
        return await self._keep(self._log.add_exposure(exposure), exposure) or exposure

    async def flush(self) -> None:
        """Write what waits, in the order in which it came; raises ``LogUnavailable`` at the first failure."""
        if not self._waiting:
            return
        async with self._flushing:
            while self._waiting:
                some = list(self._waiting.items())[:BATCH]
                done = await asyncio.gather(*(self._write(*one) for one in some), return_exceptions=True)
                failed = None
                for (key, shown), error in zip(some, done, strict=True):
                    if isinstance(error, LogUnavailable):
                        failed = failed or error
                    elif isinstance(error, PicktuneError):
                        if isinstance(shown, Exposure) and shown.slate_id in dict(some):
                            continue  # it came before its slate, to a log that came back in between
                        logger.error("could not keep %s: %s", key, error)
                        self._waiting.pop(key, None)
                    elif isinstance(error, BaseException):
                        raise error
                    else:
                        self._waiting.pop(key, None)
                self._away = failed is not None
                if failed is not None:
                    raise failed
            self._all_kept()

    async def run(self, every: float) -> None:
        """Flush whenever something waits until cancelled, and ``every`` so many seconds while it cannot."""
        await self.open()
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self.flush()
            except LogUnavailable:
                self._wanted.set()
                await asyncio.sleep(every)
            except Exception:
                logger.exception("keeping what was shown failed; trying again")
                self._wanted.set()
                await asyncio.sleep(every)

    async def close(self) -> None:
        """Write what can be written; the rest stays in the journal for the next process."""
        await self.settle()
        try:
            await self.flush()
        except LogUnavailable as error:
            where = "in the journal" if self.journal_bytes else "lost"
            logger.error("%d slates and exposures are not in the log, but %s: %s", len(self), where, error)
        if self._spool is not None:
            self._spool.close()

    async def _keep(self, writing: Coroutine[Any, Any, Any], *shown: Slate | Exposure | None) -> Any | None:
        """What the log returned (``True`` for nothing), or ``None`` if it has to wait."""
        if self._away or self._waiting:
            # The order must stay, and a log that is away must not hold up each chat anew.
            writing.close()
            self._wait(*shown)
            return None
        task = asyncio.ensure_future(writing)
        task.add_done_callback(_heard)  # also if nobody waits for it any more
        done, _ = await asyncio.wait({task}, timeout=PATIENCE)
        if not done:
            for one in shown:
                if one is not None:
                    self._late[_key(one)] = task
            self._wait(*shown)
            task.add_done_callback(lambda done: self._written_late(done, *shown))
            return None
        try:
            return await task or True
        except LogUnavailable as error:
            self._away = True
            logger.warning("the log is away: %s", error)
            self._wait(*shown)
            return None

    async def _write(self, key: str, shown: Slate | Exposure) -> None:
        if (begun := self._late.get(key)) is not None:
            await asyncio.shield(begun)
        elif isinstance(shown, Slate):
            await self._log.add_slate(shown)
        else:
            await self._log.add_exposure(shown)

    def _written_late(self, task: asyncio.Task[Any], *shown: Slate | Exposure | None) -> None:
        well = not task.cancelled() and task.exception() is None
        for one in shown:
            if one is not None:
                self._late.pop(_key(one), None)
                if well:
                    self._waiting.pop(_key(one), None)
        if well and not self._waiting:
            self._all_kept()

    def _all_kept(self) -> None:
        self._away = False
        if self._spool is not None:
            self._spool.clear()

    def _written(self, slate_id: str, task: asyncio.Task[bool]) -> None:
        self._writing.pop(slate_id, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.lost += 1
            logger.error("a slate was shown and is lost: %s", error, extra={"slate_id": slate_id})

    def _wait(self, *shown: Slate | Exposure | None) -> None:
        for one in shown:
            if one is None or (key := _key(one)) in self._waiting:
                continue
            about = {"slate_id": one.id if isinstance(one, Slate) else one.slate_id}
            if len(self._waiting) >= LIMIT:
                self.lost += 1
                logger.error("%s was shown and is lost, for too much waits already", key, extra=about)
                continue
            self._waiting[key] = one
            self._wanted.set()
            if self._spool is not None and self._spool.add(one):
                self.spooled += 1
            logger.info("%s was shown and waits to be kept", key, extra=about)


def _key(shown: Slate | Exposure) -> str:
    return shown.id if isinstance(shown, Slate) else f"{shown.slate_id} {shown.viewer}"


def _heard(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()
