"""Vacuum: the room of deleted rows goes back to the disk, and nothing else changes."""

# ruff: noqa: ASYNC240 - a test has the event loop to itself

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from picktune.errors import Conflict, LogUnavailable
from picktune.log import SQLiteLog, SQLiteLogReader
from picktune.log import vacuum as room
from picktune.log.prune import prune
from picktune.log.vacuum import reclaimable, vacuum
from picktune.log.verify import verify

pytestmark = pytest.mark.anyio


async def pruned(path: Path, make: Any) -> None:
    async with SQLiteLog.open(path) as log:
        for _ in range(40):
            await log.add_slate(make.slate(texts=["many words " * 200] * 4))
        await log.record(make.pick(await make.shown(log)))
    prune(path, make.now + timedelta(days=1))


async def test_the_file_shrinks_and_stays_what_it_was(path: Path, make: Any) -> None:
    await pruned(path, make)
    heads, (free, size) = verify(path).heads, reclaimable(path)
    assert 0 < free < size == path.stat().st_size
    told: list[int] = []

    found = vacuum(path, progress=lambda: told.append(1))

    assert (found.before, found.after) == (size, path.stat().st_size)
    assert found.after < size - free / 2
    assert reclaimable(path)[0] == 0
    assert verify(path).sound
    assert verify(path).heads == heads
    assert {file.name for file in path.parent.iterdir()} <= {path.name + end for end in ("", "-wal", "-shm")}
    async with SQLiteLog.open(path) as log:  # it writes ahead again
        await log.record(make.pick(await make.shown(log)))
        assert Path(f"{path}-wal").exists()


async def test_whoever_has_it_open_is_not_disturbed(path: Path, make: Any) -> None:
    await pruned(path, make)
    size = path.stat().st_size
    async with SQLiteLog.open(path) as log:
        with pytest.raises(Conflict, match=r"another process has the log .* open: stop the server"):
            vacuum(path)
        await log.record(make.pick(await make.shown(log)))
    with SQLiteLogReader(path) as reader:
        list(reader.decisions())
        with pytest.raises(Conflict, match="another process"):
            vacuum(path)
    assert path.stat().st_size >= size
    assert verify(path).sound
    vacuum(path)


async def test_a_disk_without_room_is_found_out_before(
    path: Path, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pruned(path, make)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(Conflict, match=r"needs .* MB beside it, and the disk has 0 MB"):
        vacuum(path)


def test_no_log(path: Path) -> None:
    with pytest.raises(LogUnavailable, match="there is no log"):
        vacuum(path)
    assert not path.exists()
