"""A viewer token lets one browser see and decide the slates of one conversation, for a while, and no more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from picktune.errors import InvalidInput
from picktune.feedback import Feedback
from picktune.records import Conversation, Message
from picktune.service import Service

pytestmark = pytest.mark.anyio

DWELT = {"key": "s1", "detail": {"kind": "dwell", "ms": 900, "ended": "left"}}
ASK = [{"role": "user", "content": "Where is my order?"}]


async def issue(api: Any, viewer: str = "ann", conversation: str = "c1", **more: Any) -> str:
    answer = await api.post("/v1/viewer-tokens", {"viewer": viewer, "conversation_id": conversation, **more})
    assert answer.status_code == 201
    assert datetime.fromisoformat(answer.json()["until"]) > datetime(2026, 11, 24, 9, tzinfo=UTC)
    token: str = answer.json()["token"]
    assert token.startswith("pv_")
    return token


async def drawn(api: Any, viewer: str = "ann", conversation: str = "c1") -> Any:
    body = {"messages": ASK, "viewer": viewer, "conversation_id": conversation}
    return (await api.post("/v1/slates", body)).json()


async def test_its_holder_sees_decides_and_takes_back(api: Any, service: Service) -> None:
    token, slate = await issue(api), await drawn(api)
    seen = await api.get(f"/v1/slates/{slate['id']}", key=token)
    assert seen.json()["candidates"] == slate["candidates"]
    shown = await api.post(f"/v1/slates/{slate['id']}/exposures", {}, key=token)
    assert shown.json()["viewer"] == "ann"
    first = slate["candidates"][0]["id"]
    pick = {"key": "k1", "slate_id": slate["id"], "verdict": "chosen", "candidate_id": first}
    picked = await api.post("/v1/picks", pick, key=token)
    assert (picked.status_code, picked.json()["annotator"], picked.json()["role"]) == (200, "ann", "user")
    undone = await api.post("/v1/undo", {"key": "k2", "slate_id": slate["id"]}, key=token)
    assert undone.status_code == 200
    up = await api.post("/v1/reactions", {"key": "k3", "candidate_id": first, "value": "up"}, key=token)
    assert (up.status_code, up.json()["annotator"]) == (200, "ann")
    noted = await api.post("/v1/signals", {"slate_id": slate["id"], "signals": [DWELT]}, key=token)
    assert noted.status_code == 200
    again = await api.post(f"/v1/slates/{slate['id']}/regenerate", {"key": "k4"}, key=token)
    assert again.status_code == 200
    assert again.json()["conversation_id"] == "c1"
    assert len(await service.picks(slate["id"], "ann")) == 2


async def test_it_draws_for_its_own_stored_conversation(api: Any, service: Service) -> None:
    now = service.now()
    for id in ("c1", "c2"):
        messages = (Message(role="user", content="Where is it?"),)
        await service.add_conversations(
            [Conversation(id=id, title="", messages=messages, created_at=now, updated_at=now)]
        )
    token = await issue(api)
    assert (await api.post("/v1/conversations/c1/slate", {}, key=token)).status_code == 200
    assert (await api.post("/v1/conversations/c2/slate", {}, key=token)).status_code == 403


async def test_nothing_of_another_conversation(api: Any) -> None:
    token, other = await issue(api), await drawn(api, "bob", "c2")
    reply = other["candidates"][0]["id"]
    asked = [
        ("GET", f"/v1/slates/{other['id']}", None),
        ("POST", f"/v1/slates/{other['id']}/exposures", {}),
        ("POST", f"/v1/slates/{other['id']}/regenerate", {"key": "k"}),
        ("POST", "/v1/picks", {"key": "k", "slate_id": other["id"], "verdict": "skip"}),
        ("POST", "/v1/undo", {"key": "k", "slate_id": other["id"]}),
        ("POST", "/v1/reactions", {"key": "k", "candidate_id": reply, "value": "up"}),
        ("POST", "/v1/signals", {"slate_id": other["id"], "signals": [DWELT]}),
    ]
    for method, path, body in asked:
        answer = await api.send(method, path, body, key=token)
        assert (path, answer.status_code, answer.json()["error"]["code"]) == (path, 403, "forbidden")
        # What is not there at all looks the same, but for its id.
        missing = await api.send(
            method,
            path.replace(other["id"], "0" * 32),
            body and {**body, **{key: "0" * 32 for key in ("slate_id", "candidate_id") if key in body}},
            key=token,
        )
        assert missing.content == answer.content


async def test_in_nobody_elses_name(api: Any) -> None:
    token, slate = await issue(api), await drawn(api)
    other = {"key": "k", "slate_id": slate["id"], "verdict": "skip", "annotator": "bob"}
    assert (await api.post("/v1/picks", other, key=token)).status_code == 403
    expert = {"key": "k", "slate_id": slate["id"], "verdict": "skip", "role": "expert"}
    assert (await api.post("/v1/picks", expert, key=token)).status_code == 403
    # The same conversation, but not shown to this one.
    token = await issue(api, "bob")
    unseen = {"key": "k", "slate_id": slate["id"], "verdict": "skip"}
    answer = await api.post("/v1/picks", unseen, key=token)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_shown")


async def test_it_opens_no_other_door(api: Any) -> None:
    token = await issue(api)
    closed = [
        ("POST", "/v1/slates", {"messages": ASK, "conversation_id": "c1"}),
        ("GET", "/v1/conversations", None),
        ("GET", "/v1/conversations/c1", None),
        ("GET", "/v1/support", None),
        ("GET", "/v1/models", None),
        ("POST", "/v1/chat/completions", {"model": "picktune", "messages": ASK}),
        ("POST", "/v1/viewer-tokens", {"viewer": "ann", "conversation_id": "c2"}),
        ("GET", "/metrics", None),
        ("GET", "/workbench", None),
        ("GET", "/session.json", None),
    ]
    for method, path, body in closed:
        assert (path, (await api.send(method, path, body, key=token)).status_code) == (path, 403)


async def test_it_ends_and_cannot_be_forged(api: Any, clock: Any) -> None:
    token, slate = await issue(api, minutes=1), await drawn(api)
    path = f"/v1/slates/{slate['id']}"
    for bad in (token[:-2], token + "x", "pv_", token.replace("pv_", "pk_"), "pv_" + "é" * 8):
        assert (
            await api.send("GET", path, headers={"Authorization": f"Bearer {bad}".encode()}, key=None)
        ).status_code == 401
    assert (await api.get(path, key=token)).status_code == 200
    clock.now += timedelta(minutes=1)
    ended = await api.get(path, key=token)
    assert (ended.status_code, "ask your server" in ended.text) == (401, True)


async def test_who_may_ask_for_one(api: Any, service: Service) -> None:
    body = {"viewer": "ann", "conversation_id": "c1"}
    key = api.new_key("reader", "read")
    assert (await api.post("/v1/viewer-tokens", body, key=key)).status_code == 403
    for wrong in (
        {"viewer": ""},
        {"viewer": "a\n"},
        {"conversation_id": ""},
        {"minutes": 0},
        {"minutes": 721},
    ):
        answer = await api.post("/v1/viewer-tokens", {**body, **wrong})
        assert (wrong, answer.status_code) == (wrong, 422)
    with pytest.raises(InvalidInput):
        Feedback(service).token("c1")
    assert Feedback(service, "ann").token("c1").startswith("pv_")
