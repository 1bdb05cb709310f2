"""A host application hears of each decision once, when it is on disk, and cannot spoil it."""

from __future__ import annotations

import asyncio
import logging

import pytest
from picktune.errors import Conflict
from picktune.feedback import Feedback
from picktune.listeners import Decided
from picktune.records import Message
from picktune.service import Service

pytestmark = pytest.mark.anyio

ASK = [Message(role="user", content="Where is my order?")]


async def told(heard: list[Decided], number: int) -> None:
    async with asyncio.timeout(5):
        while True:
            if len(heard) >= number:
                return
            await asyncio.sleep(0.005)


async def test_each_decision_once_with_what_goes_out(service: Service) -> None:
    heard: list[Decided] = []

    async def listen(decided: Decided) -> None:
        assert any(one.key == decided.pick.key for one in await service.picks(decided.pick.slate_id))
        heard.append(decided)

    service.listeners.add(listen)
    ann = Feedback(service, "ann", "agent")
    slate = await ann.draw(ASK, conversation_id="c1", user_ref="u1")
    reply = slate.candidates[1]
    await ann.pick(slate.id, reply.id, key="k1")
    await told(heard, 1)
    await ann.pick(slate.id, reply.id, key="k1")  # a repeated request is no new decision
    await ann.undo(slate.id, key="k2")
    await told(heard, 2)
    await ann.pick(slate.id, verdict="none_good", edited_text="I looked it up.", key="k3")
    await told(heard, 3)
    other = await ann.draw(ASK)
    await ann.pick(other.id, verdict="tie", key="k4")
    edited = await ann.draw(ASK)
    await ann.pick(edited.id, edited.candidates[0].id, edited_text="Better words.", key="k5")
    await told(heard, 5)
    assert [(one.pick.key, one.reply) for one in heard] == [
        ("k1", reply.text),
        ("k2", None),
        ("k3", "I looked it up."),
        ("k4", None),
        ("k5", "Better words."),
    ]
    assert {(one.conversation_id, one.user_ref) for one in heard[:3]} == {("c1", "u1")}


async def test_one_that_fails_disturbs_nobody(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Decided] = []

    async def fails(decided: Decided) -> None:
        raise Conflict("the help desk is away")

    async def listen(decided: Decided) -> None:
        heard.append(decided)

    service.listeners.add(fails)
    service.listeners.add(listen)
    ann = Feedback(service, "ann")
    slate = await ann.draw(ASK)
    with caplog.at_level(logging.ERROR):
        await ann.pick(slate.id, slate.candidates[0].id)
        await told(heard, 1)
    assert "the decision stands" in caplog.text


async def test_what_has_begun_ends_before_the_service(service: Service) -> None:
    ended = []

    async def slow(decided: Decided) -> None:
        await asyncio.sleep(0.1)
        ended.append(decided)

    service.listeners.add(slow)
    ann = Feedback(service, "ann")
    slate = await ann.draw(ASK)
    await ann.pick(slate.id, slate.candidates[0].id)
    await service.close()
    assert len(ended) == 1
