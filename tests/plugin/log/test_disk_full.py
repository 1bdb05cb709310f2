"""A full disk: a clear refusal, nothing half-written, and no restart needed once there is room again."""

# ruff: noqa: ASYNC221 - a test has the event loop to itself

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from picktune.errors import LogUnavailable
from picktune.log import SQLiteLog
from picktune.log.files import open_for_writing
from picktune.log.reader import SQLiteLogReader
from picktune.log.verify import verify
from picktune.log.writer import Writer

pytestmark = pytest.mark.anyio


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting needs the super-user")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def full(outcomes: list[Any]) -> bool:
    refused = [one for one in outcomes if one is not None]
    assert all(isinstance(one, LogUnavailable) and "disk is full" in str(one) for one in refused)
    return bool(refused)


async def fill(log: SQLiteLog, make: Any) -> list[Any]:
    """The slates that were acknowledged until the disk was full."""
    kept = []
    for _ in range(400):
        slates = [make.slate(texts=[f"{place}" * 5000 for place in range(4)]) for _ in range(8)]
        outcomes = await asyncio.gather(*(log.add_slate(slate) for slate in slates), return_exceptions=True)
        kept += [slate for slate, outcome in zip(slates, outcomes, strict=True) if outcome is None]
        if full(outcomes):
            return kept
    raise AssertionError("the disk never filled up")


async def test_a_real_disk(disk: Path, make: Any) -> None:
    ballast = disk / "ballast"
    ballast.write_bytes(b"\0" * 400_000)
    async with SQLiteLog.open(disk / "picktune.db") as log:
        kept = await fill(log, make)
        assert kept
        counts = log.reader.counts()
        assert counts["slates"] == counts["turns"] == len(kept)
        assert counts["candidates"] == 4 * len(kept)
        big = make.slate(texts=["x" * 500_000] * 4)
        with pytest.raises(LogUnavailable, match="disk is full"):
            await log.add_slate(big)

        ballast.unlink()

        pick = make.pick(kept[0])
        await log.add_exposure(make.exposure(kept[0]))
        assert await log.record(pick) == pick
        await log.check()
        assert [log.reader.slate(slate.id) for slate in kept] == kept
    connection = sqlite3.connect(disk / "picktune.db")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


LIMITED = textwrap.dedent(
    """
    import asyncio, resource, sys
    from picktune.errors import LogUnavailable
    from picktune.log import SQLiteLog, SQLiteLogReader
    from picktune.records import Exposure, Pick, utc_now

    async def decide(log, slate_id, order):
        for number in range(10_000):
            who = f"viewer {number}"
            await log.add_exposure(Exposure(slate_id=slate_id, viewer=who, order=order, shown_at=utc_now()))
            pick = Pick(key=who, slate_id=slate_id, verdict="tie", annotator=who, decided_at=utc_now())
            await log.record(pick)
            print(who, flush=True)

    async def main(path, slate_id, *order):
        async with SQLiteLog.open(path) as log:
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))
            try:
                await decide(log, slate_id, order)
            except LogUnavailable as error:
                print("refused:", error)
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            await log.check()
            print("goes on")

    asyncio.run(main(*sys.argv[1:]))
    """
)


async def test_the_operating_system_refuses_to_write(path: Path, make: Any) -> None:
    """As a full disk does, and without being the super-user."""
    async with SQLiteLog.open(path) as log:
        slate = make.slate()
        await log.add_slate(slate)
    order = [one.id for one in slate.candidates]
    said = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path), slate.id, *order],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.splitlines()
    acknowledged = [line for line in said if line.startswith("viewer")]
    assert said[-1] == "goes on"
    assert said[-2].startswith("refused: the log")
    assert acknowledged
    with SQLiteLogReader(path) as reader:
        stored = {one.annotator for one in reader.decisions()}
    assert set(acknowledged) <= stored
    assert len(stored) <= len(acknowledged) + 1
    assert verify(path).sound


async def test_a_file_at_its_limit(path: Path, make: Any) -> None:
    connection = open_for_writing(path, busy_timeout=1)
    connection.execute("PRAGMA max_page_count = 100")
    log = SQLiteLog(Writer(connection, path, limit=64, batch=32), SQLiteLogReader(path))
    kept = await fill(log, make)
    assert log.reader.counts()["slates"] == len(kept) > 0

    # What fits goes through beside what does not.
    small, big = make.slate(texts=["a"] * 2, arms=("base", "champion")), make.slate(texts=["x" * 500_000] * 4)
    outcomes = await asyncio.gather(log.add_slate(big), log.add_slate(small), return_exceptions=True)
    assert isinstance(outcomes[0], LogUnavailable)
    assert outcomes[1] is None
    assert log.reader.counts()["slates"] == len(kept) + 1

    connection.execute("PRAGMA max_page_count = 100000")
    await log.add_slate(big)
    assert log.reader.slate(big.id) == big
    await log.close()
