"""Votes in others' formats, into a log: they come back out as they went in, once, and only good rows do."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from picktune.cli import main
from picktune.errors import InvalidInput, PicktuneError
from picktune.interchange import EXPORTERS, Reject, export_to_file, read_decisions
from picktune.interchange.reader import detect
from picktune.interchange.taking import take
from picktune.log import SQLiteLog, SQLiteLogReader
from picktune.records import DecidedSlate, Message, Reaction, Selection

Decide = Callable[..., DecidedSlate]
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
# Those in which a fresh log gives the same file again.
WHOLE = ["choice", "parquet", "argilla", "label-studio", "trl-preference", "openai-preference"]
VOTES = [*WHOLE, "csv", "xlsx", "jsonl", "open-webui", "lmarena", "trl-kto"]
ON_OURS = ["tensorzero", "langfuse"]
AWKWARD = [
    "=cmd|' /C calc'!A0",
    "'tis",
    '"quoted"\r\nand\nbroken\r',
    "\ufeff你好，世界",
    "שלום \u202eabc",
    "👩‍💻🇨🇳",
    "nul \0 and \x0b _x0041_",
    "a;b\tc,d",
    "x" * 100_000,
    " ",
    "NULL",
]


def load(path: Path, file: Path, **options: Any) -> tuple[list[bool], list[Reject]]:
    """Import a file into a log: for each decision and thumb whether it was new, and what was refused."""
    rejects: list[Reject] = []

    async def write() -> list[bool]:
        new: list[bool] = []
        async with SQLiteLog.open(path) as log:
            for row in read_decisions(file, on_reject=rejects.append, now=NOW, **options):
                for one in row.decisions:
                    try:
                        new.append(await take(log, one))
                    except PicktuneError as error:
                        rejects.append(Reject(line=row.line, reason=error.message))
        return new

    return asyncio.run(write()), rejects


def keep(path: Path, *decisions: DecidedSlate, reactions: tuple[Reaction, ...] = ()) -> None:
    async def write() -> None:
        async with SQLiteLog.open(path) as log:
            for one in decisions:
                await log.add_decided(one)
            for reaction in reactions:
                await log.react(reaction)

    asyncio.run(write())


def export(log: Path, format: str, file: Path) -> bytes:
    with SQLiteLogReader(log) as reader:
        export_to_file(reader, format, file, now=NOW)
    return file.read_bytes()


def decisions(log: Path) -> list[DecidedSlate]:
    with SQLiteLogReader(log) as reader:
        return list(reader.decided_slates(Selection()))


@pytest.fixture
def original(tmp_path: Path, decide: Decide) -> Path:
    """Decisions of all kinds over awkward texts, two annotators on one slate in two orders, and a thumb."""
    texts = [AWKWARD[at : at + 4] for at in range(0, 8, 2)]
    first = decide("chosen", 1, at=0, texts=texts[0], order=(1, 0, 3, 2), comment=AWKWARD[0], dwell_ms=1234)
    made = [
        first,
        decide("chosen", 2, slate=first.slate, annotator="lin", order=(3, 1, 2, 0), at=5),
        decide("tie", 0, at=10, texts=texts[1], reasons=("tone", "facts")),
        decide("none_good", at=20, texts=texts[2], edited_text=AWKWARD[2]),
        decide("chosen", 0, at=30, texts=texts[3], edited_text="Mended.", locale="zh", tags=("退款",)),
        decide(
            "chosen",
            4,
            at=40,
            texts=["a", "b", "c", "d", "e"],
            messages=[
                Message(role="user", content="One"),
                Message(role="assistant", content="Two"),
                Message(role="user", content="Three"),
            ],
        ),
        decide("skip", at=50),
    ]
    thumb = Reaction(
        key="k", candidate_id=first.slate.candidates[2].id, value="down", annotator="ada", reacted_at=NOW
    )
    keep(tmp_path / "original.db", *made, reactions=(thumb,))
    return tmp_path / "original.db"


@pytest.mark.parametrize("format", VOTES)
def test_into_a_fresh_log_and_out_again(original: Path, tmp_path: Path, format: str) -> None:
    written = export(original, format, tmp_path / f"a.{format}")
    fresh = tmp_path / "fresh.db"

    assert detect(tmp_path / f"a.{format}") == {"xlsx": "csv", "parquet": "choice"}.get(format, format)
    new, rejects = load(fresh, tmp_path / f"a.{format}")
    assert rejects == []
    assert any(new)
    again = export(fresh, format, tmp_path / f"b.{format}")
    if format in WHOLE and not format.endswith("-preference"):
        assert again == written
    if format == "choice":
        assert decisions(fresh) == decisions(original)

    with SQLiteLogReader(fresh) as reader:
        counts = reader.counts()
    new, rejects = load(fresh, tmp_path / f"a.{format}")
    assert (any(new), rejects) == (False, [])
    with SQLiteLogReader(fresh) as reader:
        assert reader.counts() == counts
        assert (
            list(reader.decisions()) == []
            or format == "choice"
            or all(one.tuned is None for one in reader.decisions() if format not in ("choice", "parquet"))
        )


@pytest.mark.parametrize("format", ["csv", "xlsx", "jsonl", "argilla", "label-studio", *ON_OURS])
def test_into_the_log_that_it_is_from_nothing_is_new(original: Path, tmp_path: Path, format: str) -> None:
    export(original, format, tmp_path / "a")
    before = decisions(original)
    new, rejects = load(original, tmp_path / "a", format=format)
    assert (any(new), rejects) == (False, [])
    assert decisions(original) == before


@pytest.mark.parametrize("format", ON_OURS)
def test_feedback_on_slates_that_another_log_has(original: Path, tmp_path: Path, format: str) -> None:
    """These hold no texts: the slates come first, here from decisions of somebody else."""
    export(original, format, tmp_path / "a")
    with SQLiteLogReader(original) as reader:
        slates = {one.slate.id: one.slate for one in reader.decided_slates(Selection())}

    async def write() -> None:
        async with SQLiteLog.open(tmp_path / "other.db") as log:
            for slate in slates.values():
                await log.add_slate(slate)

    asyncio.run(write())
    new, rejects = load(tmp_path / "other.db", tmp_path / "a")
    assert rejects == []
    skips = 0 if format == "langfuse" else 1
    assert (len(new), all(new)) == (8 - skips, True)
    found = {(one.slate.id, one.pick.annotator): one.pick for one in decisions(tmp_path / "other.db")}
    for one in decisions(original):
        if one.pick.verdict != "skip":
            assert found[one.slate.id, one.pick.annotator] == one.pick
    nowhere, rejects = load(tmp_path / "empty.db", tmp_path / "a")
    assert (nowhere, len(rejects)) == ([], 8 - skips)
    assert "no " in rejects[0].reason


def test_an_expert_votes_in_label_studio(original: Path, tmp_path: Path) -> None:
    """A second annotation on our task becomes a decision on our slate, with the arms behind it."""
    (task, *_) = json.loads(export(original, "label-studio", tmp_path / "tasks.json"))
    pick = {"id": "x", "from_name": "pick", "to_name": "conversation", "type": "choices"}
    hers: dict[str, Any] = {"id": 7, "lead_time": 2.5, "ground_truth": False}
    hers |= {"completed_by": {"id": 3, "email": "eve@example.org"}, "created_at": "2026-11-25T00:00:00Z"}
    hers |= {"result": [pick | {"value": {"choices": ["reply 1"]}}]}
    task["annotations"].append(hers)
    (tmp_path / "back.json").write_text(json.dumps([task | {"id": 99, "project": 1}]))
    assert load(original, tmp_path / "back.json") == ([False, True], [])
    said = next(one for one in decisions(original) if one.pick.annotator == "eve@example.org")
    assert (said.pick.candidate_id, said.pick.dwell_ms, said.pick.role) == (
        task["data"]["reply_ids"][0],
        2500,
        "crowd",
    )
    assert said.slate.policy == "2+2"


def test_pairwise_tasks_of_label_studio(tmp_path: Path) -> None:
    result = {
        "id": "a",
        "from_name": "pw",
        "to_name": "pw",
        "type": "pairwise",
        "value": {"selected": "right"},
    }
    task = {
        "id": 1,
        "data": {"prompt": "Q?", "text1": "A", "text2": "B"},
        "annotations": [{"id": 5, "completed_by": 2, "result": [result]}],
    }
    (tmp_path / "t.json").write_text(json.dumps([task]))
    assert load(tmp_path / "l.db", tmp_path / "t.json") == ([True], [])
    (one,) = decisions(tmp_path / "l.db")
    assert one.picked is not None
    assert (one.picked.text, one.pick.annotator) == ("B", "label-studio-2")
    assert one.slate.turn.messages[0].content == "Q?"


def test_a_rating_as_open_webui_exports_it(tmp_path: Path) -> None:
    def message(id: str, parent: str | None, role: str, **more: Any) -> dict[str, Any]:
        return {"id": id, "parentId": parent, "childrenIds": [], "role": role, "timestamp": 1} | more

    messages = {
        "q": message("q", None, "user", content="退款？", childrenIds=["a", "b"]),
        "a": message("a", "q", "assistant", content="Yes.", model="llama", modelIdx=0),
        "b": message("b", "q", "assistant", content="No.", model="qwen", done=True),
    }
    rating = {
        "id": "f1",
        "user_id": "u1",
        "version": 0,
        "type": "rating",
        "data": {"rating": 1, "model_id": "qwen", "sibling_model_ids": ["llama"], "reason": "accurate"}
        | {"comment": "", "tags": ["refund"], "details": {"rating": 9}},
        "meta": {"arena": False, "chat_id": "c", "message_id": "b", "message_index": 2, "base_models": {}},
        "snapshot": {"chat": {"id": "c", "title": "T", "archived": False}
                     | {"chat": {"history": {"messages": messages, "currentId": "b"}, "params": {}}}},
        "created_at": 1_760_000_000,
        "updated_at": 1_760_000_100,
    }  # fmt: skip
    thumb = rating | {"id": "f2", "data": {"rating": "-1", "model_id": "llama"}}
    thumb["meta"] = {"chat_id": "c", "message_id": "a"}
    bare = {name: value for name, value in rating.items() if name != "snapshot"} | {"id": "f3"}
    (tmp_path / "feedback.json").write_text(json.dumps([rating, thumb, bare]))
    new, rejects = load(tmp_path / "l.db", tmp_path / "feedback.json")
    assert new == [True, True]
    assert "Evaluations" in rejects[0].reason
    (one,) = decisions(tmp_path / "l.db")
    assert one.picked is not None
    assert (one.picked.text, one.picked.model, one.pick.reasons) == ("No.", "qwen", ("accurate",))
    assert one.pick.decided_at == datetime.fromtimestamp(1_760_000_100, UTC)
    with SQLiteLogReader(tmp_path / "l.db") as reader:
        (reacted,) = reader.reacted_replies(Selection())
    assert (reacted.reaction.value, reacted.candidate.text) == ("down", "Yes.")


def test_preferences_of_plain_texts(tmp_path: Path) -> None:
    rows = [
        {"prompt": "Q", "chosen": "A", "rejected": "B", "score": 1},
        {"chosen": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "C"}],
         "rejected": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "D"}]},
        {"prompt": "Q", "chosen": [{"role": "user", "content": "A"}], "rejected": "B"},
    ]  # fmt: skip
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    new, rejects = load(tmp_path / "l.db", tmp_path / "p.jsonl")
    assert (new, [one.line for one in rejects]) == ([True, True], [3])
    picked = [one.picked.text for one in decisions(tmp_path / "l.db") if one.picked]
    assert sorted(picked) == ["A", "C"]
    assert {one.slate.turn.messages[0].content for one in decisions(tmp_path / "l.db")} == {"Q"}


# Tables of all kinds


TABLE = "asked,reply_1,reply_2,position,note\nWo?,eins,zwei,2,x\nWann?,drei,vier,,y\nQ,a,b,9,\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", TABLE.encode()),
        ("t.csv", b"\xef\xbb\xbf" + TABLE.replace(",", ";").replace("\n", "\r\n").encode()),
        ("t.tsv", TABLE.replace(",", "\t").encode("utf-16")),
        ("t.txt", TABLE.encode()),
        ("t.csv.gz", gzip.compress(TABLE.encode(), mtime=0)),
    ],
    ids=["commas", "semicolons", "utf-16", "no suffix", "gz"],
)
def test_somebodys_own_table(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    new, rejects = load(tmp_path / "l.db", tmp_path / name)
    assert new == [True, True]
    assert [(one.line, one.reason) for one in rejects] == [
        (2, "the column 'note' is not known here, and is left out"),
        (4, "reply 9 was picked, but there are 2 replies"),
    ]
    assert [one.pick.verdict for one in decisions(tmp_path / "l.db")] == ["chosen", "skip"]
    assert load(tmp_path / "l.db", tmp_path / name)[0] == [False, False]


def test_a_workbook_where_csv_was_expected(original: Path, tmp_path: Path) -> None:
    export(original, "xlsx", tmp_path / "picks.csv")
    new, rejects = load(tmp_path / "l.db", tmp_path / "picks.csv", format="csv")
    assert (len(new), rejects) == (7, [])
    assert [one.texts for one in _texts(tmp_path / "l.db")] == [one.texts for one in _texts(original)]


def test_other_encodings(tmp_path: Path) -> None:
    table = "asked,reply_1,reply_2,position\n退款？,是,否,1\nplain,a,b,2\n"
    (tmp_path / "t.csv").write_bytes(table.encode("gbk"))
    new, (reject,) = load(tmp_path / "a.db", tmp_path / "t.csv")
    assert new == [True]  # the row in ASCII
    assert reject.reason.startswith(
        "not UTF-8 (byte 0xcd at 1); save the file as UTF-8, or name its encoding"
    )
    assert load(tmp_path / "b.db", tmp_path / "t.csv", encoding="gbk") == ([True, True], [])
    assert decisions(tmp_path / "b.db")[0].slate.turn.messages[0].content == "退款？"
    with pytest.raises(InvalidInput, match="is not utf-8"):
        load(tmp_path / "c.db", tmp_path / "t.csv", encoding="utf-8")
    for name in ("klingon", "hex"):
        with pytest.raises(InvalidInput, match="no encoding named"):
            load(tmp_path / "c.db", tmp_path / "t.csv", encoding=name)


def test_bad_rows_of_a_table_take_nothing_else_along(tmp_path: Path) -> None:
    head, good = b"asked,reply_1,reply_2,position\n", b'"a ""q""\nof two lines",x,y,1\n'
    bad = [
        b"only,three,cells\n",
        b'"never closed,x,y,1\n',
        b"Q,x,y,first\n",
        b"Q," + b"x" * 10_000_000 + b",y,1\n",
        b"Q,x\xff,y,1\n",
        b"Q,x,y,1,more\n",
        b'Q,"x"z,y,1\n',
    ]
    content = head + good
    for number, row in enumerate(bad):
        content += row + good.replace(b"x,y", b"x%d,y" % number)
    (tmp_path / "t.csv").write_bytes(content + good)
    new, rejects = load(tmp_path / "l.db", tmp_path / "t.csv")
    assert new == [True] * (len(bad) + 1)
    reasons = [one.reason for one in rejects]
    assert len(reasons) == len(bad) + 1
    parts = ["3 cells instead of 4", "expected after", "no number", "longer than", "UTF-8", "5 cells"]
    for reason, part in zip(reasons, [*parts, "expected after", "again"], strict=True):
        assert part in reason
    assert rejects[0].line == 4


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"asked,reply_1,reply_2,position\n", "is empty"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "before 2007"),
        (b"PK\x03\x04nonsense", "zip archive or a broken workbook"),
        (b"PAR1nonsense", "no Parquet file"),
        (b"\x1f\x8b\x08nonsense", "broken gzip"),
        (gzip.compress(TABLE.encode(), mtime=0)[:-9], "broken gzip"),
        (b"asked,asked,reply_1\nQ,Q,a\n", "'asked' is there twice"),
    ],
)
def test_files_that_are_refused_as_a_whole(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InvalidInput, match=says):
        load(tmp_path / "l.db", tmp_path / "t.csv")


# Any text at all

texts = st.one_of(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), st.sampled_from(AWKWARD))


@settings(max_examples=8, deadline=None)
@given(said=st.lists(texts, min_size=2, max_size=6), asked=texts, place=st.integers(0, 5))
@pytest.mark.parametrize(
    "format", ["csv", "xlsx", "jsonl", "argilla", "label-studio", "open-webui", "parquet"]
)
def test_any_text_goes_in_and_out(
    format: str,
    said: list[str],
    asked: str,
    place: int,
    decide: Decide,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    one = decide(
        "chosen", place % len(said), texts=said, messages=[Message(role="user", content=asked)], comment=asked
    )
    keep(folder / "a.db", one)
    export(folder / "a.db", format, folder / "file")
    assert load(folder / "b.db", folder / "file")[1] == []
    (back,) = decisions(folder / "b.db")
    assert [shown.text for shown in back.shown] == said
    assert (back.picked and back.picked.text, back.slate.turn.messages) == (said[place % len(said)], (
        Message(role="user", content=asked),
    ))  # fmt: skip
    assert (back.pick.key, back.pick.annotator, back.pick.comment or "") == (one.pick.key, "mei", asked)


def _texts(log: Path) -> list[Any]:
    with SQLiteLogReader(log) as reader:
        return [row for one in reader.decided_slates(Selection()) for row in EXPORTERS["jsonl"].rows(one)]


def test_into_a_log_that_redacts_and_again(tmp_path: Path) -> None:
    """What was redacted on the way in is known again, and the card says that it was."""
    said = "Call me on 555-867-5309, please"
    rows = [
        {"prompt": said, "chosen": f"{said}!", "rejected": "No."},
        {"prompt": said, "completion": "Fine.", "label": True},
    ]
    environment = {"PICKTUNE_HOME": str(tmp_path / "home"), "PICKTUNE_REDACTION__ON": "true"}
    run = CliRunner(env=environment)
    for number, row in enumerate(rows):
        (tmp_path / f"{number}.jsonl").write_text(json.dumps(row))
        for count in ("1 picks new, 0 known", "0 picks new, 1 known"):
            done = run.invoke(main, ["import", str(tmp_path / f"{number}.jsonl")])
            assert count in done.output, done.output
    run.invoke(main, ["export", "trl-preference", "--out", str(tmp_path / "out")])
    assert "867" not in (tmp_path / "out").read_text()
    assert json.loads((tmp_path / "out.card.json").read_text())["redaction"].startswith("on, in en, zh: ")
