"""OpenAI's own Python client, unchanged but for its base URL, on a real server and a real (tiny) model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import openai
import pytest
from openai import AsyncOpenAI
from picktune.engines.local import LocalEngine
from picktune.records import Sampling
from picktune.service import Service, create_service
from picktune.settings import Settings

pytestmark = pytest.mark.anyio

ASK: Any = [{"role": "user", "content": "Where is my order?"}]


class Gateway(NamedTuple):
    """A running server: its address, and a key for an application and one for an engineer."""

    service: Service
    url: str
    shop: str
    boss: str

    def client(self, key: str | None = None, **options: Any) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=self.url, api_key=key or self.shop, max_retries=0, **options)


@pytest.fixture
async def gateway(tmp_path: Path, tiny_model: Path, serve: Any) -> AsyncIterator[Gateway]:
    settings = Settings(home=str(tmp_path), poll=0.05, sampling=Sampling(temperature=1.0, max_tokens=12))
    service = create_service(settings, engine=LocalEngine(tiny_model, dtype="float32"))
    async with serve(service) as url:
        shop, _ = service.auth.keys.create("shop", ["slate", "pick"], now=service.now())
        boss, _ = service.auth.keys.create("boss", ["admin"], now=service.now())
        yield Gateway(service, url, shop, boss)


async def test_a_chat_and_a_pick(gateway: Gateway) -> None:
    async with gateway.client() as client:
        assert [model.id async for model in client.models.list()] == ["picktune"]
        assert (await client.models.retrieve("picktune")).owned_by == "picktune"
        answer = await client.chat.completions.create(model="picktune", messages=ASK, user="user-7")
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert (answer.model, answer.system_fingerprint) == ("picktune", None)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > len(ASK[0]["content"])
    slate = await gateway.service.slate(answer.id.removeprefix("chatcmpl-"))
    assert answer.usage.completion_tokens == sum(one.tokens for one in slate.candidates)
    assert (answer.model_extra or {})["picktune"]["slate_id"] == slate.id
    ids = (answer.model_extra or {})["picktune"]["candidate_ids"]
    texts = {one.id: one.text for one in slate.candidates}
    assert [choice.message.content for choice in answer.choices] == [texts[id] for id in ids]

    pick = {"key": "k", "slate_id": slate.id, "verdict": "chosen", "candidate_id": ids[1]}
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {gateway.shop}"}) as plain:
        decided = await plain.post(f"{gateway.url}/picks", json={**pick, "annotator": "user-7"})
    assert decided.status_code == 200, decided.text
    (kept,) = await gateway.service.picks(slate.id)
    assert (kept.candidate_id, kept.annotator, kept.role) == (ids[1], "user-7", "user")


async def test_a_stream(gateway: Gateway) -> None:
    said: dict[int, str] = {}
    ended, usage, note = {}, None, None
    async with gateway.client() as client:
        stream = await client.chat.completions.create(
            model="picktune", messages=ASK, n=2, stream=True, stream_options={"include_usage": True}
        )
        async for chunk in stream:
            note = note or (chunk.model_extra or {}).get("picktune")
            usage = chunk.usage or usage
            for choice in chunk.choices:
                said[choice.index] = said.get(choice.index, "") + (choice.delta.content or "")
                ended[choice.index] = choice.finish_reason or ended.get(choice.index)
    assert note is not None
    assert usage is not None
    slate = await gateway.service.slate(note["slate_id"])
    texts = {one.id: one.text for one in slate.candidates}
    assert said == {place: texts[id] for place, id in enumerate(note["candidate_ids"])}
    assert ended == {0: "stop", 1: "stop"}
    assert usage.completion_tokens == sum(one.tokens for one in slate.candidates)


async def test_extensions_go_by_the_clients_own_ways(gateway: Gateway) -> None:
    async with gateway.client() as client:
        answer = await client.chat.completions.create(
            model="picktune",
            messages=ASK,
            extra_headers={"X-Picktune-Conversation": "order-7"},
            extra_body={"picktune": {"viewer": "mei", "tags": ["late"]}},
        )
    slate = await gateway.service.slate(answer.id.removeprefix("chatcmpl-"))
    assert (slate.turn.conversation_id, slate.turn.tags) == ("order-7", ("late",))


async def test_a_named_arm(gateway: Gateway) -> None:
    async with gateway.client(gateway.boss) as client:
        assert [model.id async for model in client.models.list()] == ["picktune", "base"]
        one, again = [
            await client.chat.completions.create(model="base", messages=ASK, seed=3, n=2, max_tokens=8)
            for _ in range(2)
        ]
    assert one.model == "base"
    assert [choice.message.content for choice in one.choices] == [
        choice.message.content for choice in again.choices
    ]
    assert all(choice.finish_reason in ("stop", "length") for choice in one.choices)
    assert one.usage is not None
    assert 2 <= one.usage.completion_tokens <= 16
    async with gateway.client() as client:
        with pytest.raises(openai.PermissionDeniedError, match="admin"):
            await client.chat.completions.create(model="base", messages=ASK)


async def test_its_exceptions(gateway: Gateway) -> None:
    async with gateway.client("pk_wrong") as client:
        with pytest.raises(openai.AuthenticationError) as unknown:
            await client.models.list()
        assert unknown.value.code == "invalid_api_key"
    async with gateway.client() as client:
        chat = client.chat.completions
        with pytest.raises(openai.NotFoundError) as missing:
            await chat.create(model="gpt-4o", messages=ASK)
        assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
        with pytest.raises(openai.BadRequestError) as hot:
            await chat.create(model="picktune", messages=ASK, temperature=-1)
        assert (hot.value.param, hot.value.type) == ("temperature", "invalid_request_error")
        tool: Any = {"type": "function", "function": {"name": "f", "parameters": {}}}
        with pytest.raises(openai.BadRequestError) as tools:
            await chat.create(model="picktune", messages=ASK, tools=[tool])
        assert (tools.value.code, tools.value.param) == ("unsupported_parameter", "tools")
        with pytest.raises(openai.BadRequestError) as empty:
            await chat.create(model="picktune", messages=[])
        assert empty.value.param == "messages"
        with pytest.raises(openai.APIStatusError) as large:
            await chat.create(model="picktune", messages=[{"role": "user", "content": "x" * 1_100_000}])
        assert large.value.status_code == 413


async def test_a_full_queue_is_a_rate_limit(tmp_path: Path, tiny_model: Path, serve: Any) -> None:
    # Two arms ask at once, and there is room for one.
    engine = LocalEngine(tiny_model, dtype="float32", queue=1)
    service = create_service(Settings(home=str(tmp_path), poll=0.05), engine=engine)
    async with serve(service) as url:
        key, _ = service.auth.keys.create("shop", ["slate"], now=service.now())
        async with AsyncOpenAI(base_url=url, api_key=key, max_retries=0) as client:
            with pytest.raises(openai.RateLimitError) as busy:
                await client.chat.completions.create(model="picktune", messages=ASK)
    assert busy.value.code == "engine_busy"
    assert int(busy.value.response.headers["retry-after"]) >= 1


async def test_a_client_that_gives_up_calls_the_draw_off(settings: Settings, engine: Any, serve: Any) -> None:
    cancelled = asyncio.Event()

    class Gate(asyncio.Event):
        async def wait(self) -> Any:
            try:
                return await super().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

    service = create_service(settings, engine=engine)
    async with serve(service) as url:
        engine.gate = Gate()
        key, _ = service.auth.keys.create("shop", ["slate"], now=service.now())
        async with AsyncOpenAI(base_url=url, api_key=key, max_retries=0, timeout=0.3) as client:
            with pytest.raises(openai.APITimeoutError):
                await client.chat.completions.create(model="picktune", messages=ASK)
        await asyncio.wait_for(cancelled.wait(), 2)


async def test_a_stream_that_is_cut_half_way_leaves_the_slate(gateway: Gateway) -> None:
    async with gateway.client() as client:
        stream = await client.chat.completions.create(
            model="picktune", messages=ASK, user="user-7", stream=True
        )
        first = await anext(aiter(stream))
        await stream.close()
        slate = await gateway.service.slate(first.id.removeprefix("chatcmpl-"))
        assert len(slate.candidates) == 4
        # The server goes on as before.
        assert (await client.chat.completions.create(model="picktune", messages=ASK, n=1)).choices
