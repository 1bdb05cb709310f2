"""Decisions: which may stand, and that nothing is counted twice."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from picktune.errors import (
    AlreadyDecided,
    CandidateNotFound,
    Conflict,
    InvalidInput,
    KeyReused,
    NotShown,
    PicktuneError,
    SlateNotFound,
)
from picktune.log import SQLiteLog

pytestmark = pytest.mark.anyio

COLUMNS = "(slate_id, annotator, version, key, verdict, reasons, role, decided_at)"


async def test_a_decision_comes_back_as_it_was(log: SQLiteLog, make: Any) -> None:
    slate = await make.shown(log)
    pick = make.pick(
        slate,
        chosen=2,
        edited_text="Sorry\0!",
        reasons=("kurz", "礼貌"),
        comment="ok 👍",
        role="expert",
        dwell_ms=0,
    )

    assert await log.record(pick) == pick
    assert log.reader.picks(slate.id) == [pick]
    assert log.reader.picks(slate.id, "ann") == [pick]
    assert log.reader.picks(slate.id, "bob") == []


async def test_the_same_key_again_changes_nothing(log: SQLiteLog, make: Any) -> None:
    slate = await make.shown(log)
    pick = make.pick(slate)
    first = await log.record(pick)

    # A client that sends again does so later, and the server may have given the time.
    again = structs.replace(pick, decided_at=pick.decided_at + timedelta(hours=1), dwell_ms=9, version=7)

    assert await log.record(again) == first
    assert log.reader.picks(slate.id) == [first]


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "tie"},
        {"edited_text": "other"},
        {"reasons": ("other",)},
        {"comment": "other"},
        {"role": "expert"},
    ],
)
async def test_a_key_stands_for_one_decision(log: SQLiteLog, make: Any, change: dict[str, Any]) -> None:
    slate = await make.shown(log)
    pick = await log.record(make.pick(slate))

    with pytest.raises(KeyReused):
        await log.record(structs.replace(pick, **change))

    assert log.reader.picks(slate.id) == [pick]


async def test_a_key_is_the_annotators_on_that_slate(log: SQLiteLog, make: Any) -> None:
    one, other = await make.shown(log, viewers=("ann", "bob")), await make.shown(log)

    await log.record(make.pick(one, key="k"))
    await log.record(make.pick(one, key="k", annotator="bob"))
    await log.record(make.pick(other, key="k"))

    assert log.reader.counts()["picks"] == 3


async def test_a_second_decision_needs_an_undo_first(log: SQLiteLog, make: Any) -> None:
    slate = await make.shown(log)
    first = await log.record(make.pick(slate, chosen=0))
    with pytest.raises(AlreadyDecided):
        await log.record(make.pick(slate, chosen=1))

    undone = await log.record(make.pick(slate, "undone"))
    with pytest.raises(Conflict, match="nothing to undo"):
        await log.record(make.pick(slate, "undone"))
    third = await log.record(make.pick(slate, "none_good", edited_text="Mine."))

    assert [pick.version for pick in (first, undone, third)] == [1, 2, 3]
    assert log.reader.picks(slate.id) == [first, undone, third]
    # The first request once more, late: it is known, and the standing decision stays.
    assert await log.record(first) == first
    assert log.reader.picks(slate.id) == [first, undone, third]


async def test_only_what_was_shown_to_the_annotator_can_be_decided_on(log: SQLiteLog, make: Any) -> None:
    unknown, other = make.slate(), await make.shown(log)
    unseen = await make.shown(log, viewers=("bob",))

    with pytest.raises(SlateNotFound):
        await log.record(make.pick(unknown))
    for verdict in ("chosen", "skip", "undone"):
        with pytest.raises(NotShown):
            await log.record(make.pick(unseen, verdict))
    with pytest.raises(CandidateNotFound):
        await log.record(make.pick(unseen, annotator="bob", candidate_id=other.candidates[0].id))
    with pytest.raises(CandidateNotFound):
        await log.record(make.pick(unseen, "tie", annotator="bob", candidate_id=""))
    with pytest.raises(Conflict, match="nothing to undo"):
        await log.record(make.pick(other, "undone"))

    assert log.reader.counts()["picks"] == 0


@pytest.mark.parametrize(
    ("verdict", "field", "fields"),
    [
        ("chosen", "candidate_id", {"candidate_id": None}),
        ("none_good", "candidate_id", {"chosen": 0}),
        ("skip", "candidate_id", {"chosen": 0}),
        ("undone", "candidate_id", {"chosen": 0}),
        ("skip", "edited_text", {"edited_text": "x"}),
        ("undone", "edited_text", {"edited_text": "x"}),
        ("tie", "candidate_id", {"edited_text": "x"}),
        ("chosen", "edited_text", {"edited_text": " \n"}),
        ("none_good", "edited_text", {"edited_text": ""}),
        ("chosen", "key", {"key": ""}),
        ("chosen", "annotator", {"annotator": ""}),
        ("chosen", "dwell_ms", {"dwell_ms": -1}),
        ("chosen", "comment", {"comment": "\udfff"}),
        ("chosen", "reasons", {"reasons": ("fine", "\ud800")}),
        ("best", "verdict", {"chosen": 0}),
        ("chosen", "role", {"role": "root"}),
        ("chosen", "dwell_ms", {"dwell_ms": 0.5}),
    ],
)
async def test_a_contradiction_names_the_field(
    log: SQLiteLog, make: Any, verdict: str, field: str, fields: dict[str, Any]
) -> None:
    slate = await make.shown(log)

    with pytest.raises(InvalidInput) as caught:
        await log.record(make.pick(slate, verdict, **fields))

    assert caught.value.field == field
    assert log.reader.picks(slate.id) == []


async def test_of_many_decisions_at_once_one_stands(log: SQLiteLog, make: Any) -> None:
    slate = await make.shown(log)
    pick = make.pick(slate, key="mine")
    rivals = [make.pick(slate, chosen=place % 4) for place in range(40)]

    outcomes = await asyncio.gather(
        *(log.record(one) for one in [pick, *rivals, pick, pick]), return_exceptions=True
    )

    stored = log.reader.picks(slate.id)
    assert len(stored) == 1
    assert [one for one in outcomes if not isinstance(one, BaseException)] == stored * outcomes.count(
        stored[0]
    )
    refused = [one for one in outcomes if isinstance(one, BaseException)]
    assert {type(one) for one in refused} == {AlreadyDecided}
    assert all(isinstance(one, PicktuneError) for one in refused)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE picks SET verdict = 'skip'",
        "UPDATE picks SET comment = 'changed' WHERE version = 1",
        "DELETE FROM picks",
        "INSERT OR REPLACE INTO picks SELECT * FROM picks",
        f"INSERT OR REPLACE INTO picks {COLUMNS} "
        "SELECT slate_id, annotator, 1, 'new', 'skip', '[]', 'agent', 0 FROM picks",
        f"INSERT OR REPLACE INTO picks {COLUMNS} "
        "SELECT slate_id, annotator, 2, key, 'skip', '[]', 'agent', 0 FROM picks",
        f"INSERT INTO picks {COLUMNS} "
        "SELECT slate_id, annotator, 3, 'gap', 'skip', '[]', 'agent', 0 FROM picks",
    ],
)
async def test_nobody_changes_a_decision_behind_the_logs_back(
    log: SQLiteLog, path: Path, make: Any, statement: str
) -> None:
    slate = await make.shown(log)
    pick = await log.record(make.pick(slate))

    connection = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="append only"):
        connection.execute(statement)
    connection.close()

    assert log.reader.picks(slate.id) == [pick]
