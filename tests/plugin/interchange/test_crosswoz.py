"""CrossWOZ dialogues become conversations that can be held again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from picktune.interchange import Reject, crosswoz, read_conversations
from picktune.records import Conversation

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def convert(*said: tuple[str, str], id: object = "10", type: str | None = "单领域") -> Conversation:
    row = {"id": id, "type": type, "messages": [{"role": role, "content": text} for role, text in said]}
    return crosswoz.to_conversation(crosswoz.decode(msgspec.json.encode(row)), now=NOW)


def test_the_first_question_stands_and_the_further_ones_are_still_to_come() -> None:
    one = convert(
        ("user", "推荐一家酒店。"), ("agent", "好的。"), ("user", "电话呢？"), ("agent", "不知道。")
    )
    assert [(message.role, message.content) for message in one.messages] == [("user", "推荐一家酒店。")]
    assert one.pending == ("电话呢？",)
    assert one.id == "crosswoz-10"
    assert one.title == "推荐一家酒店。"
    assert one.locale == "zh"
    assert one.tags == ("单领域",)


def test_numbers_are_ids_too_and_a_type_is_not_needed() -> None:
    one = convert(("user", "你好"), id=10, type=None)
    assert one.id == "crosswoz-10"
    assert (one.scenario, one.tags) == (None, ())


@pytest.mark.parametrize(
    ("said", "id", "message"),
    [
        ([("agent", "你好")], "1", "the customer says nothing"),
        ([("system", "你好")], "1", "role"),
        ([("user", "你好")], "../1", "id"),
        ([("user", "你好")], -1, "id"),
        ([("user", "长" * 20_001)], "1", "20,001 characters"),
    ],
)
def test_what_cannot_be_held_is_refused(said: list[tuple[str, str]], id: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convert(*said, id=id)


def test_the_public_set_is_read_whole(shared_data: Path) -> None:
    rejects: list[Reject] = []
    found = list(read_conversations(shared_data / "crosswoz" / "val.jsonl", on_reject=rejects.append))
    assert rejects == []
    assert len({one.id for one in found}) == len(found) == 500
    # As many customer turns go in as the file has.
    assert sum(1 + len(one.pending) for one in found) == 8458 // 2
