"""A log of every earlier schema, as its own version wrote it, comes forward with nothing lost."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from picktune.errors import LogUnavailable
from picktune.log import SQLiteLog, SQLiteLogReader, schema
from picktune.log.files import open_for_writing
from picktune.log.verify import verify
from picktune.records import Exposure, Pick, Selection, utc_now

pytestmark = pytest.mark.anyio

FILES = sorted((Path(__file__).parent / "old").glob("*.sql"))
EVERY = pytest.mark.parametrize("old", FILES, ids=[one.stem for one in FILES])
# Slate, annotator and verdict of what stands; see old/make.py.
STANDS = [
    ("slate-1", "ann", "chosen"),
    ("slate-2", "ann", "chosen"),
    ("slate-2", "bob", "none_good"),
    ("slate-3", "ann", "tie"),
    ("slate-4", "ann", "skip"),
    ("slate-5", "ann", "none_good"),
]


def restored(old: Path, path: Path) -> dict[str, list[dict[str, Any]]]:
    """The file as it was; its rows by table."""
    connection = sqlite3.connect(path)
    connection.executescript(old.read_text("utf-8"))
    found = rows(connection)
    connection.close()
    return found


def rows(connection: sqlite3.Connection) -> dict[str, list[dict[str, Any]]]:
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    found = {}
    for (table,) in tables:
        cursor = connection.execute(f"SELECT * FROM {table}")
        names = [column[0] for column in cursor.description]
        found[table] = [dict(zip(names, row, strict=True)) for row in sorted(cursor, key=repr)]
    return found


def test_there_is_a_file_of_every_earlier_schema() -> None:
    names = [migration.name for migration in schema.migrations._migrations]
    missing = set(names[:-1]) - {one.stem for one in FILES}
    assert not missing, (
        f"no old log of {sorted(missing)}: check out the commit before the newest migration, "
        f"run tests/plugin/log/old/make.py there, and keep its file"
    )


@EVERY
async def test_nothing_is_lost(old: Path, path: Path) -> None:
    before = restored(old, path)

    async with SQLiteLog.open(path) as log:
        found = log.reader
        assert [(one.slate_id, one.annotator, one.verdict) for one in found.decisions()] == STANDS
        first = next(found.decisions())
        assert (first.model, first.scenario, first.tags) == ("2026-02-27-1", "refund", ("refund", "vip"))
        assert [pick.key for pick in found.picks("slate-2", "ann")] == ["k2", "k3", "k4"]
        assert found.picks("slate-2", "ann")[0].comment == "好"
        assert found.slate("slate-4").failures == ("champion: late",)
        assert [one.content for one in found.conversation("talk-1").messages] == [
            "Where is order 1? 在哪里？",
            "It's on its way!",
            "Thanks.",
        ]
        assert found.conversation("talk-2").status == "closed"
        assert [one.slate.id for one in found.decided_slates(Selection())] == [one[0] for one in STANDS]
        assert len(list(found.reacted_replies(Selection()))) == 1
        assert [one.completion for one in found.demonstrations()] == ["It's on its way!", "Written by hand."]

    connection = sqlite3.connect(path)
    after = rows(connection)
    connection.close()
    for table, were in before.items():
        if table == "_sqlite_migrations":
            continue
        are = [{name: row[name] for name in were[0]} for row in after[table]] if were else after[table]
        assert are == were, table
    assert verify(path).findings == ()


@EVERY
async def test_it_goes_on(old: Path, path: Path) -> None:
    restored(old, path)
    async with SQLiteLog.open(path) as log:
        order = tuple(one.id for one in log.reader.slate("slate-6").candidates)
        await log.add_exposure(Exposure(slate_id="slate-6", viewer="ann", order=order, shown_at=utc_now()))
        pick = Pick(
            key="new",
            slate_id="slate-6",
            verdict="chosen",
            candidate_id=order[0],
            annotator="ann",
            decided_at=utc_now(),
        )
        assert await log.record(pick) == pick
        undo = Pick(key="k9", slate_id="slate-1", verdict="undone", annotator="ann", decided_at=utc_now())
        assert (await log.record(undo)).version == 2
    found = verify(path)
    assert found.sound
    assert found.heads["picks"].startswith("picks:10:")


@EVERY
def test_half_of_it_is_none_of_it(old: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = restored(old, path)
    if not schema_lacks_something(path):
        pytest.skip("it is of the newest schema")
    last = schema.migrations._migrations[-1]

    def fails(db: Any) -> None:
        last.fn(db)
        raise sqlite3.OperationalError("the power went")

    monkeypatch.setattr(schema.migrations, "_migrations", [*schema.migrations._migrations[:-1], _with(fails)])
    with pytest.raises(LogUnavailable, match="the power went"):
        open_for_writing(path, busy_timeout=1)

    connection = sqlite3.connect(path)
    assert rows(connection) == before
    connection.close()
    with pytest.raises(LogUnavailable, match="older Picktune"):
        SQLiteLogReader(path)


def schema_lacks_something(path: Path) -> bool:
    connection = sqlite3.connect(path)
    pending, _ = schema.state(connection)
    connection.close()
    return bool(pending)


def _with(function: Any) -> Any:
    last = schema.migrations._migrations[-1]
    kind = type(last)
    return kind(**{**vars(last), "fn": function})
