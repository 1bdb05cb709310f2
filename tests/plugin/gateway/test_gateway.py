"""Slates and arms as chat completions: what is taken, what is answered, what is refused and how."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from picktune.errors import EngineBusy, EngineDown, EngineError
from picktune.middleware import FeedbackMiddleware
from picktune.mount import mounted
from picktune.service import Service, create_service
from picktune.settings import Settings

pytestmark = pytest.mark.anyio

ASK = [{"role": "user", "content": "Where is my order?"}]
CHAT = "/v1/chat/completions"


def body(**more: object) -> dict[str, object]:
    return {"model": "picktune", "messages": ASK, **more}


def refused(answer: httpx.Response, status: int, code: str, param: str | None = None) -> str:
    """Check OpenAI's shape of errors and return the message."""
    assert answer.status_code == status, answer.text
    found = answer.json()
    assert set(found) == {"error"}
    assert set(found["error"]) == {"message", "type", "param", "code"}
    assert (found["error"]["code"], found["error"]["param"]) == (code, param)
    assert found["error"]["type"]
    return str(found["error"]["message"])


# Slates


async def test_a_slate_as_choices(api: Any, service: Service) -> None:
    answer = await api.post(CHAT, body(user="user-7"))
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert set(found) == {
        "id", "object", "created", "model", "choices", "usage", "system_fingerprint", "picktune"
    }  # fmt: skip
    assert (found["object"], found["model"], found["system_fingerprint"]) == (
        "chat.completion",
        "picktune",
        None,
    )
    note = found["picktune"]
    slate = await service.slate(note["slate_id"])
    assert found["id"] == f"chatcmpl-{slate.id}"
    assert (slate.turn.user_ref, slate.policy) == ("user-7", "2+2")
    assert slate.turn.conversation_id == note["conversation_id"]
    texts = {one.id: one.text for one in slate.candidates}
    assert [one["index"] for one in found["choices"]] == [0, 1, 2, 3]
    assert [one["message"] for one in found["choices"]] == [
        {"role": "assistant", "content": texts[id], "refusal": None} for id in note["candidate_ids"]
    ]
    assert {one["finish_reason"] for one in found["choices"]} == {"stop"}
    assert found["usage"] == {"prompt_tokens": 0, "completion_tokens": 20, "total_tokens": 20}
    shown = (await api.get(f"/v1/slates/{slate.id}?viewer=user-7")).json()
    assert [one["id"] for one in shown["candidates"]] == note["candidate_ids"]


async def test_who_is_named_can_decide_and_others_cannot(api: Any) -> None:
    note = (await api.post(CHAT, body(user="user-7"))).json()["picktune"]
    pick = {"key": "k", "slate_id": note["slate_id"], "verdict": "chosen", "annotator": "user-7"}
    pick["candidate_id"] = note["candidate_ids"][2]
    assert (await api.post("/v1/picks", pick)).status_code == 200
    other = await api.post("/v1/picks", {**pick, "key": "o", "annotator": "user-8"})
    assert other.json()["error"]["code"] == "not_shown"
    unseen = (await api.post(CHAT, body())).json()["picktune"]
    exposure = await api.post(f"/v1/slates/{unseen['slate_id']}/exposures", {"viewer": "late"})
    assert sorted(exposure.json()["order"]) == sorted(unseen["candidate_ids"])


async def test_an_agent_may_see_what_a_customer_asked(api: Any, service: Service) -> None:
    ours = {"viewer": "mei", "conversation_id": "c-9", "tags": ["late"], "locale": "zh", "policy": "1+1"}
    note = (await api.post(CHAT, body(user="customer", picktune=ours))).json()["picktune"]
    slate = await service.slate(note["slate_id"])
    turn = slate.turn
    assert (turn.user_ref, turn.conversation_id, turn.tags, turn.locale) == (
        "customer", "c-9", ("late",), "zh"
    )  # fmt: skip
    assert slate.policy == "1+1"
    pick = {"key": "k", "slate_id": slate.id, "verdict": "none_good", "annotator": "mei"}
    assert (await api.post("/v1/picks", pick)).status_code == 200


@pytest.mark.parametrize(
    ("more", "who"),
    [
        ({"user": ""}, None),
        ({"safety_identifier": "s"}, "s"),
        ({"user": "u", "safety_identifier": "s"}, "u"),
    ],
)
async def test_whose_turn_it_is(api: Any, service: Service, more: dict[str, str], who: str | None) -> None:
    note = (await api.post(CHAT, body(**more))).json()["picktune"]
    assert (await service.slate(note["slate_id"])).turn.user_ref == who


@pytest.mark.parametrize(("n", "policy"), [(None, "2+2"), (1, "1"), (2, "1+1"), (4, "2+2")])
async def test_as_many_as_were_asked_for(api: Any, service: Service, n: int | None, policy: str) -> None:
    found = (await api.post(CHAT, body(n=n))).json()
    slate = await service.slate(found["picktune"]["slate_id"])
    assert slate.policy == policy
    assert len(found["choices"]) == (n or 4)


async def test_plain_chat_is_a_policy_of_one(settings: Settings, engine: Any) -> None:
    service = create_service(Settings(home=settings.home, policy="1"), engine=engine)
    await service.until_ready(10)
    key, _ = service.auth.keys.create("chat", ["slate"], now=service.now())
    transport = httpx.ASGITransport(mounted(service), root_path="/picktune")
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://t", headers=headers) as client:
        found = (await client.post("/picktune/v1/chat/completions", json=body())).json()
    assert len(found["choices"]) == 1
    assert (await service.slate(found["picktune"]["slate_id"])).policy == "1"
    await service.close()


async def test_all_turns_of_a_conversation_have_one_id(api: Any) -> None:
    async def conversation(messages: list[dict[str, str]], **more: Any) -> str:
        headers = more.pop("headers", None)
        answer = await api.post(CHAT, body(messages=messages, **more), headers=headers)
        return str(answer.json()["picktune"]["conversation_id"])

    noon, later = ({"role": "system", "content": f"It is {time}."} for time in ("12:00", "12:01"))
    reply = [{"role": "assistant", "content": "Which?"}, {"role": "user", "content": "No. 7"}]
    first = await conversation([noon, *ASK], user="u")
    assert await conversation([later, *ASK, *reply], user="u") == first
    assert await conversation([noon, *ASK], user="v") != first
    assert await conversation([{"role": "user", "content": "Hello"}], user="u") != first
    assert await conversation(ASK, headers={"X-Picktune-Conversation": "mine"}) == "mine"
    both = {"headers": {"X-Picktune-Conversation": "mine"}, "picktune": {"conversation_id": "body"}}
    assert await conversation(ASK, **both) == "body"
    long = await api.post(CHAT, body(), headers={"X-Picktune-Conversation": "x" * 201})
    refused(long, 400, "invalid_input")


async def test_fields_that_change_nothing_are_passed_over(api: Any) -> None:
    more = {
        "store": True,
        "metadata": {"a": "b"},
        "service_tier": "auto",
        "reasoning_effort": "low",
        "prediction": None,
        "tools": [],
        "tool_choice": "auto",
        "response_format": {"type": "text"},
        "frequency_penalty": 0,
        "logit_bias": {},
        "logprobs": False,
        "modalities": ["text"],
        "seed": -(2**63),
        "parallel_tool_calls": True,
        "stream_options": None,
        "no_such_field": [1],
    }
    answer = await api.post(CHAT, body(**more))
    assert answer.status_code == 200, answer.text


async def test_parts_and_developers(api: Any, service: Service) -> None:
    parts = [{"type": "text", "text": "Where is "}, {"type": "text", "text": "it?", "cache": 1}]
    messages = [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": parts, "name": "x"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"role": "tool", "content": "{}", "tool_call_id": "t"},
    ]
    note = (await api.post(CHAT, body(messages=messages))).json()["picktune"]
    said = (await service.slate(note["slate_id"])).turn.messages
    assert [(one.role, one.content) for one in said] == [
        ("system", "Be kind."),
        ("user", "Where is it?"),
        ("assistant", "No."),
        ("tool", "{}"),
    ]


async def test_sampling_reaches_the_engine(api: Any, engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    plain = engine.generate

    async def generate(*args: Any, sampling: Any, **more: Any) -> Any:
        seen.append(sampling)
        return await plain(*args, sampling=sampling, **more)

    monkeypatch.setattr(engine, "generate", generate)
    await api.post(CHAT, body(temperature=1, top_p=0.5, max_tokens=9, max_completion_tokens=7, stop="END"))
    assert {(one.temperature, one.top_p, one.max_tokens, one.stop) for one in seen} == {
        (1.0, 0.5, 7, ("END",))
    }
    seen.clear()
    await api.post(CHAT, body(max_tokens=1_000_000, stop=["a", "b"]))
    assert {(one.temperature, one.max_tokens, one.stop) for one in seen} == {(0.8, 8192, ("a", "b"))}


# Streams


def chunks(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.headers["content-type"].startswith("text/event-stream")
    *events, last, nothing = answer.text.split("\n\n")
    assert (last, nothing) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


async def test_a_stream_tells_what_the_answer_would(api: Any, service: Service) -> None:
    answer = await api.post(CHAT, body(user="u", stream=True, stream_options={"include_usage": True}))
    assert answer.headers["cache-control"] == "no-store"
    found = chunks(answer)
    note = found[0]["picktune"]
    slate = await service.slate(note["slate_id"])
    texts = {one.id: one.text for one in slate.candidates}
    said = dict.fromkeys(range(4), "")
    for chunk in found:
        for choice in chunk["choices"]:
            said[choice["index"]] += choice["delta"].get("content", "")
    assert [said[place] for place in range(4)] == [texts[id] for id in note["candidate_ids"]]
    assert {(chunk["id"], chunk["model"]) for chunk in found} == {(f"chatcmpl-{slate.id}", "picktune")}
    assert [chunk["choices"][0]["finish_reason"] for chunk in found[-5:-1]] == ["stop"] * 4
    assert found[-1]["choices"] == []
    assert found[-1]["usage"]["completion_tokens"] == 20
    assert all(chunk["usage"] is None for chunk in found[:-1])


async def test_without_being_asked_a_stream_tells_no_usage(api: Any) -> None:
    found = chunks(await api.post(CHAT, body(stream=True)))
    assert all("usage" not in chunk for chunk in found)
    assert found[-1]["choices"][0]["finish_reason"] == "stop"


async def test_what_goes_wrong_before_a_stream_has_its_status(api: Any, engine: Any) -> None:
    engine.error = EngineBusy("full", retry_after=2.2)
    answer = await api.post(CHAT, body(stream=True))
    refused(answer, 429, "engine_busy")
    assert answer.headers["retry-after"] == "3"


# Who may, and what is there


def slates(service: Service) -> int:
    with closing(sqlite3.connect(service.settings.log_path)) as log:
        count: int = log.execute("SELECT count(*) FROM slates").fetchone()[0]
    return count


async def test_models(api: Any, telltale: Service) -> None:
    listed = (await api.get("/v1/models")).json()
    assert listed["object"] == "list"
    assert [(one["id"], one["object"]) for one in listed["data"]] == [("picktune", "model")]
    admin = api.new_key("boss", "admin")
    names = [one["id"] for one in (await api.get("/v1/models", key=admin)).json()["data"]]
    assert names == ["picktune", "base", "challenger", "v1"]
    assert (await api.get("/v1/models/picktune")).json()["id"] == "picktune"
    assert (await api.get("/v1/models/v1", key=admin)).json()["id"] == "v1"
    refused(await api.get("/v1/models/v1"), 404, "model_not_found", "model")
    refused(await api.get("/v1/models/base"), 403, "forbidden")
    refused(await api.get("/v1/models/champion", key=admin), 404, "model_not_found", "model")


@pytest.mark.parametrize(("name", "model"), [("base", "base"), ("challenger", "v1"), ("v1", "v1")])
async def test_a_named_arm_speaks_for_itself(api: Any, telltale: Service, name: str, model: str) -> None:
    admin = api.new_key("boss", "admin")
    before = slates(telltale)
    asked = body(model=name, n=3, seed=-5)
    found = (await api.post(CHAT, asked, key=admin)).json()
    assert (found["model"], len(found["choices"])) == (model, 3)
    assert "picktune" not in found
    assert {one["finish_reason"] for one in found["choices"]} == {"length" if model == "v1" else "stop"}
    tokens = 27 if model == "v1" else 15
    assert found["usage"] == {"prompt_tokens": 30, "completion_tokens": tokens, "total_tokens": 30 + tokens}
    again = (await api.post(CHAT, asked, key=admin)).json()
    assert again["choices"] == found["choices"]
    assert (await api.post(CHAT, {**asked, "seed": 6}, key=admin)).json()["choices"] != found["choices"]
    streamed = chunks(await api.post(CHAT, {**asked, "stream": True}, key=admin))
    assert streamed[-1]["choices"][0]["finish_reason"] == found["choices"][0]["finish_reason"]
    assert slates(telltale) == before
    unknown = await api.post(CHAT, asked)
    if name == "v1":
        # Whoever may not ask for an adapter does not learn that it is there either.
        refused(unknown, 404, "model_not_found", "model")
    else:
        assert "admin" in refused(unknown, 403, "forbidden")


async def test_an_agents_session_cannot_ask_who_speaks(api: Any) -> None:
    session = await api.signed_in("mei")
    answer = await api.post(CHAT, body(model="base"), headers=session, key=None)
    refused(answer, 403, "forbidden")
    drawn = await api.post(CHAT, body(), headers=session, key=None)
    assert drawn.status_code == 200
    refused(await api.post(CHAT, body(user="tom"), headers=session, key=None), 403, "forbidden", "viewer")
    del session["X-Picktune-CSRF"]
    refused(await api.post(CHAT, body(), headers=session, key=None), 403, "forbidden")


async def test_keys(api: Any) -> None:
    answer = await api.post(CHAT, body(), key=None)
    refused(answer, 401, "invalid_api_key")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    refused(await api.post(CHAT, body(), key="pk_wrong"), 401, "invalid_api_key")
    refused(await api.post(CHAT, body(), key=api.new_key("reader", "read")), 403, "forbidden")
    refused(await api.get("/v1/models", key=None), 401, "invalid_api_key")


async def test_models_that_are_not_there(api: Any, engine: Any) -> None:
    assert "picktune" in refused(await api.post(CHAT, body(model="gpt-4o")), 404, "model_not_found", "model")
    admin = api.new_key("boss", "admin")
    refused(await api.post(CHAT, body(model="champion"), key=admin), 404, "model_not_found", "model")
    refused(await api.post(CHAT, body(model="../base"), key=admin), 404, "model_not_found", "model")
    assert engine.calls == 0


# What cannot be answered


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": " "}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [*ASK, {"role": "assistant", "content": "Hi"}]}, "messages[1].role"),
        ({"messages": ASK * 1001}, "messages"),
        ({"n": 0}, "n"),
        ({"n": -1}, "n"),
        ({"n": 3}, "n"),
        ({"n": 17}, "n"),
        ({"n": 10**30}, "n"),
        ({"n": 2, "picktune": {"policy": "2+2"}}, "n"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"stop": ""}, "stop"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"seed": 2**63}, "seed"),
        ({"user": "x" * 201}, "user"),
        ({"stream": "yes"}, "stream"),
        ({"picktune": {"vewer": "mei"}}, "picktune.vewer"),
        ({"picktune": {"policy": "9"}}, "policy"),
        ({"model": ""}, "model"),
    ],
)
async def test_requests_of_another_shape(api: Any, engine: Any, more: dict[str, Any], param: str) -> None:
    refused(await api.post(CHAT, body(**more)), 400, "invalid_input", param)
    assert engine.calls == 0


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"logprobs": True}, "logprobs"),
        ({"modalities": ["audio"]}, "modalities"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages[0].content[0].type",
        ),
        (
            {"messages": [*ASK, {"role": "assistant", "content": None, "tool_calls": [{"id": "t"}]}, *ASK]},
            "messages[1].tool_calls",
        ),
    ],
)
@pytest.mark.parametrize("model", ["picktune", "base"])
async def test_what_this_engine_cannot_do_is_refused(
    api: Any, engine: Any, model: str, more: dict[str, Any], param: str
) -> None:
    admin = api.new_key("boss", "admin")
    answer = await api.post(CHAT, body(model=model, **more), key=admin)
    refused(answer, 400, "unsupported_parameter", param)
    assert engine.calls == 0


async def test_without_a_model(api: Any) -> None:
    refused(await api.post(CHAT, {"messages": ASK}), 400, "invalid_input", "model")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\x00", b'{"model": "caf\xe9"}', b'{"model": "\\ud800"}', b"\xff\xfe{\x00"],
)
async def test_no_json(api: Any, content: bytes) -> None:
    refused(await api.send("POST", CHAT, content=content), 400, "invalid_json")


@pytest.mark.parametrize("content", [b"[]", b"null", b"3", b"[" * 100_000])
async def test_json_that_is_no_object(api: Any, content: bytes) -> None:
    refused(await api.send("POST", CHAT, content=content), 400, "invalid_input")


async def test_a_message_of_a_megabyte(api: Any, engine: Any) -> None:
    huge = body(messages=[{"role": "user", "content": "x" * 1_048_576}])
    refused(await api.post(CHAT, huge), 413, "payload_too_large")
    assert engine.calls == 0


# What does not answer


async def test_an_engine_that_does_not_answer(api: Any, engine: Any) -> None:
    admin = api.new_key("boss", "admin")
    for model in ("picktune", "base"):
        engine.error = EngineDown("nobody answers")
        answer = await api.post(CHAT, body(model=model), key=admin)
        refused(answer, 503, "engine_down")
        assert answer.headers["retry-after"] == "5"
        engine.error = EngineBusy("64 are waiting", retry_after=1.2)
        answer = await api.post(CHAT, body(model=model), key=admin)
        refused(answer, 429, "engine_busy")
        assert answer.headers["retry-after"] == "2"
        engine.error = EngineError("nonsense came back")
        refused(await api.post(CHAT, body(model=model), key=admin), 502, "engine_error")


async def test_an_arm_that_is_late(settings: Settings, engine: Any) -> None:
    service = create_service(Settings(home=settings.home, timeout=0.05), engine=engine)
    await service.until_ready(10)
    engine.gate = asyncio.Event()
    key, _ = service.auth.keys.create("boss", ["admin"], now=service.now())
    transport = httpx.ASGITransport(mounted(service), root_path="/picktune")
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://t", headers=headers) as client:
        for model in ("picktune", "base"):
            answer = await client.post("/picktune/v1/chat/completions", json=body(model=model))
            assert "0.05 s" in refused(answer, 502, "engine_error")
    await service.close()


async def test_an_engine_that_still_starts(settings: Settings, engine: Any) -> None:
    engine.down = EngineDown("no such model")
    service = create_service(settings, engine=engine)
    key, _ = service.auth.keys.create("boss", ["admin"], now=service.now())
    transport = httpx.ASGITransport(mounted(service), root_path="/picktune")
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://t", headers=headers) as client:
        for model in ("picktune", "base"):
            answer = await client.post("/picktune/v1/chat/completions", json=body(model=model))
            assert "starting" in refused(answer, 503, "engine_down")
    await service.close()


async def test_a_bug_is_reported_without_its_details(
    api: Any, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    def now() -> None:
        raise RuntimeError("the password is hunter2")

    service.now = now  # type: ignore[assignment]
    assert "hunter2" not in refused(await api.post(CHAT, body()), 500, "internal_error")
    assert "hunter2" in caplog.text


async def test_without_a_log_the_chat_goes_on(api: Any, service: Service) -> None:
    await service.log.close()
    found = (await api.post(CHAT, body(user="u"))).json()
    assert len(found["choices"]) == 4
    assert found["picktune"]["kept"] is False


# Within other applications


async def test_under_the_middleware_of_a_host(settings: Settings, engine: Any) -> None:
    service = create_service(settings, engine=engine)
    app = FastAPI()
    app.add_middleware(FeedbackMiddleware, service=service)

    @app.middleware("http")
    async def stamp(request: Request, call_next: Any) -> Any:
        answer = await call_next(request)
        answer.headers["X-Host"] = "shop"
        return answer

    await service.until_ready(10)
    key, _ = service.auth.keys.create("chat", ["slate"], now=service.now())
    headers = {"Authorization": f"Bearer {key}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://t", headers=headers) as client:
        for stream in (False, True):
            answer = await client.post(f"/picktune{CHAT}", json=body(stream=stream))
            assert (answer.status_code, answer.headers["x-host"]) == (200, "shop")
        assert len(chunks(answer)) > 8
    await service.close()


# Who goes away


class Gate(asyncio.Event):
    """Holds the engine up and counts the draws that were called off."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = self.cancelled = 0
        self.both = asyncio.Event()

    async def wait(self) -> Any:
        self.waiting += 1
        if self.waiting == 2:
            self.both.set()
        try:
            return await super().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def test_the_draw_of_a_client_that_went_away_is_called_off(
    api: Any, service: Service, engine: Any
) -> None:
    gate = engine.gate = Gate()
    left = asyncio.Event()
    sent: list[Any] = []
    messages: AsyncIterator[Any] = _request(json.dumps(body()).encode(), left)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/picktune" + CHAT,
        "root_path": "/picktune",
        "raw_path": b"",
        "query_string": b"",
        "scheme": "http",
        "headers": [(b"authorization", f"Bearer {api.key}".encode())],
    }
    asking = asyncio.create_task(mounted(service)(scope, lambda: anext(messages), send))
    await asyncio.wait_for(gate.both.wait(), 5)
    left.set()
    await asyncio.wait_for(asking, 5)
    assert gate.cancelled == 2
    assert sent[0]["status"] == 499


async def _request(content: bytes, left: asyncio.Event) -> AsyncIterator[dict[str, Any]]:
    yield {"type": "http.request", "body": content, "more_body": False}
    await left.wait()
    while True:
        yield {"type": "http.disconnect"}
