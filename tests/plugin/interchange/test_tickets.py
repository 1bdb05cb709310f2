"""Our own ticket format: every field, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from picktune.interchange import tickets
from picktune.records import Conversation

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def convert(**row: object) -> Conversation:
    return tickets.to_conversation(tickets.decode(msgspec.json.encode(row)), now=NOW)


def test_every_field_goes_in() -> None:
    one = convert(
        id="shop:1",
        locale="zh",
        split="training",
        scenario="refund",
        title="退款",
        tags=["退款", "延迟"],
        system="你是客服。",
        message="退款呢？",
        pending=["什么时候？"],
    )
    assert one == Conversation(
        id="shop:1",
        title="退款",
        locale="zh",
        scenario="refund",
        tags=("退款", "延迟"),
        messages=one.messages,
        pending=("什么时候？",),
        source="tickets",
        created_at=NOW,
        updated_at=NOW,
    )
    assert [(m.role, m.content) for m in one.messages] == [("system", "你是客服。"), ("user", "退款呢？")]


def test_whole_conversations_go_in_as_they_are() -> None:
    said = [("user", "Hi"), ("assistant", "Hello"), ("user", "Where\nis it?")]
    one = convert(messages=[{"role": role, "content": text} for role, text in said])
    assert [(m.role, m.content) for m in one.messages] == said
    assert one.title == "Hi"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"message": "x", "split": "test"}, "split"),
        ({"message": "x", "id": ""}, "id"),
        ({"message": "x", "id": "a b"}, "id"),
        ({"message": "x", "tags": ["t"] * 51}, "tags"),
        ({"message": "x", "pending": [""]}, "pending"),
        ({"message": "x", "pending": "y"}, "pending"),
        ({"message": "x", "title": "t" * 201}, "title"),
        ({"messages": [{"role": "boss", "content": "x"}]}, "role"),
        ({"messages": [{"role": "user", "content": "x", "name": "y"}]}, "unknown field"),
        ({}, "give either"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_field(row: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convert(**row)


@given(
    text=st.text(min_size=1, max_size=500).filter(str.strip),
    pending=st.lists(st.text(min_size=1), max_size=3),
)
def test_any_words_survive_and_the_id_depends_on_them_only(text: str, pending: list[str]) -> None:
    one = convert(message=text, pending=pending)
    assert one.messages[-1].content == text
    assert one.pending == tuple(pending)
    assert one.id == convert(message=text, pending=pending).id
    assert one.id != convert(message=text + "!", pending=pending).id
    assert 1 <= len(one.title) <= 60
