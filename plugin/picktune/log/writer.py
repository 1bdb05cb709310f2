"""The one thread that writes: requests queue up, and one transaction with one fsync serves many."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from picktune.errors import InvalidInput, LogUnavailable, PayloadTooLarge, PicktuneError
from picktune.log.files import unavailable

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    work: Work[Any]
    done: asyncio.Future[Any]


class Writer:
    """Runs pieces of work on the connection, in the order in which they came, many in one transaction.

    Each has a savepoint of its own, so that one that fails leaves the others alone; a piece of work may run
    twice and must therefore change nothing but the database. ``limit`` is how many may wait; beyond that,
    callers are held up until there is room.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, *, limit: int, batch: int) -> None:
        self._connection = connection
        self._path = path
        self._identity = _identity(path)
        self._batch = batch
        self._room = limit
        self._jobs: deque[_Job] = deque()
        self._held_up: deque[Future[None]] = deque()
        self._closing = False
        self._changed = threading.Condition()
        self._stopped: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name=f"picktune log {path.name}", daemon=True)
        self._thread.start()

    async def do(self, work: Work[T]) -> T:
        """Run the work in a transaction; what it returns is on disk. Raises what the work raises.

        Raises ``LogUnavailable`` if the file cannot be written; then nothing of the work was.
        """
        await self._take_room()
        job = _Job(work, asyncio.get_running_loop().create_future())
        with self._changed:
            if self._closing:
                raise LogUnavailable(f"the log {str(self._path)!r} is closed; open it again")
            self._jobs.append(job)
            self._changed.notify()
        result: T = await job.done
        return result

    async def close(self) -> None:
        """Finish what is queued, then close the connection. Safe to call twice."""
        with self._changed:
            self._closing = True
            self._changed.notify()
            held_up, self._held_up = self._held_up, deque()
        for waiting in held_up:
            if waiting.set_running_or_notify_cancel():
                waiting.set_result(None)
        await asyncio.shield(asyncio.wrap_future(self._stopped))

    async def _take_room(self) -> None:
        with self._changed:
            if self._room > 0 or self._closing:
                self._room -= 1
                return
            waiting: Future[None] = Future()
            self._held_up.append(waiting)
        try:
            await asyncio.wrap_future(waiting)
        except asyncio.CancelledError:
            # The room may have been handed over in the moment of the cancellation: pass it on.
            if not waiting.cancel():
                self._give_room(1)
            raise

    def _give_room(self, places: int) -> None:
        with self._changed:
            while places and self._held_up:
                waiting = self._held_up.popleft()
                if waiting.set_running_or_notify_cancel():
                    waiting.set_result(None)
                    places -= 1
            self._room += places

    def _run(self) -> None:
        try:
            while jobs := self._next():
                taken = len(jobs)
                jobs = [job for job in jobs if not job.done.cancelled()]
                self._give_room(taken)
                _deliver(self._serve(jobs))
        finally:
            self._connection.close()
            self._stopped.set_result(None)

    def _next(self) -> list[_Job]:
        with self._changed:
            while not self._jobs and not self._closing:
                self._changed.wait()
            return [self._jobs.popleft() for _ in range(min(len(self._jobs), self._batch))]

    def _serve(self, jobs: list[_Job]) -> list[tuple[_Job, Any]]:
        """Each job with what it returned or raised."""
        if not jobs:
            return []
        try:
            outcomes = self._transact(jobs)
        except LogUnavailable as error:
            outcomes = [error] * len(jobs)
        except sqlite3.Error as error:
            if len(jobs) > 1:
                # One of them may be what does not fit: give each its own chance.
                return [served for job in jobs for served in self._serve([job])]
            outcomes = [unavailable(self._path, error)]
        except Exception as error:  # a mistake of ours must not leave the callers waiting
            outcomes = [error] * len(jobs)
        return list(zip(jobs, outcomes, strict=True))

    def _transact(self, jobs: list[_Job]) -> list[Any]:
        """What each job returned or raised, now on disk; raises if the transaction as a whole failed."""
        if _identity(self._path) != self._identity:
            raise LogUnavailable(
                f"the log {str(self._path)!r} was moved, deleted or replaced while it was open; "
                f"put it back, or restart the server"
            )
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise unavailable(self._path, error) from error
        try:
            outcomes = [self._attempt(job) for job in jobs]
            connection.execute("COMMIT")
            return outcomes
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _attempt(self, job: _Job) -> Any:
        connection = self._connection
        connection.execute("SAVEPOINT job")
        try:
            outcome = job.work(connection)
        except (PicktuneError, sqlite3.IntegrityError, sqlite3.DataError, OverflowError) as error:
            connection.execute("ROLLBACK TO job")
            outcome = _explained(error)
        connection.execute("RELEASE job")
        return outcome


def _deliver(served: list[tuple[_Job, Any]]) -> None:
    """Tell the callers, each event loop once: waking it for every job takes longer than many a job."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Job, Any]]] = {}
    for one in served:
        by_loop.setdefault(one[0].done.get_loop(), []).append(one)
    for loop, mine in by_loop.items():
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, mine)


def _settle(served: list[tuple[_Job, Any]]) -> None:
    for job, outcome in served:
        if job.done.done():  # the caller was cancelled meanwhile
            continue
        if isinstance(outcome, BaseException):
            job.done.set_exception(outcome)
        else:
            job.done.set_result(outcome)


def _explained(error: Exception) -> Exception:
    if isinstance(error, PicktuneError):
        return error
    if isinstance(error, sqlite3.DataError):
        return PayloadTooLarge(f"a text is too large for the log ({error}); shorten it")
    return InvalidInput(f"the record breaks a rule of the log ({error}); nothing of it was written")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
