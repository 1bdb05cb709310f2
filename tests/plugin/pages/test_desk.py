"""Answering: by picks through the API, and by hand where there is nothing to pick."""

from __future__ import annotations

from typing import Any

import pytest
from picktune.errors import EngineDown

pytestmark = pytest.mark.anyio


@pytest.fixture
async def desk(site: Any) -> Any:
    await site.sign_in()
    await site.service.add_conversations([site.conversation("one", pending=("And when?",))])
    return site


def own(**changes: Any) -> dict[str, Any]:
    return {"key": "k1", "conversation_id": "one", "text": "It is on its way.", "messages": 2, **changes}


async def said(site: Any, conversation_id: str = "one") -> list[str]:
    answer = (await site.get("/conversation.json", id=conversation_id)).json()
    return [message["content"] for message in answer["messages"] if message["role"] != "system"]


async def test_a_picked_reply_joins_the_conversation_and_the_customer_goes_on(desk: Any) -> None:
    slate = await desk.slate("one")
    first = slate["candidates"][0]
    body = {"key": "k", "slate_id": slate["id"], "verdict": "chosen", "candidate_id": first["id"]}
    assert (await desk.post("/v1/picks", body)).status_code == 200
    assert await said(desk) == ["Where is my order?", first["text"], "And when?"]


async def test_what_the_customer_is_still_to_say_is_never_on_the_page(desk: Any) -> None:
    for path in ("/workbench", "/workbench/one", "/conversation.json?id=one", "/workbench.json?current=one"):
        assert "And when?" not in (await desk.client.get(desk.prefix + path)).text


async def test_no_page_and_no_answer_tells_the_arms_apart(desk: Any) -> None:
    before = (await desk.get("/workbench/one")).text
    slate = await desk.slate("one")
    assert slate.keys() == {"id", "conversation_id", "candidates"}
    assert all(one.keys() == {"id", "text"} for one in slate["candidates"])
    after = (await desk.get("/workbench/one")).text
    assert after == before
    stored = await desk.service.slate(slate["id"])
    for one in stored.candidates:
        assert one.text not in after
        assert one.id not in after
    assert "base-b" not in after
    assert desk.engine.base_model not in after


async def test_a_reply_by_hand_is_sent_when_nothing_can_be_drawn(desk: Any) -> None:
    desk.engine.error = EngineDown("stopped")
    refused = await desk.post("/v1/conversations/one/slate", {})
    assert refused.json()["error"]["code"] == "engine_down"
    answer = await desk.post("/reply", own())
    assert answer.status_code == 200
    assert await said(desk) == ["Where is my order?", "It is on its way.", "And when?"]
    reader = desk.service.log.reader
    assert [one.completion for one in reader.demonstrations()] == ["It is on its way."]
    assert list(reader.choice_sets()) == []
    (decision,) = reader.decisions()
    assert (decision.verdict, decision.complete, decision.arms) == ("none_good", False, ())


async def test_the_same_reply_twice_is_sent_once(desk: Any) -> None:
    first = await desk.post("/reply", own())
    again = await desk.post("/reply", own())
    assert first.json() == again.json()
    assert await said(desk) == ["Where is my order?", "It is on its way.", "And when?"]


async def test_a_reply_by_hand_can_be_taken_back(desk: Any) -> None:
    slate_id = (await desk.post("/reply", own())).json()["slate_id"]
    assert (await desk.post("/v1/undo", {"slate_id": slate_id, "key": "u"})).status_code == 200
    assert await said(desk) == ["Where is my order?"]
    assert len((await desk.slate("one"))["candidates"]) == 4


async def test_a_reply_to_a_conversation_that_has_moved_on_is_refused(desk: Any) -> None:
    await desk.post("/reply", own())
    await desk.sign_in("jonas")
    late = await desk.post("/reply", own(key="k2", text="Too late."))
    assert late.status_code == 409
    assert "Too late." not in await said(desk)


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"text": " \n"}, 422, "text"),
        ({"text": "x" * 20_001}, 422, "text"),
        ({"key": ""}, 422, "key"),
        ({"messages": "two"}, 422, "messages"),
        ({"conversation_id": "none"}, 404, "conversation_id"),
        ({"annotator": "somebody else"}, 422, "annotator"),
    ],
)
async def test_a_bad_reply_is_refused_and_leaves_nothing(
    desk: Any, changes: dict[str, Any], status: int, field: str
) -> None:
    answer = await desk.post("/reply", own(**changes))
    assert answer.status_code == status
    assert answer.json()["error"]["field"] == field
    assert await said(desk) == ["Where is my order?"]
    assert desk.service.log.reader.counts()["slates"] == 0


@pytest.mark.parametrize("path", ["/reply", "/adapters/move"])
async def test_a_post_needs_the_sessions_csrf_token(desk: Any, path: str) -> None:
    await desk.sign_in("mei", "slate", "pick", "read", "admin")
    for token in ("", "guessed", desk.csrf[:-1]):
        answer = await desk.post(path, own(), csrf=token)
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "forbidden"
    assert await said(desk) == ["Where is my order?"]
