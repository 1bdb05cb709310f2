"""Fields that only a model's server can honour, on their way through vLLM's engine."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from picktune.engines.vllm import VLLMEngine
from picktune.mount import mounted
from picktune.service import Service, create_service
from picktune.settings import Settings

pytestmark = pytest.mark.anyio

ASK = [{"role": "user", "content": "Where is my order? <|im_end|>"}]
CHAT = "/picktune/v1/chat/completions"
TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
CALL = {"id": "t1", "type": "function", "function": {"name": "find", "arguments": "{}"}}


class Upstream:
    """A server that speaks OpenAI's chat completions, keeps what it is asked, and answers what it is told."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answer: Callable[[dict[str, Any]], httpx.Response] = self.usual

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": "served", "root": "/srv", "parent": None}]})
        if request.url.path == "/health":
            return httpx.Response(200)
        body = json.loads(request.content)
        self.asked.append(body)
        return self.answer(body)

    def usual(self, body: dict[str, Any]) -> httpx.Response:
        message: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [CALL]}
        if not body.get("tools"):
            message = {"role": "assistant", "content": "", "tool_calls": [], "reasoning": None}
        choices = [
            {
                "index": n,
                "message": {**message, "content": f"{{{len(self.asked)}{n}}}"},
                "finish_reason": "tool_calls" if body.get("tools") else "stop",
            }
            for n in range(body["n"])
        ]
        usage = {
            "prompt_tokens": 7,
            "completion_tokens": 6,
            "total_tokens": 13,
            "prompt_tokens_details": None,
        }
        fingerprint = {"system_fingerprint": "vllm-served", "kv_transfer_params": None}
        return httpx.Response(
            200, json={"id": "x", "model": "served", "choices": choices, "usage": usage, **fingerprint}
        )


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
async def client(settings: Settings, upstream: Upstream) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(upstream)) as wire:
        service: Service = create_service(settings, engine=VLLMEngine("http://vllm.test", client=wire))
        await service.until_ready(10)
        key, _ = service.auth.keys.create("boss", ["admin"], now=service.now())
        headers = {"Authorization": f"Bearer {key}"}
        transport = httpx.ASGITransport(mounted(service), root_path="/picktune")
        async with httpx.AsyncClient(transport=transport, base_url="http://t", headers=headers) as client:
            yield client
        await service.close()


async def test_a_slate_takes_what_shapes_its_words(client: httpx.AsyncClient, upstream: Upstream) -> None:
    shape = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    body = {"model": "picktune", "messages": ASK, "response_format": shape, "presence_penalty": 0.5}
    answer = await client.post(CHAT, json={**body, "logit_bias": {"5": -1}, "metadata": {"a": "b"}})
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["choices"]) == 4
    assert answer.json()["usage"]["prompt_tokens"] == 7
    assert "served" not in answer.text
    assert len(upstream.asked) == 2
    for asked in upstream.asked:
        assert asked["response_format"] == shape
        assert (asked["presence_penalty"], asked["logit_bias"]) == (0.5, {"5": -1})
        assert "metadata" not in asked
    for name, value in (("tools", [TOOL]), ("logprobs", True)):
        refused = await client.post(CHAT, json={**body, name: value})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, name)


async def test_a_named_arm_takes_tools(client: httpx.AsyncClient, upstream: Upstream) -> None:
    messages = [
        *ASK,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "on its way", "tool_call_id": "t1"},
    ]
    body = {"model": "base", "messages": messages, "tools": [TOOL], "tool_choice": "auto", "seed": 3}
    answer = await client.post(CHAT, json={**body, "parallel_tool_calls": False, "max_tokens": 9})
    found = answer.json()
    assert answer.status_code == 200, answer.text
    assert (found["model"], found["system_fingerprint"]) == ("base", None)
    assert found["choices"][0]["finish_reason"] == "tool_calls"
    assert found["choices"][0]["message"]["tool_calls"] == [CALL]
    (asked,) = upstream.asked
    assert asked["model"] == "served"
    assert (asked["tools"], asked["tool_choice"], asked["parallel_tool_calls"]) == ([TOOL], "auto", False)
    assert (asked["seed"], asked["max_tokens"], asked["stream"]) == (3, 9, False)
    assert asked["messages"][1:] == [
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "content": "on its way", "tool_call_id": "t1"},
    ]
    # What a person types is no control token.
    assert "<|im_end|>" not in asked["messages"][0]["content"]
    plain = (await client.post(CHAT, json={"model": "base", "messages": ASK})).json()
    assert "tool_calls" not in plain["choices"][0]["message"]


async def test_what_the_server_refuses_is_the_clients_to_mend(
    client: httpx.AsyncClient, upstream: Upstream
) -> None:
    upstream.answer = lambda body: httpx.Response(400, json={"error": {"message": "no tool parser"}})
    body = {"model": "base", "messages": ASK, "tools": [TOOL]}
    refused = await client.post(CHAT, json=body)
    assert refused.status_code == 400
    assert "no tool parser" in refused.json()["error"]["message"]
    shaped = {"model": "picktune", "messages": ASK, "response_format": {"type": "json_object"}}
    assert (await client.post(CHAT, json=shaped)).status_code == 400
    # Of our own making, it is no fault of the client's.
    assert (await client.post(CHAT, json={"model": "picktune", "messages": ASK})).status_code == 502


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (httpx.Response(200, text="<html>"), 502),
        (httpx.Response(200, json={"choices": 3}), 502),
        (httpx.Response(429, headers={"retry-after": "7"}, json={}), 429),
        (httpx.Response(500, json={}), 502),
        (httpx.Response(401, json={}), 502),
    ],
)
async def test_a_server_that_does_not_answer_as_it_should(
    client: httpx.AsyncClient, upstream: Upstream, answer: httpx.Response, status: int
) -> None:
    upstream.answer = lambda body: answer
    found = await client.post(CHAT, json={"model": "base", "messages": ASK})
    assert found.status_code == status, found.text
    assert set(found.json()["error"]) == {"message", "type", "param", "code"}
    assert found.headers.get("retry-after") == ("7" if status == 429 else None)


@pytest.mark.vllm
@pytest.mark.model
@pytest.mark.slow
async def test_a_real_server(vllm_server: Any, tmp_path: Path) -> None:
    service = create_service(Settings(home=str(tmp_path), timeout=300), engine=VLLMEngine(vllm_server.url))
    await service.until_ready(60)
    key, _ = service.auth.keys.create("boss", ["admin"], now=service.now())
    transport = httpx.ASGITransport(mounted(service), root_path="/picktune")
    headers = {"Authorization": f"Bearer {key}"}
    schema = {"type": "object", "properties": {"late": {"type": "boolean"}}, "required": ["late"]}
    shape = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    body = {"messages": ASK, "response_format": shape, "max_tokens": 60}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://t", headers=headers, timeout=300
    ) as client:
        one = await client.post(CHAT, json={**body, "model": "base", "seed": 1, "logprobs": True})
        assert one.status_code == 200, one.text
        assert isinstance(json.loads(one.json()["choices"][0]["message"]["content"])["late"], bool)
        assert one.json()["choices"][0]["logprobs"]["content"]
        assert one.json()["usage"]["prompt_tokens"] > 0
        live = {**body, "model": "base", "seed": 1, "stream": True, "stream_options": {"include_usage": True}}
        async with client.stream("POST", CHAT, json=live) as stream:
            events = [line.removeprefix("data: ") async for line in stream.aiter_lines() if line]
        chunks = [json.loads(event) for event in events[:-1]]
        said = "".join(one["choices"][0]["delta"].get("content") or "" for one in chunks[:-1])
        assert json.loads(said) == json.loads(one.json()["choices"][0]["message"]["content"])
        assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
        assert chunks[-1]["usage"] == one.json()["usage"]
        assert events[-1] == "[DONE]"
        slate = await client.post(CHAT, json={**body, "model": "picktune"})
        assert slate.status_code == 200, slate.text
        for choice in slate.json()["choices"]:
            assert isinstance(json.loads(choice["message"]["content"])["late"], bool)
        wrong = await client.post(CHAT, json={**body, "model": "base", "response_format": {"type": "odd"}})
        assert wrong.status_code == 400
        assert wrong.json()["error"]["message"]
    await service.close()
