"""The reader over all formats: what is detected, what is rejected and where, and what goes in then."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest
from picktune.errors import InvalidInput
from picktune.interchange import FORMATS, Reject, read_conversations
from picktune.interchange.rows import MAX_ROW
from picktune.log import SQLiteLog, SQLiteLogReader
from picktune.records import Conversation

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
TICKET = {"id": "t-1", "message": "Where is my parcel?", "pending": ["And now?"]}
ABCD = {"convo_id": 7, "scenario": {"flow": "f"}, "original": [["customer", "Hi"], ["agent", "Hello"]]}
CROSSWOZ = {"id": "9", "type": "单领域", "messages": [{"role": "user", "content": "你好"}]}


def read(
    path: Path, content: bytes | str | list[object], *, format: str | None = None
) -> tuple[list[Conversation], list[Reject]]:
    if isinstance(content, list):
        content = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    rejects: list[Reject] = []
    return list(read_conversations(path, format=format, on_reject=rejects.append, now=NOW)), rejects


@pytest.mark.parametrize(
    ("row", "source"), [(TICKET, "tickets"), (ABCD, "abcd"), (CROSSWOZ, "crosswoz")], ids=list("tac")
)
@pytest.mark.parametrize("form", ["lines", "array", "pretty array", "object of arrays", "json lines"])
def test_the_format_is_told_from_the_rows(
    tmp_path: Path, row: dict[str, object], source: str, form: str
) -> None:
    name, text = {
        "lines": ("a.jsonl", json.dumps(row)),
        "array": ("a.json", json.dumps([row])),
        "pretty array": ("a.txt", json.dumps([row], indent=2)),
        "object of arrays": ("a.json", json.dumps({"train": [row], "dev": []})),
        "json lines": ("a.json", f"{json.dumps(row)}\n\n"),
    }[form]
    found, rejects = read(tmp_path / name, text)
    assert rejects == []
    assert [one.source for one in found] == [source]
    assert found[0].created_at == found[0].updated_at == NOW


def test_lines_that_are_broken_are_rejected_by_number_and_the_others_go_in(tmp_path: Path) -> None:
    content = [
        TICKET,
        '{"id": "t-2", "message": ',
        "",
        {"id": "t-3", "message": "A", "colour": "red"},
        {"id": "t-4", "message": 5},
        {"id": "t-5", "message": "B"},
        {"id": "t/6", "message": "C"},
        {"id": "t-7"},
        {"id": "t-8", "message": "D", "messages": [{"role": "user", "content": "E"}]},
        {"id": "t-9", "messages": [{"role": "user", "content": "F"}, {"role": "assistant", "content": "G"}]},
        {"id": "t-10", "message": "  "},
        "[1]",
    ]
    found, rejects = read(tmp_path / "t.jsonl", content)
    assert [one.id for one in found] == ["t-1", "t-5"]
    assert [one.line for one in rejects] == [2, 4, 5, 7, 8, 9, 10, 11, 12]
    reasons = [one.reason for one in rejects]
    assert "truncated" in reasons[0]
    assert "unknown field `colour`" in reasons[1]
    assert "$.message" in reasons[2]
    assert "$.id" in reasons[3]
    assert reasons[4] == reasons[5] == "give either 'message' or 'messages'"
    assert "last message must be the customer's" in reasons[6]
    assert reasons[7] == "message 1 is empty"
    assert "object" in reasons[8]
    assert str(rejects[0]).startswith("line 2: ")


def test_a_repeated_id_is_rejected_with_the_line_of_the_first(tmp_path: Path) -> None:
    found, rejects = read(tmp_path / "t.jsonl", [TICKET, {**TICKET, "message": "Other"}])
    assert [one.messages[0].content for one in found] == ["Where is my parcel?"]
    assert [(one.line, one.id) for one in rejects] == [(2, "t-1")]
    assert "first on line 1" in rejects[0].reason


def test_rows_without_an_id_are_named_by_what_is_said(tmp_path: Path) -> None:
    rows: list[object] = [
        {"message": "A"},
        {"message": "B"},
        {"message": "A", "pending": ["C"]},
        {"message": "A"},
    ]
    first, rejects = read(tmp_path / "a.jsonl", rows)
    second, _ = read(tmp_path / "b.jsonl", list(reversed(rows)))
    assert len({one.id for one in first}) == 3
    assert {one.id for one in first} == {one.id for one in second}
    assert [one.line for one in rejects] == [4]


def test_other_encodings_are_named(tmp_path: Path) -> None:
    line = json.dumps({"id": "a", "message": "退款什么时候到账？"}, ensure_ascii=False)
    good = json.dumps(TICKET)
    found, rejects = read(tmp_path / "gb.jsonl", good.encode() + b"\n" + line.encode("gb18030"))
    assert [one.id for one in found] == ["t-1"]
    assert rejects[0].line == 2
    assert "not UTF-8" in rejects[0].reason
    for encoding in ("utf-16", "utf-32"):
        found, rejects = read(tmp_path / "16.jsonl", line.encode(encoding))
        assert ([one.id for one in found], rejects) == (["a"], [])
    with pytest.raises(InvalidInput, match="is not utf-16"):
        read(tmp_path / "16.jsonl", line.encode("utf-16")[:-1])
    found, _ = read(tmp_path / "bom.jsonl", b"\xef\xbb\xbf" + line.encode())
    assert found[0].messages[0].content == "退款什么时候到账？"
    found, _ = read(tmp_path / "bom.json", b"\xef\xbb\xbf" + f"[{line}]".encode())
    assert len(found) == 1
    found, rejects = read(tmp_path / "crlf.jsonl", f"{line}\r\n{good}\r\n")
    assert (len(found), rejects) == (2, [])


def test_huge_fields_are_rejected_and_do_not_hide_what_follows(tmp_path: Path) -> None:
    long = {"id": "long", "message": "x" * 20_001}
    huge = {"id": "huge", "message": "x" * (MAX_ROW + 10)}
    many = {"id": "many", "messages": [{"role": "user", "content": "x"}] * 1001}
    found, rejects = read(tmp_path / "t.jsonl", [TICKET, long, huge, many, {"id": "last", "message": "x"}])
    assert [one.id for one in found] == ["t-1", "last"]
    assert [one.line for one in rejects] == [2, 3, 4]
    assert "longer than 4,194,304 bytes" in rejects[1].reason
    _, rejects = read(tmp_path / "t.json", json.dumps([TICKET, huge], indent=1))
    assert "longer than 4,194,304 bytes" in rejects[0].reason


def test_hostile_rows_are_rejected(tmp_path: Path) -> None:
    deep = '{"message": ' + "[" * 200_000 + "]" * 200_000 + "}"
    found, rejects = read(tmp_path / "t.jsonl", [TICKET, deep, '{"message": "\\ud800"}', "null", "\x00"])
    assert [one.id for one in found] == ["t-1"]
    assert [one.line for one in rejects] == [2, 3, 4, 5]


def test_lines_are_counted_inside_a_document(tmp_path: Path) -> None:
    text = json.dumps([ABCD, {**ABCD, "convo_id": "x"}, {**ABCD, "convo_id": 8}], indent=2)
    found, rejects = read(tmp_path / "a.json", text)
    assert [one.id for one in found] == ["abcd-7", "abcd-8"]
    line = text[: text.index('"x"')].count("\n")  # the element opens on the line before its first key
    assert [one.line for one in rejects] == [line]


def test_a_document_that_breaks_off_puts_nothing_in(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no JSON document"):
        read(tmp_path / "a.json", json.dumps([ABCD, ABCD])[:-20])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n\n  \n", "is empty"),
        ("[]", "is empty"),
        ("hello\nworld", "cannot tell the format"),
        ('{"a": 1}', "cannot tell the format"),
        ("id,wording\n1,Hello", "cannot tell the format"),
    ],
)
def test_a_file_of_nothing_known_is_refused(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read(tmp_path / "t.jsonl", content)


def test_files_that_cannot_be_read_and_formats_that_are_not_known_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"cannot read .*No such file"):
        list(read_conversations(tmp_path / "none.jsonl"))
    with pytest.raises(InvalidInput, match=r"cannot read .*directory"):
        list(read_conversations(tmp_path))
    with pytest.raises(InvalidInput, match="no format named 'csv'; choose one of abcd, crosswoz, tickets"):
        read_conversations(tmp_path / "none.jsonl", format="csv")


def test_a_named_format_is_not_guessed(tmp_path: Path) -> None:
    found, rejects = read(tmp_path / "t.jsonl", [TICKET, ABCD], format="abcd")
    assert [one.id for one in found] == ["abcd-7"]
    assert [one.line for one in rejects] == [1]


def test_without_a_listener_rejects_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(f"{json.dumps(TICKET)}\nnonsense")
    with caplog.at_level(logging.WARNING):
        assert len(list(read_conversations(path))) == 1
    assert "line 2" in caplog.text


def test_the_formats_are_these() -> None:
    assert list(FORMATS) == ["abcd", "crosswoz", "tickets"]


@pytest.mark.anyio
async def test_a_second_import_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(json.dumps({"message": f"Question {i}"}) for i in range(20)))
    log = SQLiteLog.open(tmp_path / "log.db")
    try:
        assert await log.add_conversations(list(read_conversations(path, now=NOW))) == 20
        assert await log.add_conversations(list(read_conversations(path))) == 0
    finally:
        await log.close()
    reader = SQLiteLogReader(tmp_path / "log.db")
    try:
        assert reader.count_conversations() == 20
    finally:
        reader.close()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
