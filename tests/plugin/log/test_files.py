"""Files that are a log, and files that are not."""

# ruff: noqa: ASYNC240 - a test has the event loop to itself

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from picktune.errors import LogUnavailable
from picktune.log import SQLiteLog, SQLiteLogReader

pytestmark = pytest.mark.anyio


async def closed_log(path: Path, make: Any) -> Any:
    async with SQLiteLog.open(path) as log:
        return await make.shown(log)


async def test_a_log_is_made_with_its_folder_for_its_owner_alone(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "not there yet" / "a#b?c%20d 数据.db"

    slate = await closed_log(path, make)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    async with SQLiteLog.open(str(path)) as log:
        assert log.reader.slate(slate.id) == slate


async def test_it_writes_ahead_and_waits_for_the_disk(log: SQLiteLog, path: Path) -> None:
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    applied = [name for (name,) in connection.execute("SELECT name FROM _sqlite_migrations ORDER BY id")]
    assert applied[:2] == ["slates_and_decisions", "hash_chain"]
    assert len(set(applied)) == len(applied)
    connection.close()


async def test_many_processes_may_open_a_new_log_at_once(path: Path) -> None:
    opened: list[SQLiteLog | BaseException] = []

    def open_one() -> None:
        try:
            opened.append(SQLiteLog.open(path))
        except BaseException as error:
            opened.append(error)

    threads = [threading.Thread(target=open_one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for one in opened:
        assert isinstance(one, SQLiteLog), one
        await one.check()
        await one.close()


@pytest.mark.parametrize("content", [b"", b"not a database, just some text " * 200, os.urandom(8192)])
async def test_a_file_that_is_no_database(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    with pytest.raises(LogUnavailable, match=r"log|database"):
        SQLiteLogReader(path)
    if content:
        with pytest.raises(LogUnavailable, match="no SQLite database"):
            SQLiteLog.open(path)
        assert path.read_bytes() == content


async def test_somebody_elses_database_is_left_alone(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE picks (name)")
    connection.commit()
    connection.close()
    before = path.read_bytes()

    for opens in (SQLiteLog.open, SQLiteLogReader):
        with pytest.raises(LogUnavailable, match="not a Picktune log"):
            opens(path)

    assert path.read_bytes() == before


async def test_a_log_of_a_newer_version_is_refused(path: Path, make: Any) -> None:
    await closed_log(path, make)
    connection = sqlite3.connect(path)
    connection.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) "
        "VALUES ('picktune', 'from_the_future', '')"
    )
    connection.commit()
    connection.close()

    for opens in (SQLiteLog.open, SQLiteLogReader):
        with pytest.raises(LogUnavailable, match=r"newer Picktune.*from_the_future.*upgrade"):
            opens(path)


async def test_a_log_of_an_older_version_is_read_only_after_the_server_has_migrated_it(
    path: Path, make: Any
) -> None:
    await closed_log(path, make)
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM _sqlite_migrations")
    connection.commit()
    connection.close()

    with pytest.raises(LogUnavailable, match=r"older Picktune.*slates_and_decisions"):
        SQLiteLogReader(path)


async def test_no_log_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(LogUnavailable, match="no log at"):
        SQLiteLogReader(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()
    for opens in (SQLiteLog.open, SQLiteLogReader):
        with pytest.raises(LogUnavailable):
            opens(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(LogUnavailable, match="writable"):
        SQLiteLog.open(tmp_path / "file" / "picktune.db")


async def test_a_log_that_another_process_keeps_writing(path: Path, make: Any) -> None:
    async with SQLiteLog.open(path, busy_timeout=0.1) as log:
        slate = make.slate()
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        outcomes = await asyncio.gather(
            log.add_slate(slate), log.add_slate(make.slate()), log.check(), return_exceptions=True
        )

        for outcome in outcomes:
            assert isinstance(outcome, LogUnavailable)
            assert "another process" in str(outcome)
        assert log.reader.counts()["slates"] == 0
        other.execute("ROLLBACK")
        other.close()
        await log.add_slate(slate)
        assert log.reader.slate(slate.id) == slate


async def test_two_servers_on_one_log_take_turns(path: Path, make: Any) -> None:
    async with SQLiteLog.open(path) as one, SQLiteLog.open(path) as other:
        slates = [make.slate() for _ in range(60)]
        await asyncio.gather(
            *((one, other)[place % 2].add_slate(slate) for place, slate in enumerate(slates))
        )

        assert one.reader.counts()["slates"] == other.reader.counts()["slates"] == 60


@pytest.mark.parametrize("fate", ["moved", "deleted", "replaced"])
async def test_a_file_that_goes_away_is_noticed_before_anything_is_acknowledged(
    log: SQLiteLog, path: Path, make: Any, fate: str
) -> None:
    await log.check()
    aside = path.with_name("aside.db")
    path.rename(aside)
    if fate == "deleted":
        aside.unlink()
    elif fate == "replaced":
        shutil.copy(aside, path)

    with pytest.raises(LogUnavailable, match="moved, deleted or replaced"):
        await log.add_slate(make.slate())
    if fate == "moved":
        aside.rename(path)
        await log.check()


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """The folder on a mount that cannot be written: the super-user may write what modes forbid."""
    made = subprocess.run(["mount", "--bind", folder, folder], capture_output=True)
    if made.returncode:
        pytest.skip("mounting needs the super-user")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True, capture_output=True)
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


async def test_a_log_on_a_read_only_disk_can_be_read(tmp_path: Path, make: Any) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    slate = await closed_log(folder / "picktune.db", make)

    with read_only(folder):
        with pytest.raises(LogUnavailable, match="writable"):
            SQLiteLog.open(folder / "picktune.db")
        with SQLiteLogReader(folder / "picktune.db") as reader:
            assert reader.slate(slate.id) == slate


@pytest.mark.skipif(os.geteuid() == 0, reason="the super-user may write every file")
async def test_a_read_only_file_says_so(path: Path, make: Any) -> None:
    await closed_log(path, make)
    path.chmod(0o400)

    with pytest.raises(LogUnavailable, match="writable"):
        SQLiteLog.open(path)


async def test_a_damaged_log_is_unavailable_and_says_what_to_do(path: Path, make: Any) -> None:
    slate = await closed_log(path, make)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)

    for use in (SQLiteLog.open, lambda path: SQLiteLogReader(path).slate(slate.id)):
        with pytest.raises(LogUnavailable, match=r"damaged.*backup"):
            use(path)


async def test_damage_that_shows_only_in_use(path: Path, make: Any) -> None:
    slate = await closed_log(path, make)
    connection = sqlite3.connect(path)
    (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'candidates'").fetchone()
    connection.close()
    content = bytearray(path.read_bytes())
    content[(root - 1) * 4096 : root * 4096] = b"\xff" * 4096
    path.write_bytes(content)

    async with SQLiteLog.open(path) as log:
        with pytest.raises(LogUnavailable, match="damaged"):
            log.reader.slate(slate.id)
        with pytest.raises(LogUnavailable, match="damaged"):
            await log.add_slate(make.slate())
        await log.check()
