"""Rows in a file: they behave as a list does, and hold nothing of what is in it."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from picktune.records import Message
from picktune_retrain.dataset.rows import Rows, Spool, pick_out

TEXTS = st.lists(st.text(max_size=30), max_size=30)


def put_down(texts: list[str], folder: Path | None = None) -> tuple[Rows[Message], list[Message]]:
    spool = Spool(Message, folder)
    plain = [Message(role="user", content=text) for text in texts]
    for row in plain:
        spool.add(row)
    return spool.rows(), plain


@given(TEXTS, st.data())
def test_they_are_what_a_list_of_them_is(texts: list[str], data: st.DataObject) -> None:
    rows, plain = put_down(texts)
    assert rows == plain
    assert rows == tuple(plain)
    assert list(rows) == plain
    assert rows[: len(texts) // 2] == plain[: len(texts) // 2]
    assert rows[::-2] == plain[::-2]
    places = data.draw(
        st.lists(st.integers(-len(texts), len(texts) - 1), max_size=20) if texts else st.just([])
    )
    taken = rows.pick_out(places)
    assert taken == [plain[place] for place in places]
    assert pick_out(tuple(plain), places) == taken
    assert taken[1:] == [plain[place] for place in places][1:]
    assert b"".join(taken.lines()).decode("utf-8").count("\n") == len(places)


def test_what_is_not_there_is_an_index_error() -> None:
    rows, plain = put_down(["one", "two"])
    assert rows[-1] == plain[1]
    with pytest.raises(IndexError):
        rows[2]
    assert rows != [*plain, plain[0]]
    assert rows != "one"
    assert repr(rows) == "<2 rows of Message>"


def test_they_outlive_the_name_of_their_file_and_notice_that_it_was_cut(tmp_path: Path) -> None:
    rows, plain = put_down(["one", "two"], tmp_path)
    assert list(tmp_path.iterdir()) == []
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(rows.lines()))
    heard: list[bytes] = []
    stored = Rows.open(path, Message, heard.append)
    assert b"".join(heard) == path.read_bytes()
    assert stored == plain
    path.write_bytes(b"")
    with pytest.raises(OSError, match="was cut"):
        stored[1]


def test_a_million_characters_are_not_held(tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        spool = Spool(Message, tmp_path)
        for number in range(2_000):
            spool.add(Message(role="user", content=f"{number} " * 200))
        rows = spool.rows()
        assert sum(len(row.content) for row in rows) > 1_000_000
        assert tracemalloc.get_traced_memory()[1] < 800_000
    finally:
        tracemalloc.stop()
