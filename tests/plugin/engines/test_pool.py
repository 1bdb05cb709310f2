"""Several replicas, as processes of their own: who is asked, what is asked again, and who hears of it."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from picktune.engines.base import Replicated
from picktune.engines.limits import VLLMLimits
from picktune.engines.vllm import VLLMEngine
from picktune.errors import AdapterNotFound, EngineBusy, EngineDown, EngineError
from picktune.mount import mounted
from picktune.records import Message, Sampling
from picktune.service import create_service
from picktune.settings import Settings

pytestmark = pytest.mark.anyio

SAMPLING = Sampling(max_tokens=4)


@asynccontextmanager
async def started(*upstreams: Any, **limits: Any) -> AsyncIterator[VLLMEngine]:
    engine = VLLMEngine(*(one.url for one in upstreams), limits=VLLMLimits(**limits))
    await engine.start()
    yield engine
    await engine.close()


async def say(engine: VLLMEngine, text: str = "Hello", model: str | None = None) -> str:
    said = await engine.generate(
        [Message(role="system", content="Be kind."), Message(role="user", content=text)],
        model=model,
        n=1,
        sampling=SAMPLING,
        seed=1,
    )
    return said[0].text


def answered(*upstreams: Any) -> list[int]:
    return [one.seen()["answered"] for one in upstreams]


async def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while True:
            if true():
                return
            await asyncio.sleep(0.02)


async def test_a_conversation_stays_where_its_beginning_is_cached(upstreams: Any) -> None:
    a, b = upstreams(2)
    async with started(a, b) as engine:
        assert isinstance(engine, Replicated)
        for number in range(16):
            for _ in range(3):
                await say(engine, f"conversation {number}")
        met = [{body["messages"][1]["content"] for body in one.seen()["bodies"]} for one in (a, b)]
        assert not met[0] & met[1]
        assert all(len(one) >= 2 for one in met)


async def test_it_moves_on_when_its_replica_is_much_busier(upstreams: Any) -> None:
    a, b = upstreams(2)
    for one in (a, b):
        one.does(seconds=0.4)
    async with started(a, b, spill=2) as engine:
        await asyncio.gather(*(say(engine) for _ in range(12)))
    counts = sorted(answered(a, b))
    assert sum(counts) == 12
    assert counts[1] - counts[0] <= 3


async def test_when_all_are_full_the_client_hears_when_to_come_back(upstreams: Any) -> None:
    a, b = upstreams(2)
    for one in (a, b):
        one.does(seconds=0.5)
    async with started(a, b, outstanding=3) as engine:
        told = await asyncio.gather(*(say(engine) for _ in range(10)), return_exceptions=True)
        refused = [one for one in told if isinstance(one, EngineBusy)]
        assert len(refused) == 4
        assert all(one.retry_after >= 1.0 for one in refused)
        assert sum(answered(a, b)) == 6
        assert await say(engine) == "served 0"


async def test_a_busy_replica_passes_it_on_and_if_all_are_busy_nobody_insists(upstreams: Any) -> None:
    a, b = upstreams(2)
    a.does(status=429, retry_after=7)
    async with started(a, b) as engine:
        assert {await say(engine, str(number)) for number in range(8)} == {"served 0"}
        b.does(status=503)
        begin = time.monotonic()
        with pytest.raises(EngineBusy):
            await say(engine)
        assert time.monotonic() - begin < 1.0
        # To be busy is to be there: no breaker opens for it.
        assert {one.breaker for one in engine.replicas} == {"closed"}


async def test_a_replica_that_dies_in_mid_answer_loses_nobody_an_answer(upstreams: Any) -> None:
    a, b = upstreams(2)
    for one in (a, b):
        one.does(seconds=0.6)
    async with started(a, b, failures=2) as engine:
        tasks = [asyncio.create_task(say(engine, str(number))) for number in range(8)]
        await until(lambda: a.seen()["running"] > 0)
        a.kill()
        assert set(await asyncio.gather(*tasks)) == {"served 0"}
        states = {one.url: one for one in engine.replicas}
        assert states[a.url].breaker == "open"
        assert states[a.url].problem
        assert set(states[a.url].outcomes) == {"unreachable"}
        assert await say(engine) == "served 0"
        assert await engine.ready()
        a.restart()
        await engine.loaded()
        assert {one.breaker for one in engine.replicas} == {"closed"}


async def test_a_failing_replica_is_left_alone_and_tried_again(upstreams: Any) -> None:
    (a,) = upstreams(1)
    a.does(status=500)
    async with started(a, failures=2, cooldown=0.2) as engine:
        for _ in range(2):
            with pytest.raises(EngineError, match="answered 500"):
                await say(engine)
        with pytest.raises(EngineDown, match=r"failed several times in a row.*it answered 500"):
            await say(engine)
        assert len(a.seen()["bodies"]) == 2
        await engine.loaded()  # that it lists its models is no proof that it answers
        with pytest.raises(EngineDown, match="in a row"):
            await say(engine)
        a.does(status=200)
        await asyncio.sleep(0.3)
        assert await say(engine) == "served 0"
        assert engine.replicas[0].breaker == "closed"
        assert engine.replicas[0].outcomes == {"failed": 2, "ok": 1}


async def test_no_answer_in_time_is_never_asked_again(upstreams: Any) -> None:
    a, b = upstreams(2)
    for one in (a, b):
        one.does(seconds=5)
    async with started(a, b, whole=1.0) as engine:
        with pytest.raises(EngineError, match="in time"):
            await say(engine)
        assert len(a.seen()["bodies"]) + len(b.seen()["bodies"]) == 1


async def test_hedging_takes_the_first_answer_and_ends_the_other(upstreams: Any) -> None:
    a, b = upstreams(2)
    async with started(a, b, hedge=0.15) as engine:
        await say(engine)
        slow, quick = (a, b) if a.seen()["answered"] else (b, a)
        slow.does(seconds=5)
        begin = time.monotonic()
        assert await say(engine) == "served 0"
        assert time.monotonic() - begin < 2
        assert quick.seen()["answered"] == 1
        await until(lambda: slow.seen()["gone"] == 1)
    assert VLLMLimits().hedge == 0


async def test_an_adapter_goes_to_every_replica_and_back_to_one_that_lost_it(
    upstreams: Any, tiny_adapter: Any
) -> None:
    a, b = upstreams(2)
    folder: Path = tiny_adapter("v1", 1)
    async with started(a, b) as engine:
        await engine.load("v1", folder)
        path = os.path.realpath(folder)  # noqa: ASYNC240
        assert [one.seen()["adapters"] for one in (a, b)] == [{"v1": path}] * 2
        assert await engine.loaded() == ["v1"]
        b.restart()
        # Whoever still has it answers for it meanwhile, and the base is asked of both.
        assert {await say(engine, str(number), "v1") for number in range(12)} == {"v1 0"}
        assert await engine.loaded() == []
        await engine.load("v1", folder)
        assert b.seen()["adapters"] == {"v1": path}
        assert await engine.loaded() == ["v1"]
        await engine.unload("v1")
        assert [one.seen()["adapters"] for one in (a, b)] == [{}, {}]
        with pytest.raises(AdapterNotFound):
            await say(engine, model="v1")


async def test_an_adapter_is_loaded_though_a_replica_is_gone(upstreams: Any, tiny_adapter: Any) -> None:
    a, b = upstreams(2)
    async with started(a, b) as engine:
        b.kill()
        await engine.load("v2", tiny_adapter("v2", 2))
        assert await engine.loaded() == ["v2"]
        assert await say(engine, model="v2") == "v2 0"
        await engine.unload("v2")


async def test_a_replica_of_another_model_is_left_out(upstreams: Any) -> None:
    a, b = upstreams(2)
    b.does(model="/srv/other")
    async with started(a, b) as engine:
        assert {await say(engine, str(number)) for number in range(8)} == {"served 0"}
        assert b.seen()["bodies"] == []
        assert "serves /srv/other and the others /srv/model" in (engine.replicas[1].problem or "")
        assert len(engine.speakers()) == 1


async def test_a_client_that_goes_away_ends_its_requests_at_vllm(upstreams: Any, tmp_path: Path) -> None:
    (a,) = upstreams(1)
    a.does(seconds=30)
    settings = Settings(home=str(tmp_path), engine="vllm", vllm=VLLMLimits(urls=(a.url,)), poll=0.05)
    service = create_service(settings)
    await service.until_ready(10)
    gone = asyncio.Event()
    key, _ = service.auth.keys.create("shop", ("slate",), now=service.now())
    body = b'{"model": "picktune", "messages": [{"role": "user", "content": "Hello"}]}'
    sent = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        if sent:
            return sent.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None: ...

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/picktune/v1/chat/completions",
        "root_path": "/picktune",
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {key}".encode()), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
    }
    request = asyncio.create_task(mounted(service)(scope, receive, send))
    await until(lambda: a.seen()["running"] == 2)  # the arms of a slate
    gone.set()
    await request
    await until(lambda: a.seen()["running"] == 0)
    assert (a.seen()["gone"], a.seen()["answered"]) == (2, 0)
    await service.close()


async def test_operators_see_the_replicas(upstreams: Any, tmp_path: Path) -> None:
    a, b = upstreams(2)
    limits = VLLMLimits(urls=(a.url, b.url), failures=1)
    service = create_service(Settings(home=str(tmp_path), engine="vllm", vllm=limits, poll=0.05))
    await service.until_ready(10)
    b.kill()
    await until(lambda: service.engine.replicas[1].breaker == "open")  # type: ignore[attr-defined]
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(mounted(service), root_path="/picktune"), base_url="http://t"
    ) as client:
        ready = (await client.get("/picktune/readyz")).json()
        assert ready["ready"]
        assert [one["url"] for one in ready["replicas"]] == [a.url, b.url]
        assert ready["replicas"][0]["breaker"] == "closed"
        key, _ = service.auth.keys.create("prometheus", ("admin",), now=service.now())
        text = (await client.get("/picktune/metrics", headers={"Authorization": f"Bearer {key}"})).text
    name = b.url.removeprefix("http://")
    assert f'picktune_replica_breaker{{replica="{name}",state="closed"}} 0.0' in text
    assert f'picktune_replica_breaker_opened_total{{replica="{name}"}}' in text
    assert Counter(line.split("{")[0] for line in text.splitlines())["picktune_replica_outstanding"] == 2
    await service.close()
