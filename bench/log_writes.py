"""Durable picks a second: the log's writer beside one that commits each request by itself, in turn."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import local

from log_biglog import Progress, build
from picktune.log import SQLiteLog, rows
from picktune.log.chain import LINK
from picktune.records import Pick, utc_now

CALLERS = 2000
THREADS = 40  # as many as Starlette gives to handlers that are no coroutines
VIEWER = "somebody new"
COLUMNS = f"{rows.PICK}, {LINK}"
NAIVE = f"INSERT INTO picks ({COLUMNS}) VALUES ({', '.join('?' * (COLUMNS.count(',') + 1))})"
SEALS = (bytes(32), bytes(32), bytes(16), bytes(32), bytes(16), bytes(32))


@dataclass(frozen=True, slots=True)
class Writes:
    """Picks a second: ours; naive with one connection; naive with a connection for each of many threads.

    ``fsync_ms`` is what the disk takes to keep 8 KiB; ``ack_…`` the time until a pick is acknowledged, at
    half our rate.
    """

    ours: float
    naive: float
    naive_threads: float
    fsync_ms: float
    ack_p50_ms: float
    ack_p99_ms: float


def measure(folder: Path, rounds: int, picks: int, progress: Progress) -> Writes:
    """Take turns in each round, so that what else the machine does falls on all of them."""
    count = rounds * picks + 4 * picks
    path, beside = folder / "writes.db", folder / "naive.db"
    build(path, count, lambda stage, done, total: progress("a log to write into", done, total), undecided=0)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(
            "INSERT INTO exposures SELECT slate_id, ?, places, shown_at FROM exposures", (VIEWER,)
        )
    connection.execute("VACUUM INTO ?", (str(beside),))
    connection.close()
    _without_triggers(beside)
    return asyncio.run(_in_turn(path, beside, rounds, picks, progress))


async def _in_turn(path: Path, beside: Path, rounds: int, picks: int, progress: Progress) -> Writes:
    waiting = iter(_picks(path))
    speeds: dict[str, list[float]] = {"ours": [], "naive": [], "threads": [], "fsync": []}

    def some(count: int) -> list[Pick]:
        return [pick for _, pick in zip(range(count), waiting, strict=False)]

    async with SQLiteLog.open(path) as log:
        for number in range(rounds):
            few = some(picks // 10)
            speeds["fsync"] += _fsyncs(path.parent / "fsync")
            speeds["naive"].append(len(few) / naive(beside, few))
            few = some(picks // 20)
            speeds["threads"].append(len(few) / naive_threads(beside, few))
            many = some(picks - picks // 10 - picks // 20)
            speeds["ours"].append(len(many) / await _keep(log, iter(many)))
            progress("writing in turn", number + 1, rounds)
        ours = statistics.median(speeds["ours"])
        took = sorted(await _acknowledged(log, some(3 * picks), ours / 2))
    return Writes(
        ours=ours,
        naive=statistics.median(speeds["naive"]),
        naive_threads=statistics.median(speeds["threads"]),
        fsync_ms=1000 * statistics.median(speeds["fsync"]),
        ack_p50_ms=1000 * took[len(took) // 2],
        ack_p99_ms=1000 * took[int(0.99 * len(took))],
    )


async def _keep(log: SQLiteLog, picks: Iterator[Pick]) -> float:
    """Many callers, each of which sends its next pick when the last was acknowledged; seconds."""

    async def caller() -> None:
        for pick in picks:
            await log.record(pick)

    before = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return time.perf_counter() - before


async def _acknowledged(log: SQLiteLog, picks: list[Pick], rate: float) -> list[float]:
    """Seconds from when each was due until it was acknowledged, with so many due in each second."""
    took: list[float] = []
    start = time.perf_counter()

    async def one(pick: Pick, due: float) -> None:
        await log.record(pick)
        took.append(time.perf_counter() - due)

    async with asyncio.TaskGroup() as tasks:
        for number, pick in enumerate(picks):
            due = start + number / rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            tasks.create_task(one(pick, due))
    return took


def naive(path: Path, picks: list[Pick]) -> float:
    """The same rows, each in a transaction of its own, one after the other; seconds."""
    connection = _durable(path)
    before = time.perf_counter()
    for pick in picks:
        _commit(connection, pick)
    took = time.perf_counter() - before
    connection.close()
    return took


def naive_threads(path: Path, picks: list[Pick]) -> float:
    """The same, by many threads at once, each with a connection of its own; seconds."""
    mine, opened = local(), list[sqlite3.Connection]()

    def request(pick: Pick) -> None:
        if not hasattr(mine, "connection"):
            mine.connection = _durable(path)
            opened.append(mine.connection)
        _commit(mine.connection, pick)

    before = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(request, picks))
    took = time.perf_counter() - before
    for connection in opened:
        connection.close()
    return took


def _commit(connection: sqlite3.Connection, pick: Pick) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(NAIVE, (*rows.pick_row(pick), *SEALS))
    connection.execute("COMMIT")


def _durable(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=60, check_same_thread=False)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _without_triggers(path: Path) -> None:
    """The naive writer keeps the rows and their indices, and no chain."""
    connection = sqlite3.connect(path)
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()


def _picks(path: Path) -> list[Pick]:
    """A decision for everything that the new viewer has seen."""
    connection = sqlite3.connect(path)
    found = connection.execute(
        "SELECT e.slate_id, c.id FROM exposures e "
        "JOIN candidates c ON c.slate_id = e.slate_id AND c.place = 1 WHERE e.viewer = ?",
        (VIEWER,),
    ).fetchall()
    connection.close()
    return [
        Pick(
            key=slate_id,
            slate_id=slate_id,
            verdict="chosen",
            candidate_id=candidate_id,
            annotator=VIEWER,
            dwell_ms=8000,
            decided_at=utc_now(),
        )
        for slate_id, candidate_id in found
    ]


def _fsyncs(path: Path) -> list[float]:
    took = []
    with path.open("ab", buffering=0) as file:
        for _ in range(50):
            file.write(bytes(8192))
            before = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - before)
    return took
