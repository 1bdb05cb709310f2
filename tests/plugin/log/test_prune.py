"""Retention: what nobody decided on goes when it is old; what somebody decided on stays, and stays sound."""

# ruff: noqa: ASYNC221, ASYNC240 - a test has the event loop to itself

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import textwrap
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread
from msgspec import structs
from picktune.errors import InvalidInput, LogUnavailable, SlateNotFound
from picktune.log import SQLiteLog, SQLiteLogReader
from picktune.log import prune as room
from picktune.log.prune import Pruned, prunable, prune
from picktune.log.verify import verify

pytestmark = pytest.mark.anyio

LATER = timedelta(days=1)


async def test_only_old_slates_that_nobody_decided_on_go(log: SQLiteLog, path: Path, make: Any) -> None:
    unseen = make.slate()
    await log.add_slate(unseen)
    seen = await make.shown(log, viewers=("ann", "bob"))
    decided, undone, reacted = [await make.shown(log) for _ in range(3)]
    await log.record(make.pick(decided))
    await log.record(make.pick(undone))
    await log.record(make.pick(undone, "undone"))
    await log.react(make.reaction(reacted))
    again = make.slate()
    await log.add_slate(again)
    young = make.now + LATER
    await log.add_exposure(make.exposure(again, shown_at=young + LATER))  # seen only yesterday
    new = make.slate(created_at=young)
    await log.add_slate(new)
    before = log.reader.counts()

    assert prunable(path, young) == 2
    assert log.reader.counts() == before
    assert prune(path, young) == Pruned(slates=2, candidates=8, turns=2, exposures=2)

    for slate in (unseen, seen):
        with pytest.raises(SlateNotFound):
            log.reader.slate(slate.id)
    for slate in (decided, undone, reacted, again, new):
        assert log.reader.slate(slate.id) == slate
    after = log.reader.counts()
    assert (after["picks"], after["reactions"]) == (before["picks"], before["reactions"])
    assert verify(path).findings == ()
    assert prune(path, young) == Pruned()
    with pytest.raises(SlateNotFound):
        await log.record(make.pick(seen))
    await log.add_slate(seen)  # an id that is gone is free again
    assert log.reader.slate(seen.id) == seen


async def test_a_turn_stays_as_long_as_a_slate_needs_it(log: SQLiteLog, path: Path, make: Any) -> None:
    decided = await make.shown(log)
    await log.record(make.pick(decided))
    other = structs.replace(make.slate(), turn=decided.turn)
    await log.add_slate(other)

    assert prune(path, make.now + LATER) == Pruned(slates=1, candidates=4, turns=0, exposures=0)
    assert log.reader.slate(decided.id) == decided
    assert verify(path).sound


async def test_what_is_deleted_is_wiped(path: Path, make: Any) -> None:
    async with SQLiteLog.open(path) as log:
        for _ in range(30):
            await make.shown(log, texts=["Mrs Secret lives here. " * 40] * 4)
    assert b"Mrs Secret" in path.read_bytes()

    prune(path, make.now + LATER)

    assert b"Mrs Secret" not in path.read_bytes()
    assert not Path(f"{path}-wal").exists()


async def test_while_a_server_writes_everybody_gets_a_turn(
    log: SQLiteLog, path: Path, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_BATCH", 5)
    await asyncio.gather(*(make.shown(log) for _ in range(100)))
    fresh = await asyncio.gather(*(make.shown(log, created_at=make.now + 9 * LATER) for _ in range(60)))
    told: list[int] = []
    begun, loop = asyncio.Event(), asyncio.get_running_loop()

    def tell(done: int) -> None:
        told.append(done)
        loop.call_soon_threadsafe(begun.set)

    pruning = asyncio.ensure_future(to_thread.run_sync(lambda: prune(path, make.now + LATER, progress=tell)))
    written_between = 0
    async with asyncio.timeout(20):
        await begun.wait()
    for slate in fresh:
        await log.record(make.pick(slate))
        written_between += 0 < len(told) < 20
    pruned = await pruning

    assert pruned.slates == 100
    assert told == list(range(5, 101, 5))
    assert written_between
    assert verify(path).sound
    assert log.reader.counts()["slates"] == 60


KILLED = textwrap.dedent(
    """
    import os, signal, sys
    from datetime import UTC, datetime
    from picktune.log import prune

    prune._BATCH = 10
    prune.prune(sys.argv[1], datetime(2100, 1, 1, tzinfo=UTC),
                progress=lambda done: done >= 50 and os.kill(os.getpid(), signal.SIGKILL))
    """
)


async def test_killed_half_way_whole_slates_are_gone(path: Path, make: Any) -> None:
    async with SQLiteLog.open(path) as log:
        await asyncio.gather(*(make.shown(log) for _ in range(100)))

    subprocess.run([sys.executable, "-c", KILLED, path], check=False)

    assert verify(path).sound
    with SQLiteLogReader(path) as reader:
        counts = reader.counts()
    assert (counts["slates"], counts["turns"], counts["candidates"], counts["exposures"]) == (50, 50, 200, 50)
    assert prune(path, make.now + LATER).slates == 50


async def test_what_cannot_be_pruned(tmp_path: Path, path: Path, make: Any) -> None:
    for use in (prune, prunable):
        with pytest.raises(LogUnavailable, match="no log at"):
            use(tmp_path / "none.db", make.now)
    assert list(tmp_path.iterdir()) == []
    await SQLiteLog.open(path).close()
    for use in (prune, prunable):
        assert use(path, make.now) in (0, Pruned())
        with pytest.raises(InvalidInput, match="time zone"):
            use(path, make.now.replace(tzinfo=None))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LogUnavailable, match="another process"):
        prune(path, make.now, busy_timeout=0.05)
    other.close()
