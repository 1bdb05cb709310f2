"""Faults that a real server cannot be made to show; what it really does is in the contract."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from picktune.engines.vllm import VLLMEngine
from picktune.errors import (
    AdapterCorrupt,
    AdapterNotFound,
    EngineBusy,
    EngineDown,
    EngineError,
    PicktuneError,
)
from picktune.records import Message, Sampling
from picktune_adapters.errors import InvalidAdapterName

pytestmark = pytest.mark.anyio

HELLO = [Message(role="user", content="Hello")]
MODELS = {
    "object": "list",
    "data": [
        {"id": "v1", "root": "/srv/adapters/v1", "parent": "served"},
        {"id": "served", "root": "/srv/model", "parent": None, "max_model_len": 2048},
    ],
}
Handler = Callable[[httpx.Request], httpx.Response]


def completion(*texts: str, **changes: Any) -> httpx.Response:
    choices = [
        {"index": i, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        for i, text in enumerate(texts)
    ]
    return httpx.Response(
        200, json={"choices": choices, "usage": {"completion_tokens": 10}, "model": "x"} | changes
    )


class Server:
    """Answers ``/v1/models`` and hands everything else to ``handler``; keeps the requests."""

    def __init__(self, handler: Handler | httpx.Response, models: Any = MODELS) -> None:
        self.handler = handler
        self.models = models
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.url.path == "/v1/models":
            return httpx.Response(200, json=self.models)
        return self.handler(request) if callable(self.handler) else self.handler

    def bodies(self, path: str = "/v1/chat/completions") -> list[dict[str, Any]]:
        return [json.loads(request.content) for request in self.requests if request.url.path == path]


def engine_for(server: Server, **options: Any) -> VLLMEngine:
    client = httpx.AsyncClient(transport=httpx.MockTransport(server))
    return VLLMEngine("http://vllm.test/", client=client, **options)


async def say(engine: VLLMEngine, messages: list[Message] = HELLO, **options: Any) -> Any:
    given: dict[str, Any] = {"model": None, "n": 1, "sampling": Sampling(), "seed": 1} | options
    return await engine.generate(messages, **given)


async def test_asks_for_the_base_by_the_name_that_the_server_gives_it() -> None:
    server = Server(completion("Hi", "Ho"))
    engine = engine_for(server, key="secret")
    await engine.start()
    assert engine.base_model == "/srv/model"
    sampling = Sampling(temperature=0.7, top_p=0.9, max_tokens=50, stop=("END",))
    replies = await say(engine, n=2, sampling=sampling, seed=3)
    assert [reply.text for reply in replies] == ["Hi", "Ho"]
    (body,) = server.bodies()
    assert body.items() >= {"model": "served", "n": 2, "seed": 3, "stop": ["END"], "top_p": 0.9}.items()
    assert all(request.headers["authorization"] == "Bearer secret" for request in server.requests)


async def test_greedy_replies_are_asked_for_once() -> None:
    server = Server(completion("Hi"))
    replies = await say(engine_for(server), n=3, sampling=Sampling(temperature=0.0))
    assert [reply.text for reply in replies] == ["Hi"] * 3
    assert server.bodies()[0]["n"] == 1


@pytest.mark.parametrize("name", ["../v1", "/srv/adapters/v1", "v2", "served", "", "v1/", "v1\n"])
async def test_only_registered_names_reach_the_server(name: str, tmp_path: Path) -> None:
    server = Server(completion("Hi"))
    engine = engine_for(server)
    await engine.start()
    with pytest.raises(AdapterNotFound, match="registered: v1"):
        await say(engine, model=name)
    assert not server.bodies()
    if name not in ("v2", "served"):
        with pytest.raises(InvalidAdapterName):
            await engine.load(name, tmp_path)
        with pytest.raises(InvalidAdapterName):
            await engine.unload(name)
    assert [request.url.path for request in server.requests if request.method == "POST"] == []


async def test_an_adapter_that_another_process_loaded_is_found() -> None:
    server = Server(completion("Hi"), models={"data": MODELS["data"][1:]})
    engine = engine_for(server)
    await engine.start()
    server.models = MODELS
    assert (await say(engine, model="v1"))[0].text == "Hi"


async def test_an_adapter_that_the_server_has_forgotten_is_not_found() -> None:
    server = Server(httpx.Response(404, json={"error": {"message": "The model `v1` does not exist."}}))
    engine = engine_for(server)
    with pytest.raises(AdapterNotFound):
        await say(engine, model="v1")


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (httpx.Response(429, headers={"retry-after": "7"}, json={}), EngineBusy, "busy"),
        (httpx.Response(503, text="queue is full"), EngineBusy, "queue is full"),
        (httpx.Response(500, json={"error": {"message": "boom"}}), EngineError, r"answered 500 \(boom\)"),
        (httpx.Response(502, text="<html>"), EngineError, "answered 502"),
        (httpx.Response(400, json={"error": {"message": "bad"}}), EngineError, r"400 \(bad\)"),
        (httpx.Response(404, json={"detail": "Not Found"}), EngineError, "answered 404"),
        (httpx.Response(401, json={}), EngineError, "vllm_key"),
        (httpx.Response(200, text="<html>hello"), EngineError, "not vLLM's"),
        (httpx.Response(200, content=b"\xff\xfe"), EngineError, "not vLLM's"),
        (httpx.Response(200, json={"choices": []}), EngineError, "without a reply"),
        (httpx.Response(200, json={"choices": [{"message": 3}]}), EngineError, "not vLLM's"),
        (httpx.Response(200, json=[1]), EngineError, "not vLLM's"),
    ],
)
async def test_answers_that_are_none(answer: httpx.Response, error: type[PicktuneError], words: str) -> None:
    with pytest.raises(error, match=words) as raised:
        await say(engine_for(Server(answer)))
    assert type(raised.value) is error
    if answer.headers.get("retry-after"):
        assert raised.value.retry_after == 7.0  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (httpx.ConnectError("refused"), EngineDown, "scripts/vllm serve"),
        (httpx.ConnectTimeout("slow"), EngineDown, "cannot be reached"),
        (httpx.ReadTimeout("slow"), EngineError, "did not answer"),
        (httpx.WriteTimeout("slow"), EngineError, "did not answer"),
        (httpx.PoolTimeout("slow"), EngineBusy, "connections"),
        (httpx.RemoteProtocolError("gone"), EngineDown, "cannot be reached"),
    ],
)
async def test_each_phase_has_its_error(fault: Exception, error: type[PicktuneError], words: str) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise fault

    with pytest.raises(error, match=words) as raised:
        await say(engine_for(Server(fail)))
    assert type(raised.value) is error


async def test_a_kept_connection_that_was_dropped_is_tried_again() -> None:
    faults = [httpx.RemoteProtocolError("Server disconnected")]

    def once(request: httpx.Request) -> httpx.Response:
        if faults:
            raise faults.pop()
        return completion("Hi")

    assert (await say(engine_for(Server(once))))[0].text == "Hi"


async def test_nobody_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        engine = VLLMEngine(f"http://127.0.0.1:{probe.getsockname()[1]}")
        with pytest.raises(EngineDown, match="scripts/vllm serve"):
            await engine.start()
        assert not await engine.ready()
        with pytest.raises(EngineDown, match="start the engine first"):
            _ = engine.base_model
        await engine.close()


async def test_a_server_that_is_something_else() -> None:
    for models in ({}, {"data": []}, {"data": [{"id": "v1", "parent": "x"}]}):
        with pytest.raises(EngineError):
            await engine_for(Server(completion("Hi"), models=models)).start()


async def test_old_messages_go_when_the_context_is_full() -> None:
    def short_only(request: httpx.Request) -> httpx.Response:
        messages = json.loads(request.content)["messages"]
        if sum(len(message["content"]) for message in messages) > 400:
            text = "This model's maximum context length is 400 tokens."
            return httpx.Response(400, json={"error": {"message": text}})
        return completion("Hi")

    server = Server(short_only)
    system, last = Message(role="system", content="Be kind."), Message(role="user", content="And now?")
    middle = [Message(role="user", content=f"{i}" * 20) for i in range(90)]
    await say(engine_for(server), [system, *middle, last])
    kept = server.bodies()[-1]["messages"]
    assert (kept[0]["content"], kept[-1]["content"]) == ("Be kind.", "And now?")
    assert len(kept) > 2

    await say(engine_for(server), [system, Message(role="user", content="x" * 100_000 + " the end")])
    assert server.bodies()[-1]["messages"][1]["content"].endswith("the end")


async def test_a_context_that_nothing_fits_into_ends_in_an_error() -> None:
    text = "This model's maximum context length is 1 token."
    server = Server(httpx.Response(400, json={"error": {"message": text}}))
    with pytest.raises(EngineError, match="maximum context length"):
        await say(engine_for(server), [Message(role="user", content="x" * 1000)])
    assert len(server.bodies()) < 20


async def test_typed_control_tokens_are_broken_and_other_text_is_not() -> None:
    server = Server(completion("Hi"))
    typed = "a<|im_end|>b <s> [INST] 3<4 | <b>bold</b> <|x"
    await say(
        engine_for(server), [Message(role="user", content=typed), Message(role="user", content="\ud800")]
    )
    sent = [message["content"] for message in server.bodies()[0]["messages"]]
    assert sent[0] == "a<\u200b|im_end|>b <\u200bs> [\u200bINST] 3<4 | <b>bold</b> <|x"
    assert sent[1] == "?"


async def test_a_name_that_holds_another_folder_is_a_fault(tiny_adapter: Any) -> None:
    folder = tiny_adapter("v1", 1)
    already = {"error": {"message": "The lora adapter 'v1' has already been loaded."}}
    server = Server(httpx.Response(400, json=already))
    with pytest.raises(AdapterCorrupt, match="another adapter under the name 'v1', from /srv/adapters/v1"):
        await engine_for(server).load("v1", folder)
    server.models = {
        "data": [{"id": "v1", "root": str(folder.resolve()), "parent": "served"}, MODELS["data"][1]]
    }
    await engine_for(server).load("v1", folder)


async def test_a_server_that_may_not_load_says_how_to_let_it(tiny_adapter: Any) -> None:
    engine = engine_for(Server(httpx.Response(404, json={"detail": "Not Found"})))
    with pytest.raises(EngineError, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"):
        await engine.load("v2", tiny_adapter("v2", 2))


@pytest.mark.parametrize("status", [400, 404, 500])
async def test_an_adapter_that_the_server_refuses(tiny_adapter: Any, status: int) -> None:
    refusal = {"error": {"message": "could not be loaded"}}
    engine = engine_for(Server(httpx.Response(status, json=refusal)))
    with pytest.raises(AdapterCorrupt, match="refuses adapter 'v2' \\(could not be loaded\\)"):
        await engine.load("v2", tiny_adapter("v2", 2))
    assert await engine.loaded() == ["v1"]


async def test_unloading_what_is_gone_is_no_error() -> None:
    engine = engine_for(Server(httpx.Response(404, json={"error": {"message": "no such"}})))
    await engine.unload("v2")


async def test_whoever_goes_away_takes_the_request_along() -> None:
    gone = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/v1/models" in head:
            body = json.dumps(MODELS).encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
        while await reader.read(4096):
            pass
        gone.set()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with server:
        engine = VLLMEngine(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        request = asyncio.create_task(say(engine))
        await asyncio.sleep(0.3)
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
        await asyncio.wait_for(gone.wait(), 5.0)
        await engine.close()


async def test_it_scores_a_reply_token_by_token_a_few_at_a_time(upstreams: Any) -> None:
    (one,) = upstreams(1)
    engine = VLLMEngine(one.url)
    await engine.start()
    reply = list(range(1, 31))
    assert await engine.log_probs([7, 7, *reply], model=None, at=range(2, 32)) == [
        -token / 100 for token in reply
    ]
    assert 1 < one.seen()["most"] <= 8
    assert await engine.log_probs("abc", model=None) == [-0.98, -0.99]
    with pytest.raises(AdapterNotFound):
        await engine.log_probs([7, 8], model="nobody")
    one.does(masked=True)
    with pytest.raises(EngineError, match="--logprobs-mode"):
        await engine.log_probs(reply, model=None)
    await engine.close()
