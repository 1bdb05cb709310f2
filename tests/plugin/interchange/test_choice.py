"""Our own format into another log: the same decisions, the same support rate, and nothing twice."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from picktune.errors import InvalidInput
from picktune.interchange import Reject, export_to_file, read_conversations, read_decisions
from picktune.log import SQLiteLog, SQLiteLogReader
from picktune.records import DecidedSlate
from picktune.support import compare

Decide = Callable[..., DecidedSlate]


def load(path: Path, file: Path) -> tuple[list[bool], list[Reject]]:
    """Import a file into a log: for each decision whether it was new, and what was refused."""
    rejects: list[Reject] = []

    async def write() -> list[bool]:
        async with SQLiteLog.open(path) as log:
            rows = list(read_decisions(file, on_reject=rejects.append))
            return list(
                await asyncio.gather(*(log.add_decided(one) for row in rows for one in row.decisions))
            )

    return asyncio.run(write()), rejects


@pytest.fixture
def original(tmp_path: Path, decide: Decide) -> Path:
    """Two hundred decisions of all kinds by three annotators, some on one slate, in the orders they saw."""
    rng = random.Random(5)

    async def write() -> None:
        async with SQLiteLog.open(tmp_path / "original.db") as log:
            for at in range(200):
                verdict = rng.choices(["chosen", "tie", "none_good", "skip"], [8, 1, 1, 1])[0]
                fields: dict[str, Any] = {
                    "order": rng.sample(range(4), 4),
                    "tags": rng.choice([(), ("order",), ("退款", "order")]),
                    "locale": rng.choice(["en", "zh"]),
                    "complete": rng.random() < 0.9,
                    "role": rng.choice(["agent", "user"]),
                    "edited_text": "改 = \r\n\0" if verdict == "none_good" else None,
                }
                place = rng.choice([1, 1, 3, 0]) if verdict == "chosen" else None
                first = decide(verdict, place, at=at, model="v2" if at > 100 else "v1", **fields)
                await log.add_decided(first)
                if at % 20 == 0:
                    await log.add_decided(
                        decide("chosen", 1, slate=first.slate, annotator="lin", order=(3, 1, 0, 2), at=at)
                    )

    asyncio.run(write())
    return tmp_path / "original.db"


def test_into_a_fresh_log(original: Path, tmp_path: Path) -> None:
    with SQLiteLogReader(original) as reader:
        card = export_to_file(reader, "choice", tmp_path / "choice.jsonl")
        decisions, choices = list(reader.decisions()), list(reader.choice_sets())
    new, rejects = load(tmp_path / "fresh.db", tmp_path / "choice.jsonl")
    assert (len(new), all(new), rejects) == (card.rows, True, [])
    assert card.rows == 210
    with SQLiteLogReader(tmp_path / "fresh.db") as reader:
        assert list(reader.decisions()) == decisions
        assert list(reader.choice_sets()) == choices
        assert compare(reader.decisions()) == compare(decisions)
        assert compare(decisions)[0].n > 50
        counts = reader.counts()
        again = export_to_file(reader, "choice", tmp_path / "again.jsonl")
    assert again.sha256 == card.sha256

    new, rejects = load(tmp_path / "fresh.db", tmp_path / "choice.jsonl")
    assert (len(new), any(new), rejects) == (card.rows, False, [])
    with SQLiteLogReader(tmp_path / "fresh.db") as reader:
        assert reader.counts() == counts
    assert load(original, tmp_path / "choice.jsonl") == (new, [])


def test_bad_rows_are_named_and_the_others_go_in(original: Path, tmp_path: Path) -> None:
    with SQLiteLogReader(original) as reader:
        export_to_file(reader, "choice", tmp_path / "choice.jsonl")
    lines = (tmp_path / "choice.jsonl").read_bytes().splitlines()[:12]
    row = json.loads(next(line for line in lines if b'"verdict":"chosen"' in line))

    def changed(**fields: Any) -> bytes:
        return json.dumps(row | {"slate_id": str(len(bad))} | fields).encode()

    bad: list[tuple[bytes, str]] = []
    for fields, reason in (
        ({"colour": 1}, "unknown field `colour`"),
        ({"chosen": 4}, "only 4 replies"),
        ({"chosen": -1}, "chosen"),
        ({"verdict": "undone"}, "verdict"),
        ({"replies": row["replies"][:3] + row["replies"][:1]}, "places"),
        ({"decided_at": "yesterday"}, "decided_at"),
        ({"annotator": ""}, "annotator"),
        ({"messages": [{"role": "boss", "content": "Hi"}]}, "role"),
    ):
        bad.append((changed(**fields), reason))
    bad += [
        (lines[0], "again; it was first on line 1"),
        (b'{"slate_id": ', "truncated"),
        (b"\xff\xfe{", "not UTF-8"),
        (b'{"slate_id": "' + b"x" * 10_000_000 + b'"}', "longer than"),
        (b"[" * 2000, ""),
    ]
    (tmp_path / "bad.jsonl").write_bytes(b"\n".join([*lines, *(line for line, _ in bad)]))

    new, rejects = load(tmp_path / "fresh.db", tmp_path / "bad.jsonl")

    assert new == [True] * 12
    assert [reject.line for reject in rejects] == list(range(13, 13 + len(bad)))
    for reject, (_, reason) in zip(rejects, bad, strict=True):
        assert reason in reject.reason


def test_each_reader_takes_its_own(original: Path, tmp_path: Path) -> None:
    with SQLiteLogReader(original) as reader:
        export_to_file(reader, "choice", tmp_path / "choice.jsonl")
    with pytest.raises(InvalidInput, match="cannot tell"):
        read_conversations(tmp_path / "choice.jsonl")
    with pytest.raises(InvalidInput, match="no format named 'tickets'"):
        read_decisions(tmp_path / "choice.jsonl", format="tickets")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(InvalidInput, match="empty"):
        read_decisions(tmp_path / "empty.jsonl")


def test_rows_of_one_line_are_told_apart(tmp_path: Path, original: Path) -> None:
    with SQLiteLogReader(original) as reader:
        export_to_file(reader, "choice", tmp_path / "choice.jsonl")
    first, second = (tmp_path / "choice.jsonl").read_bytes().splitlines()[:2]
    (tmp_path / "array.json").write_bytes(b"[" + b",".join([first, second, first]) + b"]")
    new, rejects = load(tmp_path / "fresh.db", tmp_path / "array.json")
    assert new == [True, True]
    assert ["again" in one.reason for one in rejects] == [True]
