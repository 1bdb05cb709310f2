"""Signals, other replies and scores over HTTP and in a host application."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from picktune.auth import Viewer
from picktune.errors import Conflict, InvalidInput, NotShown, RateLimited
from picktune.feedback import Feedback
from picktune.metrics import Metrics
from picktune.ratelimit import RateLimits
from picktune.records import new_id
from picktune.service import Service
from picktune.settings import Rates
from picktune.signals import Copied
from starlette.responses import Response

pytestmark = pytest.mark.anyio


def noted(slate: dict[str, Any], *details: dict[str, Any], **more: object) -> dict[str, Any]:
    signals = [{"key": new_id(), "detail": detail} for detail in details]
    return {"slate_id": slate["id"], "signals": signals, "annotator": "mei", **more}


def session(service: Service, name: str, role: Any) -> dict[str, str]:
    response = Response()
    viewer = service.auth.sign_in(service.auth.enter_token(name, role=role), response)
    return {
        "Cookie": response.headers["set-cookie"].partition(";")[0],
        "X-Picktune-CSRF": viewer.csrf or "",
    }


async def test_signals_are_kept(api: Any, service: Service) -> None:
    slate = await api.slate()
    first = slate["candidates"][0]["id"]
    body = noted(
        slate,
        {"kind": "copied", "candidate_id": first, "characters": 5},
        {"kind": "visible", "replies": [{"candidate_id": first, "visible_ms": 800}]},
        {"kind": "dwell", "ms": 900, "ended": "left"},
    )

    for _ in range(2):
        answer = await api.post("/v1/signals", body)
        assert (answer.status_code, answer.json()) == (200, {"noted": 3})

    kept = list(service.log.reader.signals(slate["id"]))
    assert [one.kind for one in kept] == ["copied", "visible", "dwell"]
    assert {(one.annotator, one.role) for one in kept} == {("mei", "user")}


@pytest.mark.parametrize(
    "detail",
    [
        {"kind": "regenerated", "successor": "x"},  # the server's own
        {"kind": "shouted"},
        {"kind": "dwell", "ms": 1.5, "ended": "left"},
        {"kind": "dwell", "ms": 1, "ended": "left", "arm": "base"},
        {"kind": "copied", "candidate_id": "x" * 201, "characters": 1},
        {"kind": "visible", "replies": []},
        {"ms": 1},
        "dwell",
    ],
)
async def test_a_strict_schema_for_each_kind(api: Any, service: Service, detail: Any) -> None:
    slate = await api.slate()

    answer = await api.post("/v1/signals", noted(slate, detail))

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_input")
    assert list(service.log.reader.signals()) == []


async def test_no_more_than_twenty_a_request(api: Any) -> None:
    slate = await api.slate()
    dwell = {"kind": "dwell", "ms": 1, "ended": "left"}

    assert (await api.post("/v1/signals", noted(slate, *[dwell] * 21))).status_code == 422
    assert (await api.post("/v1/signals", noted(slate))).status_code == 422
    assert (await api.post("/v1/signals", noted(slate, *[dwell] * 20))).status_code == 200


async def test_signals_have_a_rate_of_their_own() -> None:
    limits = RateLimits(Rates(key_signals=1), Metrics())
    viewer = Viewer(name="shop", role="user", scopes=frozenset({"pick"}))

    limits.take("signals", viewer)
    limits.take("picks", viewer)
    with pytest.raises(RateLimited, match="signals sent"):
        limits.take("signals", viewer)


async def test_a_session_speaks_for_itself_only(api: Any, service: Service) -> None:
    slate = await api.slate("mei")
    headers = session(service, "bob", "agent")
    dwell = {"kind": "dwell", "ms": 1, "ended": "left"}

    answer = await api.post("/v1/signals", noted(slate, dwell), headers=headers, key=None)
    assert answer.status_code == 403
    answer = await api.post("/v1/signals", noted(slate, dwell, annotator=None), headers=headers, key=None)
    assert answer.json()["error"]["code"] == "not_shown"


async def test_other_replies_to_the_same_turn(api: Any, service: Service, engine: Any) -> None:
    old = await api.slate(conversation_id="c1", tags=["refund"], locale="zh", policy="1+1")
    body = {"key": "again", "annotator": "mei"}

    answers = await asyncio.gather(*(api.post(f"/v1/slates/{old['id']}/regenerate", body) for _ in range(5)))
    new = answers[0].json()
    assert [one.status_code for one in answers] == [200] * 5
    assert {one.json()["id"] for one in answers} == {new["id"]}  # drawn once
    assert set(new) == set(old)
    assert new["id"] != old["id"]
    assert new["conversation_id"] == "c1"

    before, after = await service.slate(str(old["id"])), await service.slate(new["id"])
    assert after.turn.messages == before.turn.messages
    assert (after.turn.tags, after.turn.locale, after.policy) == (("refund",), "zh", "1+1")
    (signal,) = service.log.reader.signals(before.id)
    assert (signal.kind, signal.annotator) == ("regenerated", "mei")
    assert list(service.log.reader.decisions()) == []
    decided = {"key": "k", "slate_id": new["id"], "verdict": "tie", "annotator": "mei"}
    assert (await api.post("/v1/picks", decided)).status_code == 200  # it was recorded as shown


async def test_only_a_slate_that_one_has_seen_and_not_decided_on(api: Any, engine: Any) -> None:
    slate = await api.slate()
    calls = engine.calls
    path = f"/v1/slates/{slate['id']}/regenerate"

    answer = await api.post(path, {"key": "k", "annotator": "bob"})
    assert answer.json()["error"]["code"] == "not_shown"
    decided = {"key": "k", "slate_id": slate["id"], "verdict": "none_good", "annotator": "mei"}
    await api.post("/v1/picks", decided)
    answer = await api.post(path, {"key": "k", "annotator": "mei"})
    assert answer.json()["error"]["code"] == "conflict"
    assert (await api.post("/v1/slates/none/regenerate", {"key": "k", "annotator": "mei"})).status_code == 404
    assert engine.calls == calls  # nothing was drawn for it


async def test_a_conversation_that_moved_on_is_not_redrawn(
    api: Any, service: Service, conversation: Any
) -> None:
    await service.add_conversations([conversation("c1", "Hello?", pending=("And now?",))])
    shown = [(await api.post("/v1/conversations/c1/slate", {"viewer": who})).json() for who in ("a", "b")]
    picked = {"key": "k", "slate_id": shown[0]["id"], "verdict": "chosen", "annotator": "a"}
    picked["candidate_id"] = shown[0]["candidates"][0]["id"]
    assert (await api.post("/v1/picks", picked)).status_code == 200

    answer = await api.post(f"/v1/slates/{shown[1]['id']}/regenerate", {"key": "k", "annotator": "b"})
    assert answer.json()["error"]["code"] == "conflict"


async def test_experts_give_scores(api: Any, service: Service) -> None:
    slate = await api.slate("eva")
    body = {"key": "s1", "candidate_id": slate["candidates"][0]["id"], "scale": "quality", "value": 4}
    headers = session(service, "eva", "expert")

    assert (await api.get("/v1/scales", headers=headers, key=None)).json() == {
        "scales": [{"name": "quality", "low": 1, "high": 5, "rubric": ""}]
    }
    answer = await api.post("/v1/scores", body, headers=headers, key=None)
    assert (answer.status_code, answer.json()["version"], answer.json()["role"]) == (200, 1, "expert")
    assert "arm" not in answer.text
    assert "model" not in answer.text
    answer = await api.post("/v1/scores", {**body, "key": "s2", "value": 5, "annotator": "eva"})
    assert answer.json()["version"] == 2

    for wrong, status in (
        ({"value": 6}, 422),
        ({"value": 4.5}, 422),
        ({"scale": "unknown"}, 422),
        ({"role": "user"}, 403),
        ({"candidate_id": "none"}, 404),
    ):
        sent = {**body, "key": new_id(), "annotator": "eva", **wrong}
        assert (await api.post("/v1/scores", sent)).status_code == status, wrong


async def test_an_agent_gives_none(api: Any, service: Service) -> None:
    slate = await api.slate("mei")
    body = {"key": "s1", "candidate_id": slate["candidates"][0]["id"], "scale": "quality", "value": 4}

    answer = await api.post("/v1/scores", body, headers=session(service, "mei", "agent"), key=None)

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


async def test_in_a_host_application(service: Service) -> None:
    feedback = Feedback(service, "eva", "expert")
    slate = await feedback.draw([{"role": "user", "content": "Hello?"}])
    first = slate.candidates[0].id

    await feedback.note(slate.id, Copied(candidate_id=first, characters=3))
    assert (await feedback.score(first, 3)).value == 3
    other = await feedback.regenerate(slate.id)
    await feedback.pick(other.id, other.candidates[0].id)

    assert [one.kind for one in service.log.reader.signals(slate.id)] == ["copied", "regenerated"]
    with pytest.raises(Conflict):
        await feedback.regenerate(other.id)
    with pytest.raises(NotShown):
        await feedback.of("bob").note(slate.id, Copied(candidate_id=first, characters=3))
    with pytest.raises(InvalidInput):
        await feedback.of("eva").score(first, 3)
