"""Conversations: what a decision sends, and what an undo takes back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import structs
from picktune.errors import Conflict, ConversationNotFound, InvalidInput
from picktune.log import SQLiteLog
from picktune.records import Conversation, Message

pytestmark = pytest.mark.anyio


def said(conversation: Conversation) -> list[str]:
    return [message.content for message in conversation.messages]


async def test_a_conversation_comes_back_as_it_was(log: SQLiteLog, make: Any) -> None:
    conversation = make.conversation(
        title="退\0货",
        locale="zh",
        scenario="returns",
        tags=("a", "b"),
        messages=(Message(role="system", content="Be kind."), Message(role="user", content="\0")),
        pending=("one", "two"),
        source="import",
        status="closed",
    )

    assert await log.add_conversations([conversation]) == 1
    assert log.reader.conversation(conversation.id) == conversation


async def test_those_that_are_there_stay_as_they_are(log: SQLiteLog, make: Any) -> None:
    one, two = make.conversation(), make.conversation()
    await log.add_conversations([one])

    assert await log.add_conversations([structs.replace(one, title="new"), two, two]) == 1
    assert await log.add_conversations([]) == 0
    assert log.reader.conversation(one.id) == one
    with pytest.raises(ConversationNotFound):
        log.reader.conversation("none")


async def test_conversations_are_kept_together_or_not_at_all(log: SQLiteLog, make: Any) -> None:
    with pytest.raises(InvalidInput):
        await log.add_conversations([make.conversation(), make.conversation(title="\ud800")])

    assert log.reader.count_conversations(status=None) == 0


@pytest.mark.parametrize(
    ("verdict", "fields", "reply"),
    [
        ("chosen", {"chosen": 1}, "Reply 1 of champion."),
        ("chosen", {"chosen": 1, "edited_text": "Mended."}, "Mended."),
        ("tie", {"chosen": 2}, "Reply 2 of base."),
        ("tie", {"chosen": 2, "edited_text": "Mended."}, "Mended."),
        ("none_good", {"edited_text": "By hand.\0"}, "By hand.\0"),
        ("none_good", {}, None),
        ("tie", {}, None),
        ("skip", {}, None),
    ],
)
async def test_what_a_decision_sends(
    log: SQLiteLog, make: Any, verdict: str, fields: dict[str, Any], reply: str | None
) -> None:
    conversation = make.conversation(pending=("And the refund?", "Thanks."))
    await log.add_conversations([conversation])
    slate = await make.shown(log, conversation=conversation)

    pick = await log.record(make.pick(slate, verdict, **fields))

    now = log.reader.conversation(conversation.id)
    if reply is None:
        assert now == conversation
    else:
        assert said(now) == ["Where is my order?", reply, "And the refund?"]
        assert [message.role for message in now.messages] == ["user", "assistant", "user"]
        assert now.pending == ("Thanks.",)
        assert (now.status, now.updated_at) == ("open", pick.decided_at)
    await log.record(make.pick(slate, "undone"))
    back = log.reader.conversation(conversation.id)
    assert structs.replace(back, updated_at=conversation.updated_at) == conversation


async def test_the_conversation_closes_when_nothing_is_pending(log: SQLiteLog, make: Any) -> None:
    conversation = make.conversation(pending=("And the refund?",))
    await log.add_conversations([conversation])
    await log.record(make.pick(await make.shown(log, conversation=conversation)))
    state = log.reader.conversation(conversation.id)
    last = await make.shown(log, conversation=state)
    await log.record(make.pick(last, chosen=3))

    closed = log.reader.conversation(conversation.id)
    assert closed.status == "closed"
    assert said(closed) == [*said(state), "Reply 3 of champion."]
    await log.record(make.pick(last, "undone"))
    assert structs.replace(log.reader.conversation(conversation.id), updated_at=state.updated_at) == state


async def test_sending_a_decision_again_sends_no_second_reply(log: SQLiteLog, make: Any) -> None:
    conversation = make.conversation(pending=("a", "b", "c"))
    await log.add_conversations([conversation])
    slate = await make.shown(log, conversation=conversation)
    pick = make.pick(slate)

    await asyncio.gather(*(log.record(pick) for _ in range(20)))

    assert len(log.reader.conversation(conversation.id).messages) == 3


async def test_only_the_first_of_two_annotators_sends(log: SQLiteLog, make: Any) -> None:
    conversation = make.conversation(pending=("a", "b"))
    await log.add_conversations([conversation])
    slate = await make.shown(log, conversation=conversation, viewers=("ann", "bob"))
    await log.record(make.pick(slate, chosen=0))
    sent = log.reader.conversation(conversation.id)

    await log.record(make.pick(slate, chosen=1, annotator="bob"))

    assert log.reader.conversation(conversation.id) == sent
    assert len(list(log.reader.decisions())) == 2
    # The second sent nothing, so that undoing it takes nothing back.
    await log.record(make.pick(slate, "undone", annotator="bob"))
    assert log.reader.conversation(conversation.id) == sent


async def test_a_slate_of_an_earlier_state_sends_nothing(log: SQLiteLog, make: Any) -> None:
    conversation = make.conversation(pending=("a", "b"))
    await log.add_conversations([conversation])
    one = await make.shown(log, conversation=conversation)
    other = await make.shown(log, conversation=conversation)
    await log.record(make.pick(one))
    sent = log.reader.conversation(conversation.id)

    await log.record(make.pick(other))

    assert log.reader.conversation(conversation.id) == sent


async def test_an_undo_comes_too_late_when_the_conversation_has_moved_on(log: SQLiteLog, make: Any) -> None:
    conversation = make.conversation(pending=("a", "b"))
    await log.add_conversations([conversation])
    first = await make.shown(log, conversation=conversation)
    await log.record(make.pick(first))
    second = await make.shown(log, conversation=log.reader.conversation(conversation.id), viewers=("bob",))
    await log.record(make.pick(second, annotator="bob"))
    now = log.reader.conversation(conversation.id)

    with pytest.raises(Conflict, match="moved on"):
        await log.record(make.pick(first, "undone"))

    assert log.reader.conversation(conversation.id) == now
    assert [pick.verdict for pick in log.reader.picks(first.id)] == ["chosen"]
    await log.record(make.pick(second, "undone", annotator="bob"))
    await log.record(make.pick(first, "undone"))
    assert said(log.reader.conversation(conversation.id)) == said(conversation)


async def test_after_an_undo_another_reply_is_sent(log: SQLiteLog, make: Any) -> None:
    conversation = make.conversation(pending=("a",))
    await log.add_conversations([conversation])
    slate = await make.shown(log, conversation=conversation)
    await log.record(make.pick(slate, chosen=0))
    await log.record(make.pick(slate, "undone"))

    await log.record(make.pick(slate, chosen=1))

    assert said(log.reader.conversation(conversation.id)) == [
        "Where is my order?",
        "Reply 1 of champion.",
        "a",
    ]


async def test_pages_of_conversations_oldest_update_first(log: SQLiteLog, make: Any) -> None:
    english = [make.conversation() for _ in range(3)]
    chinese = [make.conversation(locale="zh") for _ in range(2)]
    closed = make.conversation(status="closed")
    await log.add_conversations([closed, *reversed(english), *chinese])
    reader = log.reader

    assert reader.conversations() == [*english, *chinese]
    assert reader.conversations(limit=2, offset=2) == [english[2], chinese[0]]
    assert reader.conversations(locale="zh") == chinese
    assert reader.conversations(status="closed") == [closed]
    assert reader.conversations(status=None, limit=100)[-1] == closed
    assert reader.conversations(limit=0) == reader.conversations(offset=9) == []
    assert reader.conversations(status="'; DROP TABLE picks") == []
    counts = [reader.count_conversations(), reader.count_conversations(status=None, locale="zh")]
    assert counts == [5, 2]
    for field in ("limit", "offset"):
        with pytest.raises(InvalidInput) as caught:
            reader.conversations(**{field: -1})
        assert caught.value.field == field

    slate = await make.shown(log, conversation=structs.replace(english[0]), viewers=("ann",))
    await log.record(make.pick(slate))
    assert reader.conversations() == [*english[1:], *chinese]  # it closed
