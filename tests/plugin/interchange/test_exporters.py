"""What each format makes of a decision, and that every text comes back as it was."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from picktune.errors import InvalidInput
from picktune.interchange import EXPORTERS
from picktune.interchange.cells import as_it_was, harmless
from picktune.interchange.choice import to_decided
from picktune.interchange.exporter import writer_of
from picktune.interchange.lmarena import language
from picktune.records import AliasesSeen, DecidedSlate, Message, ReactedReply, Reaction

Decide = Callable[..., DecidedSlate]
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SYSTEM = Message(role="system", content="Be kind.")
ASKED = Message(role="user", content="Where is my order?")

# Whatever people and models write: quotes, line ends of all kinds, controls, Chinese, emoji, formulas.
PIECES = [
    "\r\n",
    "\n",
    "\r",
    "\0",
    "\x1b",
    "\t",
    "\u2028",
    "\x85",
    "\ufeff",
    '"',
    "'",
    ",",
    ";",
    "=",
    "+",
    "@",
]
PIECES += ["你好", "，", "👩‍💻", "🇨🇳", "\\", "<b>", "é"]
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
)
roles = st.sampled_from(["system", "user", "assistant"])


@st.composite
def decisions(draw: st.DrawFn, decide: Decide) -> DecidedSlate:
    said = draw(st.lists(texts, min_size=2, max_size=6))
    verdict = draw(st.sampled_from(["chosen", "tie", "none_good", "skip"]))
    place = draw(st.integers(0, len(said) - 1))
    messages = [Message(role=draw(roles), content=draw(texts)) for _ in range(draw(st.integers(0, 3)))]
    edited = draw(st.none() | texts) if verdict != "skip" else None
    one = decide(
        verdict,
        place if verdict in ("chosen", "tie") else None,
        texts=said,
        order=draw(st.permutations(range(len(said)))),
        messages=messages,
        annotator=draw(texts.filter(bool)),
        tags=tuple(draw(st.lists(texts, max_size=3))),
        locale=draw(st.sampled_from(["en", "zh", "zh-CN", "xx", ""])),
        edited_text=edited,
        reasons=tuple(draw(st.lists(texts, max_size=2))),
        comment=draw(st.none() | texts),
        dwell_ms=draw(st.none() | st.integers(0, 10**9)),
        role=draw(st.sampled_from(["agent", "user", "model"])),
    )
    aliases = st.builds(
        AliasesSeen, champion=st.none() | texts, challenger=st.none() | texts, seen_at=st.just(NOW)
    )
    return structs.replace(one, aliases=draw(st.none() | aliases))


def written(name: str, *evidence: DecidedSlate | ReactedReply) -> tuple[list[Any], bytes]:
    exporter, content = EXPORTERS[name], list[bytes]()
    rows = [row for one in evidence for row in exporter.rows(one)]
    writer = writer_of(exporter, content.append)
    for row in rows:
        writer.add(row)
    writer.close()
    return rows, b"".join(content)


def lines(name: str, *evidence: DecidedSlate | ReactedReply) -> list[dict[str, Any]]:
    """The rows as another program reads them."""
    return [json.loads(line) for line in written(name, *evidence)[1].decode().splitlines()]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("round") / "rows"


@pytest.mark.parametrize("name", EXPORTERS)
@given(data=st.data())
def test_what_was_written_is_read_back(name: str, file: Path, decide: Decide, data: st.DataObject) -> None:
    one = data.draw(decisions(decide))
    evidence: list[DecidedSlate | ReactedReply] = [one]
    if "reactions" in EXPORTERS[name].TAKES:
        reaction = Reaction(
            key="k", candidate_id=one.slate.candidates[0].id, value="up", annotator="mei", reacted_at=NOW
        )
        evidence.append(ReactedReply(slate=one.slate, reaction=reaction))
    rows, content = written(name, *evidence)
    file.write_bytes(content)
    assert list(EXPORTERS[name].read(file)) == rows


@given(data=st.data())
def test_a_choice_becomes_the_decision_again(decide: Decide, data: st.DataObject) -> None:
    one = data.draw(decisions(decide))
    (row,) = EXPORTERS["choice"].rows(one)
    assert to_decided(row, now=NOW) == (one,)


# Pairs


@pytest.mark.parametrize("name", ["trl-preference", "openai-preference"])
def test_a_choice_of_k_gives_k_minus_1_pairs_in_the_order_shown(name: str, decide: Decide) -> None:
    found = lines(name, decide("chosen", 1, order=(3, 2, 1, 0), messages=(SYSTEM, ASKED)))
    chosen, rejected = (
        ("chosen", "rejected") if name == "trl-preference" else ("preferred_output", "non_preferred_output")
    )
    assert [row[chosen] for row in found] == [[{"role": "assistant", "content": "Tuned one."}]] * 3
    assert [row[rejected][0]["content"] for row in found] == ["Tuned two.", "Base two.", "Base one."]
    prompt = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Where is my order?"}]
    if name == "trl-preference":
        assert all(row["prompt"] == prompt and len(row) == 3 for row in found)
    else:
        wanted = {"messages": prompt, "tools": [], "parallel_tool_calls": True}
        assert all(row["input"] == wanted and len(row) == 3 for row in found)


@pytest.mark.parametrize("name", ["trl-preference", "openai-preference"])
def test_no_pair_where_nothing_was_preferred(name: str, decide: Decide) -> None:
    for one in (
        decide("tie", 0),
        decide("none_good", edited_text="By hand."),
        decide("skip"),
        decide("chosen", 0, texts=["The only one."]),
        decide("chosen", 0, texts=["The same.", "The same."]),
        decide("chosen", 0, messages=()),
        decide("chosen", 0, messages=(ASKED, SYSTEM)),
    ):
        assert lines(name, one) == []


def test_openai_takes_no_answer_of_a_tool_without_its_call(decide: Decide) -> None:
    one = decide("chosen", 0, messages=(ASKED, Message(role="tool", content="sent")))
    assert lines("openai-preference", one) == []
    assert len(lines("trl-preference", one)) == 3


# Thumbs, demonstrations


def test_thumbs_and_none_good_become_labels(decide: Decide) -> None:
    one = decide("none_good")
    up = Reaction(
        key="k", candidate_id=one.slate.candidates[2].id, value="up", annotator="mei", reacted_at=NOW
    )
    found = lines("trl-kto", one, ReactedReply(slate=one.slate, reaction=up))
    assert [(row["completion"][0]["content"], row["label"]) for row in found] == [
        ("Base one.", False),
        ("Tuned one.", False),
        ("Base two.", False),
        ("Tuned two.", False),
        ("Base two.", True),
    ]
    assert set(found[0]) == {"prompt", "completion", "label"}
    assert lines("trl-kto", decide("chosen", 0), decide("tie"), decide("skip")) == []


def test_a_thumb_goes_before_none_good(decide: Decide) -> None:
    one = decide("none_good")
    both = DecidedSlate(
        slate=one.slate, exposure=one.exposure, pick=one.pick, reacted=(one.slate.candidates[2].id,)
    )
    assert "Base two." not in [row["completion"][0]["content"] for row in lines("trl-kto", both)]


def test_demonstrations_are_what_people_wrote(decide: Decide) -> None:
    found = lines(
        "sft",
        decide("chosen", 0, edited_text="Mended."),
        decide("none_good", edited_text="By hand."),
        decide("tie", 0, edited_text="Also mended."),
        decide("chosen", 0, edited_text="Base one."),
        decide("chosen", 0),
    )
    assert [row["completion"] for row in found] == [
        [{"role": "assistant", "content": text}] for text in ("Mended.", "By hand.", "Also mended.")
    ]
    assert found[0]["prompt"] == [{"role": "user", "content": "Where is my order?"}]


def test_an_edit_goes_before_the_reply_as_it_was_drawn(decide: Decide) -> None:
    found = lines(
        "trl-edits",
        decide("chosen", 1, order=(3, 2, 1, 0), messages=(SYSTEM, ASKED), edited_text="Mended.\r\n你好"),
        decide("tie", 2, edited_text=""),
        decide("none_good", edited_text="By hand."),
        decide("tie", edited_text="By hand."),
        decide("chosen", 0, edited_text="Base one."),
        decide("chosen", 0),
        decide("skip"),
        decide("chosen", 0, edited_text="Mended.", messages=()),
        decide("chosen", 0, edited_text="Mended.", messages=(ASKED, SYSTEM)),
    )
    assert [(row["chosen"], row["rejected"]) for row in found] == [
        ([{"role": "assistant", "content": edited}], [{"role": "assistant", "content": original}])
        for edited, original in (("Mended.\r\n你好", "Tuned one."), ("", "Base two."))
    ]
    assert found[0]["prompt"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Where is my order?"},
    ]
    assert all(list(row) == ["prompt", "chosen", "rejected"] for row in found)


# Battles


def test_battles_are_between_different_models_as_shown(decide: Decide) -> None:
    found = lines("lmarena", decide("chosen", 1, order=(0, 1, 2, 3), locale="zh-CN"))
    assert [(row["model_a"], row["model_b"], row["winner"]) for row in found] == [
        ("base", "v1", "model_b"),
        ("v1", "base", "model_a"),
    ]
    assert found[0]["conversation_a"][-1] == {"role": "assistant", "content": "Base one."}
    assert found[0]["conversation_b"][-1] == {"role": "assistant", "content": "Tuned one."}
    assert found[0]["language"] == "Chinese"
    assert found[0]["turn"] == 1
    assert found[0]["tstamp"] == datetime(2026, 11, 24, 9, 0, 1, tzinfo=UTC).timestamp()
    assert len({row["question_id"] for row in found}) == 2


@pytest.mark.parametrize(("verdict", "winner"), [("tie", "tie"), ("none_good", "tie (bothbad)")])
def test_ties_are_battles_of_each_against_each(decide: Decide, verdict: str, winner: str) -> None:
    found = lines("lmarena", decide(verdict))
    assert [row["winner"] for row in found] == [winner] * 4


def test_what_is_no_battle(decide: Decide) -> None:
    assert lines("lmarena", decide("skip"), decide("chosen", 0, model=None)) == []
    said_by_both = decide("chosen", 0, texts=["Same.", "Other."], also={0: ("challenger",)})
    assert lines("lmarena", said_by_both) == []


def test_languages() -> None:
    assert [language(one) for one in ("en", "zh_TW", "de-AT", "xx", "", "nonsense!")] == [
        "English",
        "Chinese",
        "German",
        "xx",
        "",
        "nonsense!",
    ]


# The spreadsheet


def test_a_row_of_the_spreadsheet(decide: Decide) -> None:
    one = decide(
        "chosen",
        1,
        order=(1, 0, 2),
        texts=["一", "二，好", "三"],
        edited_text="改",
        dwell_ms=1500,
        role="model",
        reasons=("tone", "facts"),
    )
    content = written("csv", one)[1]
    assert content.count(b"\r\n") == 2
    (row,) = csv.DictReader(io.StringIO(content.decode(), newline=""))
    assert row["picked"] == row["reply_1"] == "二，好"
    assert (row["reply_2"], row["reply_3"], row["reply_4"], row["more_replies"]) == ("一", "三", "", "")
    assert (row["position"], row["sent"], row["arm"], row["model"]) == ("1", "改", "challenger", "v1")
    assert (row["simulated"], row["complete"], row["dwell_seconds"]) == ("yes", "yes", "1.500")
    assert (row["asked"], row["reasons"], row["tags"]) == ("Where is my order?", "tone, facts", "order")


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "\u3000=1", "\ufeff=1", "\0=1", "＝1",
     "＋1", "－1", "＠A1", "=cmd|' /C calc'!A0", '=HYPERLINK("http://x.test")', "'=1"],
)  # fmt: skip
def test_no_cell_is_a_formula(cell: str, decide: Decide) -> None:
    one = decide("chosen", 0, texts=[cell, "other"], comment=cell, annotator=cell, tags=(cell,))
    (row,) = csv.DictReader(io.StringIO(written("csv", one)[1].decode(), newline=""))
    for column in ("picked", "reply_1", "comment", "annotator", "tags"):
        assert row[column] == f"'{cell}"
        assert as_it_was(row[column]) == cell


@given(texts)
def test_an_apostrophe_comes_and_goes(cell: str) -> None:
    assert as_it_was(harmless(cell)) == cell
    assert harmless(cell).lstrip()[:1] not in tuple("=+-@＝＋－＠")


# Files that are not ours


@pytest.mark.parametrize("name", EXPORTERS)
@pytest.mark.parametrize(
    "content",
    [b'{"prompt": [], "colour": 1}\n', b"{\n", b"\xff\xfe\n", b'"a\xff"\n', b"[" * 5000, b'"a","b"\r\n'],
)  # fmt: skip
def test_reading_what_is_broken_names_the_file(name: str, content: bytes, file: Path) -> None:
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match="rows"):
        list(EXPORTERS[name].read(file))


def test_a_broken_line_is_named(file: Path, decide: Decide) -> None:
    rows, content = written("sft", decide("none_good", edited_text="By hand."))
    file.write_bytes(content + content[:-10] + b"\n")
    reading = EXPORTERS["sft"].read(file)
    assert next(reading) == rows[0]
    with pytest.raises(InvalidInput, match="line 2"):
        next(reading)
    for table in (written("csv", decide())[1] + b'"1","2"\r\n', written("csv", decide())[1] + b'"open'):
        file.write_bytes(table)
        with pytest.raises(InvalidInput, match="line 3"):
            list(EXPORTERS["csv"].read(file))
