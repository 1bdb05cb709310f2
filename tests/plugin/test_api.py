"""The JSON API: blind answers, strict bodies, and one shape for everything that goes wrong."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from picktune.errors import EngineBusy, EngineDown, EngineError
from picktune.mount import mounted
from picktune.records import new_id
from picktune.service import Service, create_service
from picktune.settings import Settings

pytestmark = pytest.mark.anyio

ASK = [{"role": "user", "content": "Where is my order?"}]


def error(answer: httpx.Response, status: int, code: str, field: str | None = None) -> str:
    """Check the one shape of errors and return the message."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "field"}
    assert (body["error"]["code"], body["error"]["field"]) == (code, field)
    assert body["error"]["message"]
    return str(body["error"]["message"])


def decision(slate: dict[str, Any], **more: object) -> dict[str, object]:
    return {
        "key": new_id(),
        "slate_id": slate["id"],
        "verdict": "chosen",
        "candidate_id": slate["candidates"][0]["id"],
        "annotator": "mei",
        **more,
    }


# The way of a turn


async def test_from_a_turn_to_a_decision(api: Any) -> None:
    slate = await api.slate("mei", conversation_id="c", tags=["late"], user_ref="u")
    assert set(slate) == {"id", "conversation_id", "candidates"}
    assert slate["conversation_id"] == "c"
    assert [set(one) for one in slate["candidates"]] == [{"id", "text"}] * 4
    body = decision(slate, reasons=["clear"], comment="kind", dwell_ms=1200, role="expert")
    answer = await api.post("/v1/picks", body)
    assert answer.status_code == 200
    pick = answer.json()
    assert {name: pick[name] for name in body} == body
    assert pick["version"] == 1
    assert "arms" not in pick
    undone = await api.post("/v1/undo", {"key": "u", "slate_id": slate["id"], "annotator": "mei"})
    assert (undone.json()["verdict"], undone.json()["version"]) == ("undone", 2)
    assert (await api.post("/v1/picks", decision(slate, verdict="tie"))).json()["version"] == 3


async def test_the_same_key_changes_nothing(api: Any, service: Service) -> None:
    slate = await api.slate()
    body = decision(slate)
    answers = await asyncio.gather(*(api.post("/v1/picks", body) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert len(await service.picks(str(slate["id"]))) == 1


async def test_every_viewer_has_an_order_of_its_own(api: Any) -> None:
    slate = await api.slate("viewer-0")
    orders = set()
    for number in range(12):
        viewer = f"viewer-{number}"
        shown = (await api.get(f"/v1/slates/{slate['id']}?viewer={viewer}")).json()
        again = (await api.get(f"/v1/slates/{slate['id']}?viewer={viewer}")).json()
        exposure = await api.post(f"/v1/slates/{slate['id']}/exposures", {"viewer": viewer})
        order = [one["id"] for one in shown["candidates"]]
        assert again == shown
        assert exposure.json()["order"] == order
        orders.add(tuple(order))
    assert len(orders) > 3
    assert [one["id"] for one in slate["candidates"]] in [list(order) for order in orders]


async def test_a_reaction(api: Any) -> None:
    slate = await api.slate(None)
    body = {
        "key": "r",
        "candidate_id": slate["candidates"][0]["id"],
        "value": "down",
        "reasons": ["wrong"],
        "annotator": "user-7",
    }
    answer = await api.post("/v1/reactions", body)
    assert answer.status_code == 200
    assert (answer.json()["value"], answer.json()["role"]) == ("down", "user")
    assert (await api.post("/v1/reactions", body)).json() == answer.json()
    error(await api.post("/v1/reactions", {**body, "value": "up"}), 409, "key_reused", "key")


async def test_support(api: Any) -> None:
    slate = await api.slate()
    await api.post("/v1/picks", decision(slate, role="agent"))
    answer = (await api.get("/v1/support")).json()
    assert answer["roles"] == ["user", "agent", "expert", "crowd"]
    assert [(one["model"], one["n"], one["verdict"]) for one in answer["supports"]] == [
        (None, 1, "undecided")
    ]
    assert answer["supports"][0]["clustering"]["conversations"] == 1
    for query, counted in (
        ("role=agent", 1),
        ("role=user", 0),
        ("until=2000-01-01T00:00:00", 0),
        ("tag=x", 0),
    ):
        selected = (await api.get(f"/v1/support?{query}")).json()
        assert [one["n"] for one in selected["supports"]] == [counted]
    assert (await api.get("/v1/support?role=user")).json()["roles"] == ["user"]
    error(await api.get("/v1/support?since=yesterday"), 422, "invalid_input", "since")
    error(await api.get("/v1/support?week=9"), 422, "invalid_input", "week")


async def test_ranking(api: Any) -> None:
    answer = (await api.get("/v1/ranking?tag=refund")).json()
    assert (answer["ranking"]["contestants"], answer["ranking"]["slates"]) == ([], 0)


async def test_support_by_groups(api: Any) -> None:
    for _ in range(2):
        await api.post("/v1/picks", decision(await api.slate(), role="agent"))
        answer = (await api.get("/v1/support/role?days=7")).json()
    assert (answer["by"], answer["model"], answer["days"]) == ("role", None, 7)
    assert [(one["name"], one["n"]) for one in answer["shares"]] == [("agent", 2)]
    assert (await api.get("/v1/support/role?model=nothing")).json()["shares"] == []
    error(await api.get("/v1/support/weather"), 422, "invalid_input", "by")
    error(await api.get("/v1/support/tag?days=0"), 422, "invalid_input", "days")


async def test_conversations(api: Any) -> None:
    new = [{"id": f"c{n}", "title": "An order", "messages": ASK, "pending": ["And now?"]} for n in range(3)]
    answer = await api.post("/v1/conversations", {"conversations": [*new, {"title": "x", "messages": ASK}]})
    assert (answer.status_code, answer.json()["added"]) == (201, 4)
    assert answer.json()["ids"][:3] == ["c0", "c1", "c2"]
    assert (await api.post("/v1/conversations", {"conversations": new})).json()["added"] == 0
    page = (await api.get("/v1/conversations?limit=2&offset=1")).json()
    assert (len(page["conversations"]), page["total"]) == (2, 4)
    assert (await api.get("/v1/conversations?status=closed")).json()["total"] == 0
    assert (await api.get("/v1/conversations?status=all&locale=en")).json()["total"] == 4
    assert (await api.get("/v1/conversations/c1")).json()["messages"] == ASK

    drawn = await api.post("/v1/conversations/c1/slate", {"viewer": "mei"})
    assert drawn.status_code == 200
    assert (await api.post("/v1/conversations/c1/slate", {"viewer": "mei"})).json() == drawn.json()
    picked = await api.post("/v1/picks", decision(drawn.json()))
    assert picked.status_code == 200
    said = (await api.get("/v1/conversations/c1")).json()["messages"]
    assert [one["role"] for one in said] == ["user", "assistant", "user"]


# Who may


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/v1/slates", "slate"),
        ("GET", "/v1/slates/x", "slate"),
        ("POST", "/v1/slates/x/exposures", "pick"),
        ("POST", "/v1/picks", "pick"),
        ("POST", "/v1/undo", "pick"),
        ("POST", "/v1/reactions", "pick"),
        ("GET", "/v1/support", "read"),
        ("GET", "/v1/support/tag", "read"),
        ("GET", "/v1/conversations", "read"),
        ("POST", "/v1/conversations", "slate"),
        ("GET", "/v1/conversations/x", "read"),
        ("POST", "/v1/conversations/x/slate", "slate"),
    ],
)
async def test_every_address_asks_who(api: Any, method: str, path: str, scope: str) -> None:
    nobody = await api.send(method, path, key=None)
    error(nobody, 401, "unauthenticated")
    assert nobody.headers["www-authenticate"].startswith("Bearer")
    error(await api.send(method, path, key="pk_wrong"), 401, "unauthenticated")
    others = api.new_key("others", *({"slate", "pick", "read"} - {scope}))
    message = error(await api.send(method, path, key=others), 403, "forbidden")
    assert repr(scope) in message
    admin = api.new_key("root", "admin")
    assert (await api.send(method, path, key=admin)).status_code not in (401, 403)


async def test_a_server_says_who_decides(api: Any) -> None:
    slate = await api.slate()
    body = decision(slate)
    del body["annotator"]
    error(await api.post("/v1/picks", body), 422, "invalid_input", "annotator")
    error(await api.post(f"/v1/slates/{slate['id']}/exposures", {}), 422, "invalid_input", "viewer")


async def test_a_browser_decides_in_its_own_name_only(api: Any) -> None:
    headers = await api.signed_in("mei")
    drawn = await api.post("/v1/slates", {"messages": ASK}, headers=headers, key=None)
    assert drawn.status_code == 201
    body = decision(drawn.json())
    for field, value in (("annotator", "tom"), ("role", "expert")):
        sent = {**body, field: value}
        error(await api.post("/v1/picks", sent, headers=headers, key=None), 403, "forbidden", field)
    other = f"/v1/slates/{drawn.json()['id']}?viewer=tom"
    error(await api.get(other, headers=headers, key=None), 403, "forbidden", "viewer")
    del body["annotator"]
    picked = (await api.post("/v1/picks", body, headers=headers, key=None)).json()
    assert (picked["annotator"], picked["role"]) == ("mei", "agent")


async def test_a_browser_needs_its_csrf_token(api: Any) -> None:
    headers = await api.signed_in("mei")
    drawn = (await api.post("/v1/slates", {"messages": ASK}, headers=headers, key=None)).json()
    body = decision(drawn)
    for token in ({}, {"X-Picktune-CSRF": ""}, {"X-Picktune-CSRF": "wrong"}):
        sent = {"Cookie": headers["Cookie"], **token}
        error(await api.post("/v1/picks", body, headers=sent, key=None), 403, "forbidden")
    assert (await api.get("/v1/support", headers={"Cookie": headers["Cookie"]}, key=None)).status_code == 200
    assert (await api.post("/v1/picks", body, headers=headers, key=None)).status_code == 200


# What cannot be decided


async def test_an_unknown_slate(api: Any) -> None:
    missing = {"id": "nothing", "candidates": [{"id": "x"}]}
    error(await api.post("/v1/picks", decision(missing)), 404, "slate_not_found", "slate_id")
    error(await api.get("/v1/slates/nothing"), 404, "slate_not_found", "slate_id")
    error(await api.get("/v1/slates/%00%ff"), 404, "slate_not_found", "slate_id")
    error(await api.post("/v1/slates/nothing/exposures", {"viewer": "a"}), 404, "slate_not_found", "slate_id")
    undo = {"key": "k", "slate_id": "nothing", "annotator": "mei"}
    error(await api.post("/v1/undo", undo), 404, "slate_not_found", "slate_id")


async def test_a_foreign_candidate(api: Any, service: Service) -> None:
    mine, other = await api.slate(), await api.slate()
    foreign = other["candidates"][0]["id"]
    answer = await api.post("/v1/picks", decision(mine, candidate_id=foreign))
    error(answer, 404, "candidate_not_found", "candidate_id")
    assert await service.picks(str(mine["id"])) == []
    reaction = {"key": "r", "candidate_id": "nobody", "value": "up", "annotator": "u"}
    error(await api.post("/v1/reactions", reaction), 404, "candidate_not_found", "candidate_id")


async def test_a_second_decision_of_the_same_annotator(api: Any, service: Service) -> None:
    slate = await api.slate()
    assert (await api.post("/v1/picks", decision(slate))).status_code == 200
    message = error(await api.post("/v1/picks", decision(slate)), 409, "already_decided", "slate_id")
    assert "undo" in message
    assert len(await service.picks(str(slate["id"]))) == 1
    assert (await api.post(f"/v1/slates/{slate['id']}/exposures", {"viewer": "tom"})).status_code == 200
    assert (await api.post("/v1/picks", decision(slate, annotator="tom"))).status_code == 200


async def test_a_slate_that_was_never_shown(api: Any, service: Service) -> None:
    slate = await api.slate(None)
    error(await api.post("/v1/picks", decision(slate)), 409, "not_shown", "slate_id")
    await api.get(f"/v1/slates/{slate['id']}?viewer=mei")
    error(await api.post("/v1/picks", decision(slate)), 409, "not_shown", "slate_id")
    assert await service.picks(str(slate["id"])) == []


async def test_a_key_for_something_else(api: Any) -> None:
    slate = await api.slate()
    body = decision(slate, key="k")
    await api.post("/v1/picks", body)
    error(await api.post("/v1/picks", {**body, "verdict": "tie"}), 409, "key_reused", "key")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"candidate_id": None}, "candidate_id"),
        ({"verdict": "none_good"}, "candidate_id"),
        ({"verdict": "skip", "candidate_id": None, "edited_text": "x"}, "edited_text"),
        ({"edited_text": "  "}, "edited_text"),
        ({"verdict": "undone"}, "verdict"),
        ({"verdict": 3}, "verdict"),
        ({"role": "boss"}, "role"),
        ({"dwell_ms": -1}, "dwell_ms"),
        ({"key": ""}, "key"),
        ({"key": "k" * 201}, "key"),
        ({"reasons": ["x"] * 51}, "reasons"),
        ({"reasons": [""]}, "reasons[0]"),
        ({"comment": "x" * 20_001}, "comment"),
        ({"edited_text": "x" * 20_001}, "edited_text"),
        ({"decided_at": "2026-11-24T00:00:00Z"}, "decided_at"),
    ],
)
async def test_a_decision_that_contradicts_itself(
    api: Any, service: Service, more: dict[str, object], field: str
) -> None:
    slate = await api.slate()
    error(await api.post("/v1/picks", decision(slate, **more)), 422, "invalid_input", field)
    assert await service.picks(str(slate["id"])) == []


# What cannot be read


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ASK * 1001}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "boss", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": "x", "name": "y"}]}, "messages[0].name"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "  "}]}, "messages[0].content"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages[0].role"),
        ({"messages": ASK, "temperature": 2}, "temperature"),
        ({"messages": ASK, "policy": "9+9"}, "policy"),
        ({"messages": ASK, "locale": "<b>"}, "locale"),
        ({"messages": ASK, "tags": ["x"] * 51}, "tags"),
        ({"messages": ASK, "viewer": ""}, "viewer"),
        ({"messages": ASK, "conversation_id": "x" * 201}, "conversation_id"),
    ],
)
async def test_a_turn_of_another_shape(api: Any, engine: Any, body: object, field: str) -> None:
    error(await api.post("/v1/slates", body), 422, "invalid_input", field)
    assert engine.calls == 0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"{]",
        b'{"messages": \xff}',
        b"\xff\xfe{\x00",
        b'{"messages": [{"role": "user", "content": "x"}]} {}',
        b"NaN",
        b"\x00",
    ],
)
async def test_no_json(api: Any, content: bytes) -> None:
    error(await api.send("POST", "/v1/slates", content=content), 400, "invalid_json")


async def test_text_that_is_no_utf8(api: Any) -> None:
    content = b'{"messages": [{"role": "user", "content": "caf\xe9"}]}'
    message = error(await api.send("POST", "/v1/slates", content=content), 400, "invalid_json")
    assert "UTF-8" in message
    lone = b'{"messages": [{"role": "user", "content": "\\ud800"}]}'
    error(await api.send("POST", "/v1/slates", content=lone), 400, "invalid_json")


@pytest.mark.parametrize("content", [b"[]", b"null", b'"x"', b"3", b"[" * 100_000])
async def test_json_that_is_no_object(api: Any, content: bytes) -> None:
    error(await api.send("POST", "/v1/slates", content=content), 422, "invalid_input")


async def test_a_message_of_a_megabyte(api: Any, engine: Any) -> None:
    body = {"messages": [{"role": "user", "content": "x" * 1_048_576}]}
    message = error(await api.post("/v1/slates", body), 413, "payload_too_large")
    assert "1,048,576" in message
    assert engine.calls == 0


async def test_a_body_without_an_end_is_cut_off(api: Any) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 65_536

    answer = await api.client.post(
        f"{api.prefix}/v1/slates", content=endless(), headers={"Authorization": f"Bearer {api.key}"}
    )
    error(answer, 413, "payload_too_large")
    assert sent < 200


async def test_a_body_of_just_the_limit_is_read(api: Any, service: Service) -> None:
    empty = json.dumps({"messages": [{"role": "user", "content": ""}]}).encode()
    body = {"messages": [{"role": "user", "content": "x" * (service.settings.body_limit - len(empty))}]}
    content = json.dumps(body).encode()
    assert len(content) == service.settings.body_limit
    assert (await api.send("POST", "/v1/slates", content=content)).status_code == 201
    error(await api.send("POST", "/v1/slates", content=content + b" "), 413, "payload_too_large")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=x", "limit"),
        ("offset=-1", "offset"),
        ("status=lost", "status"),
        ("locale=%3Cb%3E", "locale"),
        ("order=asc", "order"),
    ],
)
async def test_a_query_of_another_shape(api: Any, query: str, field: str) -> None:
    error(await api.get(f"/v1/conversations?{query}"), 422, "invalid_input", field)


async def test_what_is_not_there(api: Any) -> None:
    error(await api.get("/v1/nothing"), 404, "not_found")
    error(await api.get("/v1/conversations/nothing"), 404, "conversation_not_found", "conversation_id")
    wrong = await api.get("/v1/picks")
    error(wrong, 405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"
    page = await api.get("/nothing", headers={"Accept": "text/html"})
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")


# What does not answer


async def test_a_busy_engine_says_when_to_come_back(api: Any, engine: Any) -> None:
    engine.error = EngineBusy("64 requests are waiting", retry_after=2.2)
    answer = await api.post("/v1/slates", {"messages": ASK})
    error(answer, 429, "engine_busy")
    assert answer.headers["retry-after"] == "3"


async def test_an_engine_that_is_down(api: Any, engine: Any) -> None:
    engine.error = EngineDown("nobody answers")
    answer = await api.post("/v1/slates", {"messages": ASK})
    error(answer, 503, "engine_down")
    assert answer.headers["retry-after"] == "5"
    engine.error = EngineError("nonsense came back")
    error(await api.post("/v1/slates", {"messages": ASK}), 502, "engine_error")


async def test_a_bug_is_reported_without_its_details(api: Any, service: Service) -> None:
    def now() -> None:
        raise RuntimeError("the password is hunter2")

    service.now = now  # type: ignore[assignment]
    message = error(await api.post("/v1/slates", {"messages": ASK}), 500, "internal_error")
    assert "hunter2" not in message


async def test_without_a_log_replies_are_shown_and_decisions_refused(tmp_path: Any, engine: Any) -> None:
    # The keys outlive the log's folder here, as they would on a disk that is full.
    home = tmp_path / "home"
    service = create_service(Settings(home=str(home)), engine=engine)
    await service.until_ready(10)
    text, _ = service.auth.keys.create("all", ["slate", "pick", "read"], now=service.now())
    await service.log.close()
    headers = {"Authorization": f"Bearer {text}"}
    transport = httpx.ASGITransport(mounted(service), root_path="/picktune")
    async with httpx.AsyncClient(
        transport=transport, base_url="http://t/picktune", headers=headers
    ) as client:
        drawn = await client.post("/v1/slates", json={"messages": ASK, "viewer": "mei"})
        assert drawn.status_code == 201
        assert drawn.json()["kept"] is False
        assert len(drawn.json()["candidates"]) == 4
        refused = await client.post("/v1/picks", json=decision(drawn.json()))
        error(refused, 503, "log_unavailable")
        assert refused.headers["retry-after"] == "5"
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["log"]["ok"], ready.json()["unkept"]) == (503, False, 2)
        assert (await client.get("/healthz")).json()["ok"] is True
    await service.close()


# Health


async def test_health_needs_no_key_and_tells_no_secret(api: Any, engine: Any) -> None:
    alive = await api.get("/healthz", key=None)
    assert (alive.status_code, set(alive.json())) == (200, {"ok", "version"})
    ready = await api.get("/readyz", key=None)
    assert ready.status_code == 200
    body = ready.json()
    assert [body[part]["ok"] for part in ("engine", "log", "registry")] == [True] * 3
    assert ready.headers["cache-control"] == "no-store"


async def test_readiness_says_what_is_missing(api: Any, engine: Any) -> None:
    engine.down = EngineDown("gone")
    answer = await api.get("/readyz", key=None)
    assert answer.status_code == 503
    assert answer.json()["engine"] == {"ok": False, "reason": "the engine does not answer"}


# Blindness


async def revealing(settings: Settings, engine: Any) -> tuple[Service, httpx.AsyncClient]:
    service = create_service(Settings(home=settings.home, reveal=True), engine=engine)
    await service.until_ready(10)
    text, _ = service.auth.keys.create("all", ["slate", "pick", "read"], now=service.now())
    transport = httpx.ASGITransport(mounted(service), root_path="/picktune")
    headers = {"Authorization": f"Bearer {text}"}
    return service, httpx.AsyncClient(transport=transport, base_url="http://t/picktune", headers=headers)


async def test_arms_are_revealed_after_the_decision_and_only_if_asked_for(
    settings: Settings, engine: Any
) -> None:
    service, client = await revealing(settings, engine)
    slate = (await client.post("/v1/slates", json={"messages": ASK, "viewer": "mei"})).json()
    assert "arms" not in slate
    address = f"/v1/slates/{slate['id']}?viewer=mei"
    skipped = await client.post(
        "/v1/picks", json=decision(slate, verdict="skip", candidate_id=None, annotator="tom")
    )
    error(skipped, 409, "not_shown", "slate_id")
    assert "arms" not in (await client.get(address)).json()
    picked = (await client.post("/v1/picks", json=decision(slate))).json()
    assert {one["arm"] for one in picked["arms"].values()} == {"base", "base-b"}
    assert set(picked["arms"]) == {one["id"] for one in slate["candidates"]}
    assert (await client.get(address)).json()["arms"] == picked["arms"]
    assert "arms" not in (await client.get(f"/v1/slates/{slate['id']}?viewer=tom")).json()
    undo = {"key": "u", "slate_id": slate["id"], "annotator": "mei"}
    error(await client.post("/v1/undo", json=undo), 409, "conflict", "slate_id")
    await client.aclose()
    await service.close()


async def test_skipping_reveals_nothing(settings: Settings, engine: Any) -> None:
    service, client = await revealing(settings, engine)
    slate = (await client.post("/v1/slates", json={"messages": ASK, "viewer": "mei"})).json()
    body = decision(slate, verdict="skip", candidate_id=None)
    assert "arms" not in (await client.post("/v1/picks", json=body)).json()
    await client.aclose()
    await service.close()


async def test_nothing_but_the_texts_tells_the_arms_apart(api: Any, service: Service) -> None:
    """A classifier that gets everything but the texts does no better than chance."""
    rows: list[tuple[list[float], bool]] = []
    for number in range(120):
        answer = await api.post("/v1/slates", {"messages": ASK, "viewer": f"viewer-{number}"})
        slate = answer.json()
        arms = {one.id: one.arm for one in (await service.slate(slate["id"])).candidates}
        ids = [one["id"] for one in slate["candidates"]]
        for place, id in enumerate(ids):
            features = [
                float(place),
                float(ids[place] < ids[place - 1]),
                *(int(digit, 16) / 15 for digit in id),
                float(len(answer.headers)),
                float(len(slate)),
            ]
            rows.append((features, arms[id] == "base-b"))
    random.Random(7).shuffle(rows)
    train, test = rows[:240], rows[240:]
    # Nearest neighbour: whatever pattern there is, near rows share it.
    right = 0
    for features, label in test:
        nearest = min(train, key=lambda row: sum((a - b) ** 2 for a, b in zip(row[0], features, strict=True)))
        right += nearest[1] == label
    # 240 fair coins give more than 147 heads once in five thousand times.
    assert right <= 147
