"""Slates, and who saw them."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import pytest
from msgspec import structs
from picktune.errors import (
    CandidateNotFound,
    Conflict,
    InvalidInput,
    SlateNotFound,
)
from picktune.log import SQLiteLog
from picktune.records import Message

pytestmark = pytest.mark.anyio

TEXTS = ["NUL \0 inside", "订单在哪里？😀\u2028", "x" * 1_000_000, "' \" \\ ;-- {}\r\n\t"]


async def test_a_slate_comes_back_as_it_was(log: SQLiteLog, make: Any) -> None:
    slate = make.slate(
        texts=TEXTS,
        also={0: ("champion",)},
        turn={
            "messages": tuple(Message(role="user", content=text) for text in TEXTS),
            "user_ref": "u\0ser",
            "tags": ("退货", "a b"),
            "locale": "zh",
        },
        complete=False,
        failures=("EngineDown: gone",),
        seed=2**63 - 1,
    )

    await log.add_slate(slate)

    assert log.reader.slate(slate.id) == slate
    assert log.reader.slate_of_candidate(slate.candidates[2].id) == slate


async def test_the_same_slate_again_changes_nothing(log: SQLiteLog, make: Any) -> None:
    slate = make.slate()
    await log.add_slate(slate)
    before = log.reader.counts()

    await log.add_slate(slate)

    assert log.reader.counts() == before
    assert log.reader.slate(slate.id) == slate


async def test_lists_are_kept_as_tuples(log: SQLiteLog, make: Any) -> None:
    slate = make.slate()
    listed = structs.replace(slate, candidates=list(slate.candidates), failures=[])

    await log.add_slate(listed)
    await log.add_slate(listed)

    assert log.reader.slate(slate.id) == slate


async def test_two_slates_may_share_a_turn(log: SQLiteLog, make: Any) -> None:
    first = make.slate()
    second = structs.replace(make.slate(), turn=first.turn)

    await log.add_slate(first)
    await log.add_slate(second)

    assert log.reader.counts()["turns"] == 1
    assert log.reader.slate(second.id).turn == first.turn


@pytest.mark.parametrize("part", ["slate", "turn", "candidate"])
async def test_an_id_names_one_thing_for_good(log: SQLiteLog, make: Any, part: str) -> None:
    first, second = make.slate(), make.slate()
    other = {
        "slate": structs.replace(second, id=first.id),
        "turn": structs.replace(second, turn=structs.replace(second.turn, id=first.turn.id)),
        "candidate": structs.replace(second, candidates=first.candidates),
    }[part]
    await log.add_slate(first)
    before = log.reader.counts()

    with pytest.raises((Conflict, InvalidInput)):
        await log.add_slate(other)

    assert log.reader.counts() == before
    assert log.reader.slate(first.id) == first


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("candidates", {"candidates": ()}),
        ("turn", {"turn": "text"}),
        ("policy", {"policy": "\ud800"}),
        ("created_at", {"created_at": datetime(2026, 3, 1)}),  # noqa: DTZ001
        ("complete", {"complete": "yes"}),
        (None, {"seed": 2**63}),
    ],
)
async def test_a_slate_that_cannot_be_stored_is_refused_whole(
    log: SQLiteLog, make: Any, field: str | None, change: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await log.add_slate(structs.replace(make.slate(), **change))

    assert caught.value.field == field
    assert set(log.reader.counts().values()) == {0}


@pytest.mark.parametrize(
    ("field", "value"), [("text", "half \udc00"), ("latency", math.nan), ("tokens", 2**70)]
)
async def test_a_candidate_that_cannot_be_stored_is_refused(
    log: SQLiteLog, make: Any, field: str, value: Any
) -> None:
    slate = make.slate()
    broken = structs.replace(slate.candidates[1], **{field: value})
    slate = structs.replace(slate, candidates=(slate.candidates[0], broken))

    with pytest.raises(InvalidInput):
        await log.add_slate(slate)

    assert set(log.reader.counts().values()) == {0}


async def test_the_message_says_where_the_text_is_broken(log: SQLiteLog, make: Any) -> None:
    slate = make.slate(turn={"messages": (Message(role="user", content="\ud83d"),)})

    with pytest.raises(InvalidInput, match=r"turn\.messages\[0\]\.content .*UTF-8"):
        await log.add_slate(slate)


async def test_what_is_not_there_is_not_found(log: SQLiteLog) -> None:
    with pytest.raises(SlateNotFound):
        log.reader.slate("none")
    with pytest.raises(CandidateNotFound):
        log.reader.slate_of_candidate("none")
    assert log.reader.exposures("none") == []
    assert log.reader.picks("none") == []


async def test_the_first_exposure_of_a_viewer_stands(log: SQLiteLog, make: Any) -> None:
    slate = make.slate()
    await log.add_slate(slate)
    first = make.exposure(slate, order=[2, 0, 3, 1])

    assert await log.add_exposure(first) == first
    assert await log.add_exposure(make.exposure(slate, order=[0, 1, 2, 3])) == first
    other = await log.add_exposure(make.exposure(slate, "bob"))

    assert log.reader.exposures(slate.id) == [first, other]


async def test_an_exposure_needs_its_slate_and_each_candidate_once(log: SQLiteLog, make: Any) -> None:
    slate, elsewhere = make.slate(), make.slate()
    await log.add_slate(slate)

    with pytest.raises(SlateNotFound):
        await log.add_exposure(make.exposure(elsewhere))
    for order in ([0, 1, 2], [0, 1, 2, 2], [], [0, 1, 2, 3, 3]):
        with pytest.raises(InvalidInput) as caught:
            await log.add_exposure(make.exposure(slate, order=order))
        assert caught.value.field == "order"
    with pytest.raises(InvalidInput):
        await log.add_exposure(
            structs.replace(make.exposure(slate), order=tuple(one.id for one in elsewhere.candidates))
        )
    assert log.reader.exposures(slate.id) == []


async def test_the_newest_undecided_slate_waits(log: SQLiteLog, make: Any) -> None:
    conversation = make.conversation()
    await log.add_conversations([conversation])
    assert log.reader.waiting_slate(conversation.id) is None
    first = await make.shown(log, conversation=conversation)
    second = await make.shown(log, conversation=conversation)

    assert log.reader.waiting_slate(conversation.id) == second
    await log.record(make.pick(second, "skip"))
    assert log.reader.waiting_slate(conversation.id) == first
    await log.record(make.pick(second, "undone"))
    assert log.reader.waiting_slate(conversation.id) == second


async def test_a_slate_waits_for_its_viewer_or_for_anybody_if_nobody_saw_it(
    log: SQLiteLog, make: Any
) -> None:
    conversation = make.conversation()
    await log.add_conversations([conversation])
    unseen = await make.shown(log, conversation=conversation, viewers=())
    seen = await make.shown(log, conversation=conversation, viewers=("bob", "cai"))

    assert log.reader.waiting_slate(conversation.id, viewer="bob") == seen
    assert log.reader.waiting_slate(conversation.id, viewer="ann") == unseen


async def test_a_slate_of_an_earlier_state_never_waits(log: SQLiteLog, make: Any) -> None:
    conversation = make.conversation(pending=("And now?",))
    await log.add_conversations([conversation])
    stale = await make.shown(log, conversation=conversation)
    decided = await make.shown(log, conversation=conversation)
    await log.record(make.pick(decided))

    assert log.reader.waiting_slate(conversation.id) is None
    fresh = await make.shown(log, conversation=log.reader.conversation(conversation.id))
    assert log.reader.waiting_slate(conversation.id) == fresh
    await log.record(make.pick(decided, "undone"))
    assert log.reader.waiting_slate(conversation.id) == decided != stale


async def test_a_system_prompt_is_no_part_of_what_was_said(log: SQLiteLog, make: Any) -> None:
    conversation = make.conversation()
    await log.add_conversations([conversation])
    prompt = Message(role="system", content="You are the shop.")
    slate = make.slate(conversation=conversation, turn={"messages": (prompt, *conversation.messages)})
    await log.add_slate(slate)

    assert log.reader.waiting_slate(conversation.id) == slate


async def test_without_a_stored_conversation_the_newest_slate_is_its_state(log: SQLiteLog, make: Any) -> None:
    earlier = await make.shown(log)
    named = {"conversation_id": earlier.turn.conversation_id}
    assert log.reader.waiting_slate(earlier.turn.conversation_id) == earlier
    later = await make.shown(log, turn=named | {"messages": (Message(role="user", content="More"),)})

    assert log.reader.waiting_slate(earlier.turn.conversation_id) == later
    await log.record(make.pick(later))
    assert log.reader.waiting_slate(earlier.turn.conversation_id) is None
