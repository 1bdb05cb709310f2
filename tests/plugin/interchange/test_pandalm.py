"""Votes of three annotators on two replies, in PandaLM's form."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from picktune.interchange import Reject, read_decisions
from picktune.interchange.reader import detect
from picktune.log import SQLiteLog
from picktune.records import DecidedSlate
from picktune.support import compare

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
ROW: dict[str, Any] = {
    "idx": 0,
    "motivation_app": "Shop",
    "cmp_key": "small-1_large-2",
    "instruction": "Answer the customer.",
    "input": "Where is my parcel?",
    "response1": "No idea.",
    "response2": "It is on its way.",
    "annotator1": 2,
    "annotator2": 2,
    "annotator3": 0,
}


def read(path: Path, *rows: object) -> tuple[list[DecidedSlate], list[Reject]]:
    path.write_text(json.dumps(rows, indent=1))
    rejects: list[Reject] = []
    found = list(read_decisions(path, format="pandalm", on_reject=rejects.append, now=NOW))
    return [one for row in found for one in row.decisions], rejects


def test_a_row_is_a_slate_with_three_decisions(tmp_path: Path) -> None:
    decisions, rejects = read(tmp_path / "p.json", ROW)
    assert detect(tmp_path / "p.json") == "pandalm"
    assert rejects == []
    assert [one.pick.annotator for one in decisions] == [f"pandalm-annotator{n}" for n in (1, 2, 3)]
    assert [one.pick.verdict for one in decisions] == ["chosen", "chosen", "tie"]
    assert [one.picked.text if one.picked else None for one in decisions] == ["It is on its way."] * 2 + [
        None
    ]
    slate = decisions[0].slate
    assert all(one.slate == slate for one in decisions)
    assert [one.model for one in slate.candidates] == ["small-1", "large-2"]
    assert slate.turn.messages[0].content == "Answer the customer.\n\nWhere is my parcel?"
    assert slate.turn.tags == ("pandalm", "Shop")


def test_rows_that_cannot_be_votes(tmp_path: Path) -> None:
    bad: dict[str, Any] = {
        "annotator1": 3,
        "annotator2": "1",
        "annotator3": None,
        "cmp_key": "one",
        "instruction": "",
        "annotator4": 1,
        "response1": None,
        "response2": "x" * 20_001,
        "idx": "a",
    }
    rows = [ROW | {"idx": number, name: value} for number, (name, value) in enumerate(bad.items(), 1)]
    decisions, rejects = read(tmp_path / "p.json", ROW, *rows, ROW, 5)
    assert len(decisions) == 3
    assert len(rejects) == len(bad) + 2
    for reject, name in zip(rejects, bad, strict=False):
        assert name in reject.reason
    assert "again" in rejects[-2].reason


def test_odd_rows_that_are_votes(tmp_path: Path) -> None:
    decisions, rejects = read(
        tmp_path / "p.json",
        ROW | {"response1": True, "response2": "", "input": " "},
        {name: ROW[name] for name in ROW if name not in ("motivation_app", "input")},
    )
    assert rejects == []
    assert [one.text for one in decisions[0].slate.candidates] == ["True", ""]
    assert decisions[0].slate.turn.messages[0].content == "Answer the customer."
    assert decisions[3].slate.turn.tags == ("pandalm",)


@pytest.mark.anyio
async def test_votes_train_but_count_for_no_support_rate(tmp_path: Path) -> None:
    decisions, _ = read(tmp_path / "p.json", ROW, ROW | {"idx": 1})
    later, _ = read(tmp_path / "p.json", ROW, ROW | {"idx": 1})
    async with SQLiteLog.open(tmp_path / "picktune.db") as log:
        assert [await log.add_decided(one) for one in decisions] == [True] * 6
        before = log.reader.counts()
        assert [await log.add_decided(one) for one in later] == [False] * 6
        assert log.reader.counts() == before
        assert len(list(log.reader.choice_sets(roles=["crowd"]))) == 4
        (floor,) = compare(log.reader.decisions())
        assert (floor.n, floor.ties, floor.incomplete) == (0, 0, 0)


def test_the_published_file(shared_data: Path, tmp_path: Path) -> None:
    rejects: list[Reject] = []
    file = shared_data / "pandalm" / "testset-v1.json"
    rows = list(read_decisions(file, on_reject=rejects.append))
    assert (len(rows), rejects) == (999, [])
    verdicts = Counter(one.pick.verdict for row in rows for one in row.decisions)
    assert verdicts.total() == 2997

    async def write() -> None:
        async with SQLiteLog.open(tmp_path / "picktune.db") as log:
            for start in range(0, 999, 333):
                part = [one for row in rows[start : start + 333] for one in row.decisions]
                assert all(await asyncio.gather(*map(log.add_decided, part)))
            assert len(list(log.reader.choice_sets())) == verdicts["chosen"]

    asyncio.run(write())
