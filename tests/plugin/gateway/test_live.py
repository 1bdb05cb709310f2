"""A named arm's tokens as they come: from a server through ours to a client, over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from openai import APIError, AsyncOpenAI
from picktune.engines.limits import VLLMLimits
from picktune.engines.vllm import VLLMEngine
from picktune.service import Service, create_service
from picktune.settings import Settings
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

pytestmark = pytest.mark.anyio

ASK = [{"role": "user", "content": "Where is my order?"}]
HOLD = object()


class Upstream:
    """A server that streams what it is told: texts, ``HOLD`` to fall silent, or bytes as they are."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.says: list[Any] = ["One", " two", " three"]
        self.status = 200
        self.late = 0.0
        self.pause = 0.0
        self.running = 0
        self.gone = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        await (await self.respond(request))(scope, receive, send)

    async def respond(self, request: Request) -> Response:
        if request.url.path == "/v1/models":
            return JSONResponse({"data": [{"id": "served", "root": "/srv", "parent": None}]})
        if request.url.path == "/health":
            return Response()
        body = await request.json()
        self.asked.append(body)
        if self.status != 200:
            return JSONResponse({"error": {"message": "told to"}}, self.status)
        return StreamingResponse(self.stream(body), media_type="text/event-stream")

    async def stream(self, body: dict[str, Any]) -> AsyncIterator[bytes]:
        self.running += 1
        done = False
        try:
            await asyncio.sleep(self.late)
            for number, one in enumerate(self.says):
                if one is HOLD:
                    await asyncio.sleep(60)
                if isinstance(one, bytes):
                    yield one
                    continue
                if number:
                    await asyncio.sleep(self.pause)
                delta = one if isinstance(one, dict) else {"content": one}
                for index in range(body["n"]):
                    yield self.chunk([{"index": index, "delta": delta, "stop_reason": None}])
            for index in range(body["n"]):
                yield self.chunk([{"index": index, "delta": {}, "finish_reason": "length"}])
            if body.get("stream_options"):
                usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
                yield self.chunk([], usage=usage)
            yield b"data: [DONE]\n\n"
            done = True
        finally:
            self.running -= 1
            self.gone += not done

    def chunk(self, choices: list[Any], **more: Any) -> bytes:
        about = {"id": "vllm-7", "object": "chat.completion.chunk", "created": 1, "model": "served"}
        return f"data: {json.dumps({**about, 'choices': choices, **more})}\n\n".encode()


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


# For what must not run into a limit, however busy the machine is.
PATIENT = pytest.mark.parametrize("arm", [{"first": 30.0, "between": 30.0}], indirect=True)


@pytest.fixture
async def arm(
    request: pytest.FixtureRequest, listen: Any, serve: Any, upstream: Upstream, settings: Settings
) -> AsyncIterator[tuple[AsyncOpenAI, VLLMEngine]]:
    limits = VLLMLimits(**{"first": 0.6, "between": 0.5, **getattr(request, "param", {})}, attempts=1)
    async with listen(upstream) as url:
        engine = VLLMEngine(url, limits=limits)
        service: Service = create_service(settings, engine=engine)
        key, _ = service.auth.keys.create("boss", ["admin"], now=service.now())
        async with serve(service) as base, AsyncOpenAI(base_url=base, api_key=key, max_retries=0) as client:
            yield client, engine


async def ask(client: AsyncOpenAI, **more: Any) -> Any:
    return await client.chat.completions.create(model="base", messages=ASK, stream=True, **more)  # type: ignore[call-overload]


async def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while True:
            if true():
                return
            await asyncio.sleep(0.01)


@PATIENT
async def test_tokens_come_as_they_come(arm: Any, upstream: Upstream) -> None:
    client, engine = arm
    upstream.pause = 0.3
    came = []
    chunks = []
    async for chunk in await ask(client, n=2, stream_options={"include_usage": True}):
        came.append(time.perf_counter())
        chunks.append(chunk)
    texts = [
        "".join(c.choices[0].delta.content or "" for c in chunks if c.choices and c.choices[0].index == i)
        for i in (0, 1)
    ]
    assert texts == ["One two three"] * 2
    assert came[2] - came[0] > 0.15
    assert came[4] - came[2] > 0.15
    assert {(chunk.id, chunk.model) for chunk in chunks} == {(chunks[0].id, "base")}
    assert chunks[0].id != "vllm-7"
    assert [c.choices[0].finish_reason for c in chunks[-3:-1]] == ["length"] * 2
    assert chunks[-1].usage.total_tokens == 10
    assert chunks[-1].choices == []
    (asked,) = upstream.asked
    assert (asked["model"], asked["stream"], asked["n"]) == ("served", True, 2)
    assert asked["stream_options"] == {"include_usage": True}
    (state,) = engine.replicas
    assert (state.outstanding, state.outcomes) == (0, {"ok": 1})
    # And without being asked for, no usage.
    async for chunk in await ask(client):
        assert chunk.usage is None
    assert "stream_options" not in upstream.asked[-1]


@PATIENT
async def test_calls_of_tools_come_in_their_pieces(arm: Any, upstream: Upstream) -> None:
    client, _ = arm
    call = {"index": 0, "id": "t1", "type": "function", "function": {"name": "find", "arguments": ""}}
    more = [{"index": 0, "function": {"arguments": piece}} for piece in ('{"id"', ": 7}")]
    upstream.says = [
        {"role": "assistant", "content": None},
        *({"tool_calls": [one]} for one in (call, *more)),
    ]
    tool = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
    said = ""
    async for chunk in await ask(client, tools=[tool]):
        for one in chunk.choices[0].delta.tool_calls or ():
            said += one.function.arguments
    assert said == '{"id": 7}'
    assert upstream.asked[0]["tools"] == [tool]


@PATIENT
@pytest.mark.parametrize("when", ["before the first token", "between two"])
async def test_a_client_that_goes_away_is_heard_of_upstream(arm: Any, upstream: Upstream, when: str) -> None:
    client, engine = arm
    upstream.says = [HOLD] if when.startswith("before") else ["One", HOLD]
    answer = asyncio.create_task(ask(client))
    if when == "between two":
        stream = await answer
        assert (await anext(stream)).choices[0].delta.content == "One"
        await stream.close()
    else:
        await until(lambda: upstream.running == 1)
        answer.cancel()
        await asyncio.gather(answer, return_exceptions=True)
    await until(lambda: upstream.gone == 1)  # sooner than any limit
    (state,) = engine.replicas
    assert (state.outstanding, state.outcomes, state.breaker) == (0, {"cancelled": 1}, "closed")


async def test_a_first_token_that_does_not_come_is_an_error(arm: Any, upstream: Upstream) -> None:
    client, engine = arm
    upstream.says = [b": still here\n\n", HOLD]
    with pytest.raises(APIError, match="did not answer") as caught:
        await ask(client)
    assert caught.value.status_code == 502  # type: ignore[attr-defined]
    await until(lambda: upstream.gone == 1)
    assert engine.replicas[0].outcomes == {"late": 1}


@pytest.mark.parametrize(
    ("says", "match"),
    [
        (["One", HOLD], "did not answer"),
        (["One", b'data: {"error": {"message": "out of memory"}}\n\n', b"data: [DONE]\n\n"], "out of memory"),
        (["One", b'data: {"choices": 3}\n\n'], "no chunk"),
        (["One", b"data: {\n\n"], "no chunk"),
        (["One", b"x" * 2_000_000], "no whole event"),
    ],
)
async def test_what_breaks_off_ends_with_an_error(
    arm: Any, upstream: Upstream, says: list[Any], match: str
) -> None:
    client, engine = arm
    upstream.says = says
    stream = await ask(client)
    assert (await anext(stream)).choices[0].delta.content == "One"
    with pytest.raises(APIError, match=match):
        await anext(stream)
    await until(lambda: upstream.running == 0)
    assert engine.replicas[0].outstanding == 0


async def test_a_server_that_dies_in_the_middle(arm: Any, upstream: Upstream, monkeypatch: Any) -> None:
    client, engine = arm

    async def dies(body: Any) -> AsyncIterator[bytes]:
        yield upstream.chunk([{"index": 0, "delta": {"content": "One"}}])
        raise asyncio.CancelledError

    monkeypatch.setattr(upstream, "stream", dies)
    stream = await ask(client)
    assert (await anext(stream)).choices[0].delta.content == "One"
    with pytest.raises(APIError, match=r"cannot be reached|broke off"):
        await anext(stream)
    assert engine.replicas[0].outstanding == 0


@pytest.mark.parametrize(("theirs", "ours"), [(400, 400), (429, 429), (500, 502), (503, 429)])
async def test_refusals_have_their_status(arm: Any, upstream: Upstream, theirs: int, ours: int) -> None:
    client, engine = arm
    upstream.status = theirs
    with pytest.raises(APIError, match="told to") as caught:
        await ask(client)
    assert caught.value.status_code == ours  # type: ignore[attr-defined]
    assert engine.replicas[0].outstanding == 0


async def test_another_replica_is_asked_as_long_as_nothing_came(
    listen: Any, upstream: Upstream, settings: Settings
) -> None:
    other = Upstream()
    other.status = 503
    async with listen(upstream) as one, listen(other) as two:
        engine = VLLMEngine(one, two, limits=VLLMLimits(attempts=2))
        await engine.start()
        for number in range(8):
            chunks = await engine.stream([{"role": "user", "content": str(number)}], {"n": 1}, model=None)
            assert len([chunk async for chunk in chunks]) == 4
        assert len(upstream.asked) == 8
        assert 0 < len(other.asked) <= 8
        assert [one.outstanding for one in engine.replicas] == [0, 0]
        await engine.close()


async def test_a_client_that_does_not_read_holds_nothing_for_ever(
    listen: Any, serve: Any, upstream: Upstream, settings: Settings
) -> None:
    from msgspec import structs

    upstream.says = ["x" * 100_000] * 2_000
    async with listen(upstream) as url:
        engine = VLLMEngine(url)
        service = create_service(structs.replace(settings, slow_client=0.4), engine=engine)
        key, _ = service.auth.keys.create("boss", ["admin"], now=service.now())
        async with serve(service) as base:
            address = httpx.URL(base)
            body = json.dumps({"model": "base", "messages": ASK, "stream": True}).encode()
            head = (
                f"POST {address.path}/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
            )
            with socket.create_connection((address.host, address.port)) as stuck:
                stuck.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                await until(lambda: upstream.running == 1)
                await until(lambda: upstream.gone == 1)
                assert engine.replicas[0].outstanding == 0
