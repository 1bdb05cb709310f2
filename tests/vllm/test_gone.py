"""Files and servers that go away while slates are drawn: the chat goes on, and vLLM is not harmed.

Two real servers behind one service, which lives through all of it, test by test: one is killed and comes
back, then it is stopped for good, and then the adapter's folder is deleted.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from picktune.engines.limits import VLLMLimits
from picktune.engines.vllm import VLLMEngine
from picktune.log import SQLiteLog
from picktune.records import Message, Sampling, Slate
from picktune.service import Service
from picktune.settings import Settings
from picktune_adapters.registry import Registry

pytestmark = [pytest.mark.anyio, pytest.mark.vllm, pytest.mark.model, pytest.mark.slow]

NAME = "gone"
SAMPLING = Sampling(max_tokens=12)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gone")


@pytest.fixture(scope="module")
def registry(home: Path, tiny_adapter: Any, smollm2: Path) -> Registry:
    registry = Registry(home / "registry")
    now = datetime.now(UTC)
    folder = tiny_adapter(NAME, 40, 0.05, base=smollm2)
    registry.add(folder, name=NAME, base_model=str(smollm2), run_id="r", dataset_id="d", picks=1, now=now)
    registry.move("champion", NAME, by="test", reason="test", now=now)
    return registry


@pytest.fixture(scope="module")
async def service(spawned: Any, vllm_server: Any, home: Path, registry: Registry) -> AsyncIterator[Service]:
    settings = Settings(home=str(home), engine="vllm", poll=0.5, timeout=120.0, sampling=SAMPLING)
    # The second server asks for no key and overlooks it.
    limits = VLLMLimits(cooldown=0.5, longest_cooldown=1.0, spill=0)
    service = Service(
        settings,
        log=SQLiteLog.open(settings.log_path),
        engine=VLLMEngine(spawned.url, vllm_server.url, key=spawned.key, limits=limits),
        registry=registry,
        rng=random.Random(),
        now=lambda: datetime.now(UTC),
    )
    await service.until_ready(60)
    yield service
    await service.close()


async def until(true: Callable[[], Any], seconds: float = 120.0) -> None:
    async with asyncio.timeout(seconds):
        while True:
            if true():
                return
            await asyncio.sleep(0.1)


async def slates(service: Service, count: int, **sampling: Any) -> list[Slate]:
    """So many at once, each of another conversation, so that both servers are asked."""
    drawn = (
        service.draw(
            [Message(role="user", content=f"{number}. My parcel has not arrived. What now?")],
            policy="1+1",
            sampling=Sampling(**({"max_tokens": 12} | sampling)),
        )
        for number in range(count)
    )
    return list(await asyncio.gather(*drawn))


def spoke(drawn: list[Slate]) -> set[str | None]:
    return {one.model for slate in drawn for one in slate.candidates}


async def test_a_replica_that_is_restarted_in_mid_slate_costs_no_chat_and_speaks_again(
    service: Service, registry: Registry, spawned: Any
) -> None:
    await until(lambda: service.aliases.champion == NAME)
    drawing = asyncio.create_task(slates(service, 4, max_tokens=48))
    await until(lambda: any(one.outstanding for one in service.engine.replicas if one.url == spawned.url))
    os.killpg(spawned.process.pid, signal.SIGKILL)
    during = await drawing
    assert all(slate.candidates for slate in during)
    assert spoke(await slates(service, 2)) == {None, NAME}
    # Started again by whoever watches it, and given its adapter by the service.
    await until(
        lambda: any(one.url == spawned.url and NAME in one.adapters for one in service.engine.replicas)
    )
    before = Counter({one.url: one.outcomes.get("ok", 0) for one in service.engine.replicas})
    again = await slates(service, 6)
    assert all(slate.complete for slate in again)
    after = Counter({one.url: one.outcomes.get("ok", 0) for one in service.engine.replicas})
    assert (after - before)[spawned.url] > 0


async def test_a_replica_that_is_gone_for_good_is_done_without(service: Service, spawned: Any) -> None:
    await until(lambda: service.aliases.champion == NAME)
    drawing = asyncio.create_task(slates(service, 4, max_tokens=48))
    await asyncio.sleep(0.2)
    await asyncio.to_thread(spawned.stop)
    assert all(slate.candidates for slate in await drawing)
    after = await slates(service, 4)
    assert all(slate.complete for slate in after)
    assert spoke(after) == {None, NAME}
    state = next(one for one in service.engine.replicas if one.url == spawned.url)
    assert state.problem is not None
    assert (await service.readiness()).ready


async def test_an_adapter_whose_folder_is_deleted_is_unloaded_before_vllm_reads_it(
    service: Service, registry: Registry, vllm_server: Any
) -> None:
    await until(lambda: service.aliases.champion == NAME)
    folder = registry.folder(NAME)
    kept = folder.with_name(".kept")
    await asyncio.to_thread(folder.rename, kept)
    await until(lambda: "are gone" in service._follower.problems.get(NAME, ""))
    assert spoke(await slates(service, 2)) == {None}
    async with httpx.AsyncClient(trust_env=False) as client:
        listed = (await client.get(f"{vllm_server.url}/v1/models")).json()["data"]
        assert NAME not in {one["id"] for one in listed}
        assert (await client.get(f"{vllm_server.url}/health")).status_code == 200
    await asyncio.to_thread(shutil.rmtree, kept)
