"""Verifying files that are a log, that are none, and that are being written."""

# ruff: noqa: ASYNC240 - a test has the event loop to itself

from __future__ import annotations

import asyncio
import os
import sqlite3
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread
from picktune.errors import LogUnavailable
from picktune.log import SQLiteLog
from picktune.log.verify import verify

pytestmark = pytest.mark.anyio


async def test_an_empty_log(path: Path) -> None:
    await SQLiteLog.open(path).close()

    found = verify(path)

    assert found.sound
    assert found.rows == {"slates": 0, "picks": 0, "reactions": 0}
    assert found.heads == {name: f"{name}:0:{'00' * 32}" for name in ("picks", "reactions")}


async def test_no_file_and_no_log(tmp_path: Path) -> None:
    with pytest.raises(LogUnavailable, match="no log at"):
        verify(tmp_path / "none.db")
    with pytest.raises(LogUnavailable, match="no log at"):
        verify(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"just some text " * 400, os.urandom(9000)])
async def test_a_file_that_is_no_database(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    with pytest.raises(LogUnavailable, match=r"no SQLite database|not a Picktune log"):
        verify(path)

    assert path.read_bytes() == content


async def test_a_log_of_a_newer_version(path: Path) -> None:
    await SQLiteLog.open(path).close()
    connection = sqlite3.connect(path)
    connection.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) "
        "VALUES ('picktune', 'from_the_future', '')"
    )
    connection.commit()
    connection.close()

    with pytest.raises(LogUnavailable, match=r"newer Picktune.*from_the_future"):
        verify(path)


@pytest.mark.parametrize("broken", ["picks", "picks_by_time"])
async def test_a_damaged_page_is_found(path: Path, make: Any, broken: str) -> None:
    async with SQLiteLog.open(path) as log:
        await log.record(make.pick(await make.shown(log)))
    connection = sqlite3.connect(path)
    (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (broken,)).fetchone()
    connection.close()
    content = bytearray(path.read_bytes())
    content[(root - 1) * 4096 : root * 4096] = b"\xff" * 4096
    path.write_bytes(content)

    found = verify(path)

    assert not found.sound
    assert {one.kind for one in found.findings} == {"damaged"}


async def test_a_byte_that_was_changed_with_an_editor_is_found(path: Path, make: Any) -> None:
    """Behind SQLite's back, which finds nothing wrong with it."""
    async with SQLiteLog.open(path) as log:
        await log.record(make.pick(await make.shown(log), annotator="ann", comment="A very good reply"))
    content = path.read_bytes()
    assert content.count(b"A very good reply") == 1
    path.write_bytes(content.replace(b"A very good reply", b"A very poor reply"))

    (finding,) = verify(path).findings

    assert (finding.kind, finding.table, finding.id) == ("changed", "picks", 1)
    assert "its words were changed" in finding.message
    assert "'ann'" in finding.message


async def test_more_findings_than_anybody_reads(path: Path, make: Any) -> None:
    async with SQLiteLog.open(path) as log:
        for _ in range(8):
            await make.shown(log)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE slates SET policy = 'other'")
    connection.commit()
    connection.close()

    found = verify(path, limit=3)

    assert (len(found.findings), found.more) == (3, 5)
    assert not verify(path, limit=0).sound


async def test_while_the_log_is_written_one_moment_of_it_is_checked(path: Path, make: Any) -> None:
    async with SQLiteLog.open(path) as log:
        slates = [await make.shown(log) for _ in range(100)]
        writing = asyncio.gather(*(log.record(make.pick(slate)) for slate in slates))
        heads = set()
        while not writing.done():
            found = await to_thread.run_sync(verify, path)
            assert found.findings == ()
            heads.add(found.heads["picks"])
        await writing
        assert verify(path).heads["picks"].startswith("picks:100:")


async def test_a_long_log_takes_little_memory_and_tells_how_far_it_is(path: Path, make: Any) -> None:
    async with SQLiteLog.open(path) as log:

        async def decide() -> None:
            slate = await make.shown(log, ["base", "champion"], texts=["x" * 2000, "y" * 2000])
            await log.record(make.pick(slate, edited_text="z" * 2000))

        for _ in range(6):
            await asyncio.gather(*(decide() for _ in range(250)))
    told: list[tuple[str, int, int | None]] = []
    verify(path)  # what is made once is not counted
    tracemalloc.start()
    try:
        found = verify(path, progress=lambda *said: told.append(said))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert found.sound
    assert path.stat().st_size > 9_000_000
    assert peak < 2_000_000
    assert [one for one in told if one[0] == "picks"] == [("picks", done, 1500) for done in (500, 1000, 1500)]
    assert {stage for stage, _, _ in told} == {"the file", "references", "slates", "picks"}
