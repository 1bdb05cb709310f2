"""Writing a file: whole or not there, in bounded memory, with a card that says what is in it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import resource
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from picktune import __version__
from picktune.errors import InvalidInput
from picktune.interchange import EXPORTERS, export_to, export_to_file, read_decisions
from picktune.interchange.export import amount
from picktune.log import SQLiteLog, SQLiteLogReader
from picktune.records import DecidedSlate, Reaction, Selection

Decide = Callable[..., DecidedSlate]
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def keep(path: Path, *decisions: DecidedSlate, reactions: tuple[Reaction, ...] = ()) -> None:
    async def write() -> None:
        async with SQLiteLog.open(path) as log:
            await asyncio.gather(*map(log.add_decided, decisions))
            await asyncio.gather(*map(log.react, reactions))

    asyncio.run(write())


@pytest.fixture
def reader(tmp_path: Path, decide: Decide) -> Iterator[SQLiteLogReader]:
    """Three choices, a tie and a "none good" with a reply by hand; a thumb; two languages."""
    decisions = [
        decide("chosen", 1, at=0),
        decide("chosen", 0, at=10, tags=("order", "billing"), annotator="lin", role="user"),
        decide("chosen", 2, at=20, texts=["一", "二", "三"], locale="zh", tags=(), role="model"),
        decide("tie", at=30),
        decide("none_good", at=40, edited_text="By hand."),
    ]
    thumb = Reaction(
        key="k",
        candidate_id=decisions[0].slate.candidates[0].id,
        value="up",
        annotator="lin",
        role="user",
        reacted_at=NOW,
    )
    keep(tmp_path / "picktune.db", *decisions, reactions=(thumb,))
    with SQLiteLogReader(tmp_path / "picktune.db") as reader:
        yield reader


@pytest.mark.parametrize("format", EXPORTERS)
def test_each_format_from_a_log_and_back(reader: SQLiteLogReader, tmp_path: Path, format: str) -> None:
    file = tmp_path / "out" / "file"
    file.parent.mkdir()
    card = export_to_file(reader, format, file, now=NOW)

    rows = list(EXPORTERS[format].read(file))
    wanted = {
        "choice": 5,
        "csv": 5,
        "trl-preference": 8,
        "trl-edits": 0,
        "openai-preference": 8,
        "sft": 1,
        "trl-kto": 5,
        "lmarena": 2 + 2 + 1 + 4 + 4,
        "jsonl": 5,
        "xlsx": 5,
        "parquet": 5,
        "open-webui": 3 + 4 + 1,
        "tensorzero": 4 + 4 + 3 + 1 + 2 + 1,
        "langfuse": 5 + 4 + 4 + 3 + 1,
        "argilla": 5,
        "label-studio": 5,
    }
    assert card.rows == len(rows) == wanted[format]
    content = file.read_bytes()
    assert (card.size, card.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert sorted(path.name for path in file.parent.iterdir()) == ["file", "file.card.json"]
    if format == "xlsx":  # openpyxl writes down when
        return
    streamed: list[bytes] = []
    assert export_to(reader, format, streamed.append, now=NOW).sha256 == card.sha256
    assert b"".join(streamed) == content


def test_the_card(reader: SQLiteLogReader, tmp_path: Path) -> None:
    selection = Selection(roles=("agent", "user", "model"))
    export_to_file(
        reader,
        "trl-preference",
        tmp_path / "pairs.jsonl",
        selection=selection,
        licence="CC-BY-4.0",
        redaction="en, zh",
        now=NOW,
    )
    card = json.loads((tmp_path / "pairs.jsonl.card.json").read_text("utf-8"))
    assert len(card.pop("sha256")) == 64
    assert card.pop("size") == (tmp_path / "pairs.jsonl").stat().st_size
    assert card == {
        "format": "trl-preference",
        "picktune": __version__,
        "file": "pairs.jsonl",
        "rows": 8,
        "decisions": 3,
        "reactions": 0,
        "without_rows": 2,
        "annotators": 2,
        "simulated": True,
        "first": "2026-11-24T09:00:01Z",
        "last": "2026-11-24T09:00:21Z",
        "verdicts": {"chosen": 3},
        "roles": {"agent": 1, "model": 1, "user": 1},
        "locales": {"en": 2, "zh": 1},
        "tags": {"billing": 1, "order": 2},
        "selection": {
            "since": None,
            "until": None,
            "roles": ["agent", "user", "model"],
            "tags": [],
            "locales": [],
        },
        "licence": "CC-BY-4.0",
        "redaction": "en, zh",
        "made_at": "2026-11-24T12:00:00Z",
    }


def test_the_card_of_thumbs(reader: SQLiteLogReader, tmp_path: Path) -> None:
    card = export_to_file(reader, "trl-kto", tmp_path / "kto", selection=Selection(roles=("agent", "user")))
    assert (card.decisions, card.reactions, card.without_rows) == (1, 1, 3)
    assert card.verdicts == {"none_good": 1, "up": 1}
    assert not card.simulated


@pytest.mark.parametrize("format", EXPORTERS)
def test_nothing_selected_is_a_file_without_rows(
    reader: SQLiteLogReader, tmp_path: Path, format: str
) -> None:
    card = export_to_file(reader, format, tmp_path / "none", selection=Selection(tags=("no such",)))
    assert (card.rows, card.first, card.simulated) == (0, None, False)
    assert (card.licence, card.redaction) == ("not stated", "none")
    start = EXPORTERS[format].START
    if format not in ("xlsx", "parquet"):
        assert (tmp_path / "none").read_bytes() == start + (b"]\n" if start == b"[\n" else b"")
    assert list(EXPORTERS[format].read(tmp_path / "none")) == []


def test_a_byte_order_mark_for_excel(reader: SQLiteLogReader, tmp_path: Path) -> None:
    with_mark, without = tmp_path / "a.csv", tmp_path / "b.csv"
    export_to_file(reader, "csv", with_mark, bom=True)
    export_to_file(reader, "csv", without)
    assert with_mark.read_bytes() == b"\xef\xbb\xbf" + without.read_bytes()
    read = EXPORTERS["csv"].read
    assert list(read(with_mark)) == list(read(without))
    with pytest.raises(InvalidInput, match="only csv"):
        export_to_file(reader, "sft", tmp_path / "c", bom=True)
    assert not (tmp_path / "c").exists()


def test_an_export_that_fails_leaves_what_was_there(reader: SQLiteLogReader, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "file").write_text("before")

    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_to_file(reader, "choice", folder / "file", advance=fail)
    with pytest.raises(InvalidInput, match="no export format named 'xml'"):
        export_to_file(reader, "xml", folder / "file")
    with pytest.raises(InvalidInput, match="name two files"):
        export_to_file(reader, "choice", folder / "file", card=folder / "file")
    with pytest.raises(InvalidInput, match="make it first"):
        export_to_file(reader, "choice", folder / "file", card=folder / "no" / "card")
    assert [path.name for path in folder.iterdir()] == ["file"]
    assert (folder / "file").read_text() == "before"


def test_where_a_file_may_stand(reader: SQLiteLogReader, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no regular file"):
        export_to_file(reader, "choice", Path(os.devnull), card=tmp_path / "card")
    with pytest.raises(InvalidInput, match="no regular file"):
        export_to_file(reader, "choice", tmp_path, card=tmp_path / "card")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    export_to_file(reader, "choice", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == 0o600


def test_progress_ends_where_it_said(reader: SQLiteLogReader) -> None:
    for format in EXPORTERS:
        steps: list[int] = []
        export_to(reader, format, lambda _: None, advance=lambda steps=steps: steps.append(1))
        assert (
            len(steps)
            == amount(reader, format, Selection())
            == (6 if "reactions" in EXPORTERS[format].TAKES else 5)
        )


def test_ten_million_characters_in_bounded_memory(tmp_path: Path, decide: Decide) -> None:
    keep(tmp_path / "picktune.db", decide("chosen", 0, texts=["x" * 10_000_000, "short"]))
    keep(
        tmp_path / "picktune.db",
        *(decide("chosen", 0, texts=[f"{n}" * 200_000, "b"], at=n) for n in range(10, 60)),
    )
    out = tmp_path / "out.jsonl"
    with SQLiteLogReader(tmp_path / "picktune.db") as reader:
        assert export_to_file(reader, "trl-preference", out).rows == 51
        # The same again needs no more than the first time, which held the largest.
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        export_to_file(reader, "trl-preference", out)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8_000  # kilobytes
    assert out.stat().st_size > 29_000_000
    with pytest.raises(InvalidInput, match="line 1: longer than"):
        list(EXPORTERS["trl-preference"].read(out))


def test_what_a_thumb_is_about_is_found_once(tmp_path: Path, decide: Decide) -> None:
    """An annotator who says "none good" and gives a thumb too is heard once on that reply."""
    one = decide("none_good")
    thumb: dict[str, Any] = {
        "candidate_id": one.slate.candidates[0].id,
        "annotator": "mei",
        "reacted_at": NOW,
    }
    keep(tmp_path / "picktune.db", one, reactions=(Reaction(key="k", value="up", **thumb),))
    lines: list[bytes] = []
    with SQLiteLogReader(tmp_path / "picktune.db") as reader:
        export_to(reader, "trl-kto", lines.append)
    labels = [json.loads(line)["label"] for line in lines]
    assert labels == [False, False, False, True]


def test_edits_are_those_that_the_log_counts_and_can_be_imported(tmp_path: Path, decide: Decide) -> None:
    keep(
        tmp_path / "picktune.db",
        decide("chosen", 1, at=0, edited_text="Mended."),
        decide("tie", 2, at=10, edited_text="Mended too.", annotator="lin"),
        decide("chosen", 0, at=20, edited_text="Base one."),
        decide("none_good", at=30, edited_text="By hand."),
        decide("chosen", 3, at=40),
    )
    out = tmp_path / "edits.jsonl"
    with SQLiteLogReader(tmp_path / "picktune.db") as reader:
        card = export_to_file(reader, "trl-edits", out)
        wanted = [(one.messages, one.chosen, one.rejected) for one in reader.edit_preferences()]
    rows = list(EXPORTERS["trl-edits"].read(out))
    assert [(row.prompt, row.chosen[-1].content, row.rejected[-1].content) for row in rows] == wanted
    assert (card.rows, card.decisions, card.without_rows, card.annotators) == (2, 2, 3, 2)
    assert card.verdicts == {"chosen": 1, "tie": 1}

    for format in (None, "trl-edits"):
        found = [one for row in read_decisions(out, format=format, now=NOW) for one in row.decisions]
        assert [(one.slate.turn.messages, one.picked.text) for one in found] == [  # type: ignore[union-attr]
            (prompt, chosen) for prompt, chosen, _ in wanted
        ]
        keep(tmp_path / "fresh.db", *found)  # type: ignore[arg-type]
    with SQLiteLogReader(tmp_path / "fresh.db") as reader:
        pairs = [(one.messages, one.chosen, one.rejected) for one in reader.preferences()]
        assert sorted(pairs, key=str) == sorted(wanted, key=str)
