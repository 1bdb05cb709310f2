"""Repair: what can be read of a damaged log is saved, and the damaged file is left as it is."""

# ruff: noqa: ASYNC240 - a test has the event loop to itself

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from picktune.errors import Conflict, LogUnavailable
from picktune.log import SQLiteLog, SQLiteLogReader
from picktune.log.repair import repair, repaired_name
from picktune.log.verify import verify

pytestmark = pytest.mark.anyio

SLATES = 60


@pytest.fixture
async def filled(path: Path, make: Any) -> Path:
    async with SQLiteLog.open(path) as log:
        for _ in range(SLATES):
            conversation = make.conversation()
            await log.add_conversations([conversation])
            slate = await make.shown(
                log, conversation=conversation, texts=[f"{place} words " * 20 for place in range(4)]
            )
            await log.record(make.pick(slate))
            await log.react(make.reaction(slate))
    return path


def pages_of(path: Path, table: str) -> list[int]:
    connection = sqlite3.connect(path)
    root, size = connection.execute(
        "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_master WHERE name = ?",
        (table,),
    ).fetchone()
    connection.close()
    data = path.read_bytes()
    page = data[(root - 1) * size : root * size]
    assert page[0] in (5, 2), "the table has one page only"
    cells = int.from_bytes(page[3:5])
    places = [int.from_bytes(page[12 + 2 * cell : 14 + 2 * cell]) for cell in range(cells)]
    return [int.from_bytes(page[place : place + 4]) for place in places]


def damage(path: Path, page: int) -> bytes:
    data = bytearray(path.read_bytes())
    size = int.from_bytes(data[16:18])
    data[(page - 1) * size : page * size] = random.Random(page).randbytes(size)
    path.write_bytes(data)
    return bytes(data)


async def test_a_sound_log_is_saved_whole(filled: Path, tmp_path: Path) -> None:
    target = tmp_path / "saved.db"

    found = repair(filled, target)

    assert (found.damaged, found.orphans) == ((), {})
    assert verify(target) == verify(filled)
    assert target.stat().st_mode & 0o777 == 0o600
    with SQLiteLogReader(filled) as one, SQLiteLogReader(target) as other:
        assert list(one.decisions()) == list(other.decisions())
        assert one.counts() == other.counts()


@pytest.mark.parametrize("table", ["turns", "picks", "candidates", "slates", "conversations"])
async def test_what_is_readable_is_saved(filled: Path, table: str, make: Any) -> None:
    pages = pages_of(filled, table)
    bytes_ = damage(filled, pages[len(pages) // 2])
    assert not verify(filled).sound
    target = repaired_name(filled)

    found = repair(filled, target)

    assert filled.read_bytes() == bytes_
    assert found.damaged == (table,)
    assert 0 < found.rows["picks"] - found.orphans.get("picks", 0) <= SLATES
    assert found.rows[table] >= SLATES // 4
    after = verify(target)
    assert {one.kind for one in after.findings} <= {"removed", "changed"}, after.findings
    async with SQLiteLog.open(target) as log:  # and it goes on
        assert len(list(log.reader.decisions())) == found.rows["picks"] - found.orphans.get("picks", 0)
        await log.record(make.pick(await make.shown(log)))
    with pytest.raises(Conflict, match="is there already"):
        repair(filled, target)


async def test_a_damaged_log_that_was_not_closed_is_not_opened(filled: Path) -> None:
    pages = pages_of(filled, "picks")
    log = SQLiteLog.open(filled)
    await log.check()
    wal = Path(f"{filled}-wal").read_bytes()
    await log.close()
    damage(filled, pages[0])
    Path(f"{filled}-wal").write_bytes(wal)

    with pytest.raises(LogUnavailable, match=r"is damaged .* restore a backup, or save .* picktune repair"):
        SQLiteLog.open(filled)


async def test_what_is_no_log_is_left_alone(tmp_path: Path, filled: Path) -> None:
    target = tmp_path / "saved.db"
    (tmp_path / "text").write_text("no database")
    sqlite3.connect(tmp_path / "other.db").executescript("CREATE TABLE t (a)").close()
    damage(filled, 1)
    for name, why in (
        ("nothing", "there is no log"),
        ("text", "not even the list of tables"),
        ("other.db", "is no Picktune log"),
        (filled.name, "not even the list of tables"),
    ):
        with pytest.raises(LogUnavailable, match=why):
            repair(tmp_path / name, target)
        assert not target.exists()
