"""Backups: whole and checked, or not there; made while others write."""

# ruff: noqa: ASYNC220, ASYNC240 - a test has the event loop to itself

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread
from filelock import FileLock
from picktune.errors import Conflict, LogUnavailable
from picktune.log import SQLiteLog, SQLiteLogReader, schema
from picktune.log.backup import back_up, backup_name, own_backups, thin_out
from picktune.log.verify import verify
from sqlite_utils import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
async def filled(path: Path, make: Any) -> Path:
    async with SQLiteLog.open(path) as log:
        for _ in range(3):
            await log.record(make.pick(await make.shown(log, texts=["x" * 50_000] * 4)))
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "backups" / "copy.db"


def beside(target: Path) -> set[str]:
    return {one.name for one in target.parent.iterdir()} - {".picktune-backup.lock"}


async def test_a_backup_is_the_log_in_one_file_for_its_owner_alone(filled: Path, target: Path) -> None:
    found = back_up(filled, target)

    assert found == verify(target) == verify(filled)
    assert found.rows["picks"] == 3
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with SQLiteLogReader(target) as copy, SQLiteLogReader(filled) as reader:
        assert copy.counts() == reader.counts()
        assert list(copy.choice_sets()) == list(reader.choice_sets())
    assert beside(target) == {"copy.db"}


async def test_a_backup_that_is_put_in_place_goes_on(filled: Path, target: Path, make: Any) -> None:
    back_up(filled, target)

    async with SQLiteLog.open(target) as log:
        await log.record(make.pick(await make.shown(log)))

    assert verify(target).sound
    assert verify(target).rows["picks"] == 4


async def test_while_others_write_it_is_one_moment_and_nobody_waits(
    path: Path, target: Path, make: Any
) -> None:
    """Two servers write all the time; SQLite's own copying would begin anew at every commit."""
    async with SQLiteLog.open(path) as one, SQLiteLog.open(path) as other:
        texts = ["x" * 20_000] * 4
        for _ in range(40):
            await make.shown(one, texts=texts)
        slates = await asyncio.gather(*(make.shown(one) for _ in range(200)))
        recorded = 0

        async def write(log: SQLiteLog, some: list[Any]) -> None:
            nonlocal recorded
            for slate in some:
                await log.record(make.pick(slate))
                recorded += 1

        writing = asyncio.gather(write(one, slates[::2]), write(other, slates[1::2]))
        counts = []
        while not writing.done():
            before = recorded
            found = await to_thread.run_sync(lambda: back_up(path, target, force=True))
            assert found.sound
            assert before <= found.rows["picks"] <= recorded + 2
            counts.append((before, recorded))
        await writing

    assert verify(path).rows["picks"] == 200
    assert any(after > before for before, after in counts), "nothing was written during a backup"


KILLED = textwrap.dedent(
    """
    import sys, time
    from picktune.log.backup import back_up

    def progress(stage, done, total):
        if stage == sys.argv[3]:
            print(stage, flush=True)
            time.sleep(60)

    back_up(sys.argv[1], sys.argv[2], force=True, progress=progress)
    """
)


@pytest.mark.parametrize("stage", ["copy", "slates"])
@pytest.mark.parametrize("there", [False, True])
async def test_killed_half_way_it_leaves_what_was_there(
    filled: Path, target: Path, stage: str, there: bool
) -> None:
    if there:
        back_up(filled, target)
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, filled, target, stage], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline().strip() == stage
    with pytest.raises(Conflict, match="another backup into"):
        back_up(filled, target, force=True)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()

    assert target.exists() is there
    assert not there or verify(target).sound
    assert own_backups(target.parent) == []
    back_up(filled, target, force=True)
    assert verify(target).sound
    assert beside(target) == {"copy.db"}


async def test_what_is_there_stays_unless_it_is_said_otherwise(filled: Path, target: Path) -> None:
    target.parent.mkdir()
    target.write_text("mine")

    with pytest.raises(Conflict, match=r"there already.*--force"):
        back_up(filled, target)
    assert target.read_text() == "mine"
    assert beside(target) == {"copy.db"}

    back_up(filled, target, force=True)
    assert verify(target).sound


async def test_a_file_that_comes_meanwhile_stays(filled: Path, target: Path) -> None:
    def progress(stage: str, done: int, total: int | None) -> None:
        target.write_text("mine")

    with pytest.raises(Conflict, match="meanwhile"):
        back_up(filled, target, progress=progress)

    assert target.read_text() == "mine"
    assert beside(target) == {"copy.db"}


@pytest.mark.parametrize("force", [False, True])
async def test_the_log_itself_and_logs_in_use_are_no_targets(
    filled: Path, tmp_path: Path, force: bool
) -> None:
    (tmp_path / "link.db").symlink_to(filled)
    os.link(filled, tmp_path / "same.db")
    for itself in (filled, tmp_path / "link.db", tmp_path / "same.db"):
        with pytest.raises(Conflict, match="log itself"):
            back_up(filled, itself, force=force)
    with pytest.raises(Conflict, match="folder"):
        back_up(filled, tmp_path, force=force)
    async with SQLiteLog.open(tmp_path / "other.db") as other:
        await other.check()
        with pytest.raises(Conflict, match="there already" if not force else "in use"):
            back_up(filled, tmp_path / "other.db", force=force)
        await other.check()


async def test_places_that_cannot_be_written(filled: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LogUnavailable, match="cannot be written"):
        back_up(filled, tmp_path / "file" / "copy.db")
    with pytest.raises(LogUnavailable, match="cannot be written"):
        back_up(filled, tmp_path / ("n" * 300))
    with pytest.raises(LogUnavailable, match="no log at"):
        back_up(tmp_path / "none.db", tmp_path / "copy.db")
    with pytest.raises(LogUnavailable, match="not a Picktune log"):
        back_up(tmp_path / "file", tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of half a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", folder], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting needs the super-user")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


async def test_a_full_disk_keeps_the_backup_that_was_there(filled: Path, disk: Path, make: Any) -> None:
    small = filled.with_name("small.db")
    await SQLiteLog.open(small).close()
    back_up(small, disk / "copy.db")

    with pytest.raises(LogUnavailable, match=r"full.*make room"):
        back_up(filled, disk / "copy.db", force=True)

    assert verify(disk / "copy.db").rows["picks"] == 0
    assert beside(disk / "copy.db") == {"copy.db"}


async def test_a_log_that_is_not_sound_replaces_no_backup(filled: Path, target: Path) -> None:
    back_up(filled, target)
    connection = sqlite3.connect(filled)
    connection.execute("UPDATE candidates SET arm = 'champion'")
    connection.commit()
    connection.close()

    with pytest.raises(LogUnavailable, match=r"not sound \(slate .* is not what it was.*picktune verify"):
        back_up(filled, target, force=True)

    assert verify(target).sound
    assert beside(target) == {"copy.db"}


async def test_a_log_can_be_backed_up_before_it_is_brought_up_to_date(path: Path, target: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    schema.migrations.apply(Database(connection), stop_before="hash_chain")
    connection.execute("INSERT INTO alias_changes (champion, seen_at) VALUES ('v1', 1)")
    connection.close()

    found = back_up(path, target)

    assert (found.chained, found.sound, found.heads) == (False, True, {})
    await SQLiteLog.open(target).close()
    with SQLiteLogReader(target) as reader:
        assert reader.counts()["alias_changes"] == 1
    assert verify(target).sound


async def test_one_at_a_time_in_a_folder(filled: Path, target: Path) -> None:
    target.parent.mkdir()
    with (
        FileLock(target.parent / ".picktune-backup.lock"),
        pytest.raises(Conflict, match="another backup into"),
    ):
        back_up(filled, target)
    assert not target.exists()


async def test_the_oldest_of_its_own_are_deleted(tmp_path: Path) -> None:
    names = [backup_name(datetime(2026, 1, day, 3, 4, 5, 6, tzinfo=UTC)) for day in (9, 1, 5, 30)]
    newest = tmp_path / names[3]
    assert own_backups(tmp_path / "none") == thin_out(tmp_path / "none", 1, newest=newest) == []
    others = ["picktune.db", "picktune-2026.db", f"{names[0]}-wal", "notes.txt", "picktune-20200101.db"]
    for name in [*names, *others]:
        (tmp_path / name).touch()
    (tmp_path / backup_name(datetime(2020, 1, 1, tzinfo=UTC))).mkdir()

    assert names[0] == "picktune-20260109-030405-000006.db"
    assert thin_out(tmp_path, 9, newest=newest) == thin_out(tmp_path, 4, newest=newest) == []
    assert [one.name for one in thin_out(tmp_path, 2, newest=newest)] == [names[1], names[2]]
    assert [one.name for one in own_backups(tmp_path)] == [names[0], names[3]]
    # Made by a clock that had been set back.
    assert [one.name for one in thin_out(tmp_path, 1, newest=tmp_path / names[0])] == [names[3]]
    assert [one.name for one in own_backups(tmp_path)] == [names[0]]
    assert all((tmp_path / name).exists() for name in others)
