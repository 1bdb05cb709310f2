"""Reading while others write."""

# ruff: noqa: ASYNC221 - a test has the event loop to itself

from __future__ import annotations

import asyncio
import resource
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from picktune.errors import LogUnavailable
from picktune.log import LogReader, SQLiteLog, SQLiteLogReader

pytestmark = pytest.mark.anyio


async def some(log: SQLiteLog, make: Any, count: int, **fields: Any) -> list[Any]:
    slates = [make.slate(**fields) for _ in range(count)]
    await asyncio.gather(*(log.add_slate(slate) for slate in slates))
    await asyncio.gather(*(log.add_exposure(make.exposure(slate)) for slate in slates))
    await asyncio.gather(*(log.record(make.pick(slate)) for slate in slates))
    return slates


async def test_another_process_reads_what_was_just_acknowledged(
    log: SQLiteLog, path: Path, make: Any
) -> None:
    await some(log, make, 3)
    code = (
        "import sys; from picktune.log import SQLiteLogReader as R; print(R(sys.argv[1]).counts()['picks'])"
    )

    told = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)

    assert told.stdout == "3\n"


async def test_an_iterator_sees_the_log_as_it_was(log: SQLiteLog, make: Any) -> None:
    slates = await some(log, make, 50)
    reading = log.reader.decisions()
    first = next(reading)

    await some(log, make, 50)
    await log.record(make.pick(slates[30], "undone"))

    assert [first.slate_id, *(one.slate_id for one in reading)] == [slate.id for slate in slates]
    assert len(list(log.reader.decisions())) == 99


async def test_threads_may_share_a_reader(log: SQLiteLog, make: Any) -> None:
    slates = await some(log, make, 40)
    wrong: list[object] = []

    def read() -> None:
        try:
            for slate, decision in zip(slates, log.reader.decisions(), strict=False):
                if log.reader.slate(slate.id) != slate or decision.slate_id != slate.id:
                    wrong.append(slate)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    writing = asyncio.gather(*(some(log, make, 5) for _ in range(6)))
    await asyncio.to_thread(lambda: [thread.join() for thread in threads])
    await writing

    assert wrong == []
    assert log.reader.counts()["picks"] == 70


async def test_a_reader_cannot_write(log: SQLiteLog, path: Path) -> None:
    reader: LogReader = SQLiteLogReader(path)
    with reader._connection() as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):  # type: ignore[attr-defined]
        connection.execute("DELETE FROM conversations")
    reader.close()


async def test_a_reader_that_is_closed_while_iterating(log: SQLiteLog, path: Path, make: Any) -> None:
    await some(log, make, 10)
    reader = SQLiteLogReader(path)
    reading = reader.choice_sets()
    next(reading)

    reader.close()
    reader.close()

    assert len(list(reading)) == 9
    with pytest.raises(LogUnavailable, match="closed"):
        list(reader.choice_sets())


async def test_an_iterator_that_is_dropped_holds_nothing_back(log: SQLiteLog, path: Path, make: Any) -> None:
    await some(log, make, 10)
    next(iter(log.reader.decisions()))
    next(iter(log.reader.choice_sets()))

    await some(log, make, 10)

    assert log.reader.counts()["picks"] == 20
    connection = sqlite3.connect(path)
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    connection.close()
    assert not busy
    assert path.with_name("picktune.db-wal").stat().st_size == 0


async def test_memory_stays_bounded(log: SQLiteLog, make: Any) -> None:
    # 40 MB of replies, of which a reader holds a handful at a time.
    await some(log, make, 400, texts=["x" * 25_000] * 4)
    for _ in zip(range(20), log.reader.choice_sets(), strict=False):
        pass
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    assert sum(1 for _ in log.reader.choice_sets()) == 400
    assert sum(1 for _ in log.reader.preferences()) == 1200

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16_000  # kilobytes
