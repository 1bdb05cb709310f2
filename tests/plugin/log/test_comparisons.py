"""Comparisons of whole conversations in the log: kept once, shown in one order, judged in versions."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from picktune.comparisons import Comparison, Judgement, Side, decision_of, order_of
from picktune.errors import (
    AlreadyDecided,
    CandidateNotFound,
    ComparisonNotFound,
    Conflict,
    InvalidInput,
    KeyReused,
    NotShown,
)
from picktune.log import SQLiteLog
from picktune.log.verify import verify
from picktune.records import Message, new_id

pytestmark = pytest.mark.anyio


def comparison(make: Any, *said: str, **fields: Any) -> Comparison:
    sides = tuple(
        Side(
            id=f"side-{place}-{new_id()}",
            messages=(Message(role="user", content="你好"), Message(role="assistant", content=text)),
            arm=("base", "champion")[place % 2],
            model=None if place % 2 == 0 else "v1",
        )
        for place, text in enumerate(said or ("One.", "Two."))
    )
    values: dict[str, Any] = {"id": new_id(), "sides": sides, "seed": 7, "created_at": make.time()}
    return Comparison(**values | fields)


def judgement(make: Any, one: Comparison, verdict: str = "chosen", **fields: Any) -> Judgement:
    values: dict[str, Any] = {
        "key": new_id(),
        "comparison_id": one.id,
        "verdict": verdict,
        "side_id": one.sides[1].id if verdict == "chosen" else None,
        "annotator": "ann",
        "decided_at": make.time(),
    }
    return Judgement(**values | fields)


async def shown(log: SQLiteLog, make: Any, *viewers: str) -> Comparison:
    one = comparison(make)
    await log.add_comparison(one)
    for viewer in viewers or ("ann",):
        await log.expose_comparison(one.id, viewer, order_of(one, viewer), make.time())
    return one


async def test_it_is_kept_once(log: SQLiteLog, make: Any) -> None:
    one = comparison(make)

    assert [await log.add_comparison(one) for _ in range(2)] == [True, False]
    assert log.reader.comparison(one.id) == one
    with pytest.raises(Conflict):
        await log.add_comparison(comparison(make, "Three.", "Four.", id=one.id))
    with pytest.raises(ComparisonNotFound):
        log.reader.comparison("none")


@pytest.mark.parametrize("said", [("One.",), ("One.",) * 2, ("1", "2", "3", "4", "5"), ("a", "\ud800")])
async def test_what_cannot_be_compared_is_refused(log: SQLiteLog, make: Any, said: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput):
        await log.add_comparison(comparison(make, *said))


async def test_versions_as_of_picks(log: SQLiteLog, make: Any) -> None:
    one = await shown(log, make)
    first = judgement(make, one, reasons=("kind",))

    assert await log.judge(first) == first
    assert await log.judge(structs.replace(first, decided_at=make.time(), dwell_ms=9)) == first
    with pytest.raises(KeyReused):
        await log.judge(structs.replace(first, verdict="tie", side_id=None))
    with pytest.raises(AlreadyDecided):
        await log.judge(judgement(make, one))
    await log.judge(judgement(make, one, "undone"))
    with pytest.raises(Conflict):
        await log.judge(judgement(make, one, "undone"))
    await log.judge(judgement(make, one, "tie"))

    verdicts = [(found.version, found.verdict) for found in log.reader.judgements(one.id)]
    assert verdicts == [(1, "chosen"), (2, "undone"), (3, "tie")]
    assert [found.judgement.verdict for found in log.reader.judged()] == ["tie"]
    assert list(log.reader.judged(roles=("user",))) == []


async def test_twenty_at_once_are_one(log: SQLiteLog, make: Any) -> None:
    one = await shown(log, make)
    same = judgement(make, one)

    await asyncio.gather(*(log.judge(same) for _ in range(20)))

    assert log.reader.counts()["judgements"] == 1


async def test_only_whoever_has_seen_it_and_only_what_is_there(log: SQLiteLog, make: Any) -> None:
    one = await shown(log, make)

    with pytest.raises(NotShown):
        await log.judge(judgement(make, one, annotator="bob"))
    with pytest.raises(CandidateNotFound):
        await log.judge(judgement(make, one, side_id="none"))
    with pytest.raises(ComparisonNotFound):
        await log.judge(judgement(make, one, comparison_id="none"))
    for fields in ({"side_id": None}, {"key": ""}, {"verdict": "tie"}, {"comment": "\ud800"}):
        with pytest.raises(InvalidInput):
            await log.judge(structs.replace(judgement(make, one), **fields))
    with pytest.raises(InvalidInput):
        await log.expose_comparison(one.id, "bob", ("x", "y"), make.time())


async def test_the_least_judged_comes_first(log: SQLiteLog, make: Any) -> None:
    first = await shown(log, make, "ann", "bob")
    second = await shown(log, make, "ann", "bob")
    await log.judge(judgement(make, first, annotator="bob"))

    assert log.reader.waiting_comparison("ann") == (second, 2)
    assert log.reader.waiting_comparison("bob") == (second, 1)
    await log.judge(judgement(make, second, "skip", annotator="bob"))
    assert log.reader.waiting_comparison("bob") == (None, 0)
    assert log.reader.waiting_comparison("eve")[1] == 2


async def test_the_first_order_stands(log: SQLiteLog, make: Any) -> None:
    one = await shown(log, make, "ann")
    order = order_of(one, "ann")

    assert await log.expose_comparison(one.id, "ann", order[::-1], make.time()) == order
    firsts = {order_of(one, f"viewer {number}")[0] for number in range(40)}
    assert len(firsts) == 2


async def test_as_the_support_rate_counts_it(log: SQLiteLog, make: Any) -> None:
    one = await shown(log, make)
    await log.judge(judgement(make, one))
    (found,) = log.reader.judged()

    decision = decision_of(found)
    assert decision is not None
    assert (decision.picked, decision.tuned, decision.model) == (("champion",), "champion", "v1")
    assert decision.arms[decision.position or 0] == "champion"
    unknown = tuple(structs.replace(side, arm=None) for side in one.sides)
    assert decision_of(structs.replace(found, comparison=structs.replace(one, sides=unknown))) is None


async def test_the_file_itself_refuses_changes(log: SQLiteLog, make: Any, path: Path) -> None:
    await log.judge(judgement(make, await shown(log, make)))
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in (
        "UPDATE judgements SET verdict = 'tie', side_id = NULL",
        "DELETE FROM judgements",
        "INSERT OR REPLACE INTO judgements SELECT * FROM judgements",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="append only"):
            connection.execute(statement)
    connection.close()
    assert verify(path).sound
