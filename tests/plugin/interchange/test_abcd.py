"""ABCD dialogues become conversations that can be held again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from picktune.interchange import Reject, abcd, read_conversations
from picktune.records import Conversation

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def convert(original: list[list[str]], **scenario: str) -> Conversation:
    row = {
        "convo_id": 12,
        "scenario": {**scenario, "personal": {"email": "a@b.example"}},
        "original": original,
    }
    return abcd.to_conversation(abcd.decode(msgspec.json.encode(row)), now=NOW)


def test_what_is_said_up_to_the_customers_first_words_stands_and_the_rest_is_still_to_come() -> None:
    one = convert(
        [
            ["agent", "Hello!"],
            ["agent", "How can I help?"],
            ["customer", "My boots are late."],
            ["customer", "Very late."],
            ["action", "Account has been pulled up."],
            ["customer", "Order 12."],
            ["agent", "Let me look."],
            ["customer", "Thanks"],
        ],
        flow="shipping_issue",
        subflow="missing_order",
    )
    assert [(message.role, message.content) for message in one.messages] == [
        ("assistant", "Hello!\nHow can I help?"),
        ("user", "My boots are late.\nVery late.\nOrder 12."),
    ]
    assert one.pending == ("Thanks",)
    assert one.id == "abcd-12"
    assert one.title == "Missing order"
    assert one.scenario == "shipping_issue"
    assert one.tags == ("shipping_issue", "missing_order")
    assert one.locale == "en"


def test_without_a_flow_the_title_is_what_the_customer_says() -> None:
    one = convert([["customer", "word " * 40]])
    assert one.title.startswith("word word")
    assert len(one.title) <= 60
    assert (one.scenario, one.tags) == (None, ())


@pytest.mark.parametrize(
    ("original", "message"),
    [
        ([["agent", "Hello"], ["action", "x"]], "the customer says nothing"),
        ([["customer", "   "]], "the customer says nothing"),
        ([["customer", "Hi"], ["robot", "Hello"]], "unknown speaker 'robot'"),
        ([["customer", "x" * 20_001]], "20,001 characters"),
        ([["customer", "Hi"], ["agent", "Hello"], ["customer", "x" * 20_001]], "20,001 characters"),
        ([["customer"]], "length"),
    ],
)
def test_what_cannot_be_held_is_refused(original: list[list[str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convert(original)


def test_the_public_sample_is_read_whole(shared_data: Path) -> None:
    rejects: list[Reject] = []
    found = list(read_conversations(shared_data / "abcd" / "abcd_sample.json", on_reject=rejects.append))
    assert rejects == []
    assert len(found) == 3
    for one in found:
        assert one.source == "abcd"
        assert one.messages[-1].role == "user"
        assert one.pending
