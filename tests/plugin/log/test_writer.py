"""The one thread that writes for all."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from picktune.errors import InvalidInput, LogUnavailable, NotFound, PayloadTooLarge
from picktune.log import SQLiteLog
from picktune.log.files import open_for_writing
from picktune.log.writer import Writer

pytestmark = pytest.mark.anyio


class Commits:
    """Counts what the writer's connection is told."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.count = 0
        connection.set_trace_callback(self)

    def __call__(self, statement: str) -> None:
        self.count += statement == "COMMIT"


@pytest.fixture
def connection(path: Path) -> sqlite3.Connection:
    connection = open_for_writing(path, busy_timeout=1)
    connection.execute("CREATE TABLE notes (text TEXT NOT NULL UNIQUE)")
    return connection


@pytest.fixture
async def writer(connection: sqlite3.Connection, path: Path) -> AsyncIterator[Writer]:
    writer = Writer(connection, path, limit=8, batch=64)
    yield writer
    await writer.close()


def note(text: str | None) -> Any:
    return lambda connection: connection.execute("INSERT INTO notes VALUES (?)", (text,)).rowcount


def notes(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    found = [text for (text,) in connection.execute("SELECT text FROM notes ORDER BY rowid")]
    connection.close()
    return found


async def test_one_commit_serves_many(connection: sqlite3.Connection, path: Path) -> None:
    writer = Writer(connection, path, limit=1000, batch=100)
    commits = Commits(connection)

    await asyncio.gather(*(writer.do(note(str(number))) for number in range(1000)))
    await writer.close()

    assert notes(path) == [str(number) for number in range(1000)]
    assert 10 <= commits.count <= 100


async def test_one_that_fails_leaves_the_others_alone(writer: Writer, path: Path) -> None:
    def refused(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO notes VALUES ('half-written')")
        raise NotFound("no such thing")

    def mistaken(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO notes VALUES ('half-written')")
        connection.execute("INSERT INTO nowhere VALUES (1)")

    outcomes = await asyncio.gather(
        *(
            writer.do(work)
            for work in (note("a"), refused, note("b"), note("a"), note(None), note("c"), mistaken)
        ),
        return_exceptions=True,
    )

    kinds = [one if isinstance(one, int) else type(one) for one in outcomes]
    assert kinds == [1, NotFound, 1, InvalidInput, InvalidInput, 1, LogUnavailable]
    assert notes(path) == ["a", "b", "c"]


async def test_what_is_larger_than_sqlite_takes_is_too_large(
    connection: sqlite3.Connection, writer: Writer, path: Path
) -> None:
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10_000)

    outcomes = await asyncio.gather(
        writer.do(note("x" * 20_000)), writer.do(note("fits")), return_exceptions=True
    )

    assert isinstance(outcomes[0], PayloadTooLarge)
    assert notes(path) == ["fits"]


async def test_a_mistake_in_the_work_is_raised_where_it_was_asked_for(writer: Writer, path: Path) -> None:
    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO notes VALUES ('half-written')")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await writer.do(broken)

    await writer.do(note("still alive"))
    assert notes(path) == ["still alive"]


async def test_a_full_queue_holds_callers_up_and_loses_none(
    connection: sqlite3.Connection, path: Path
) -> None:
    writer = Writer(connection, path, limit=4, batch=2)
    gate, started = threading.Event(), threading.Event()

    def wait(connection: sqlite3.Connection) -> None:
        started.set()
        gate.wait(10)

    tasks = [asyncio.create_task(writer.do(wait))]
    await asyncio.to_thread(started.wait)
    tasks += [asyncio.create_task(writer.do(note(str(number)))) for number in range(50)]
    await asyncio.sleep(0.05)
    # Some of those who wait, for room or for the disk, give up.
    for number in (1, 20, 30, 50):
        tasks[number].cancel()
    await asyncio.sleep(0.05)
    gate.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    await writer.close()

    assert [type(one) for one in outcomes].count(asyncio.CancelledError) == 4
    assert notes(path) == [str(number) for number in range(50) if number + 1 not in (1, 20, 30, 50)]


async def test_the_event_loop_goes_on_while_the_disk_is_slow(writer: Writer) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.005)
            turns += 1

    counting = asyncio.create_task(count())
    await writer.do(lambda connection: time.sleep(0.5))
    counting.cancel()

    assert turns > 20


async def test_closing_finishes_what_is_queued(connection: sqlite3.Connection, path: Path) -> None:
    writer = Writer(connection, path, limit=100, batch=3)
    tasks = [asyncio.create_task(writer.do(note(str(number)))) for number in range(50)]
    await asyncio.sleep(0)

    await asyncio.gather(writer.close(), writer.close())

    assert await asyncio.gather(*tasks) == [1] * 50
    assert len(notes(path)) == 50
    with pytest.raises(LogUnavailable, match="closed"):
        await writer.do(note("late"))


async def test_closing_releases_those_who_wait_for_room(connection: sqlite3.Connection, path: Path) -> None:
    writer = Writer(connection, path, limit=2, batch=1)
    tasks = [asyncio.create_task(writer.do(note(str(number)))) for number in range(30)]
    await asyncio.sleep(0)
    await writer.close()

    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    done = [str(number) for number, one in enumerate(outcomes) if one == 1]
    assert all(one == 1 or isinstance(one, LogUnavailable) for one in outcomes)
    assert notes(path) == done


def test_one_log_may_serve_one_event_loop_after_another(path: Path) -> None:
    log = SQLiteLog.open(path, limit=2)

    async def many() -> None:
        await asyncio.gather(*(log.check() for _ in range(20)))

    asyncio.run(many())
    asyncio.run(many())
    asyncio.run(log.close())


async def test_a_closed_log_says_so_and_may_be_closed_again(path: Path, make: Any) -> None:
    log = SQLiteLog.open(path)
    await log.close()
    await log.close()

    with pytest.raises(LogUnavailable, match="closed"):
        await log.add_slate(make.slate())
    with pytest.raises(LogUnavailable, match="closed"):
        log.reader.counts()
