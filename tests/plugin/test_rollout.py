"""Who speaks when: rollbacks are obeyed at once, and whoever is not what it says is silenced."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import structs
from picktune.engines import Generation
from picktune.log import SQLiteLog
from picktune.records import Message, Sampling
from picktune.service import Service
from picktune.settings import Settings
from picktune_adapters import Aliases
from picktune_adapters.registry import Registry

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 24, tzinfo=UTC)
ASK = (Message(role="user", content="Where is my order?"),)


async def until(true: Callable[[], bool | Awaitable[bool]], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while True:
            found = true()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.01)


@pytest.fixture
def registry(settings: Settings) -> Registry:
    return Registry(settings.registry_path)


@pytest.fixture
def adapters(registry: Registry, tiny_adapter: Any) -> list[str]:
    for seed, name in enumerate(("v1", "v2")):
        registry.add(
            tiny_adapter(name, seed), name=name, base_model="t", run_id="r", dataset_id="d", picks=1, now=NOW
        )
    return ["v1", "v2"]


def move(registry: Registry, name: str | None, alias: Any = "champion") -> None:
    registry.move(alias, name, by="test", reason="test", now=NOW)


async def spoke(service: Service) -> set[str | None]:
    return {one.model for one in (await service.draw(ASK)).candidates}


@pytest.fixture
async def patient(settings: Settings, engine: Any, clock: Any) -> AsyncIterator[Service]:
    """A service that looks at the registry by itself once a minute only; ``step`` does it for the test."""
    service = Service(
        structs.replace(settings, poll=60.0, integrity=0.05),
        log=SQLiteLog.open(settings.log_path),
        engine=engine,
        registry=Registry(settings.registry_path),
        rng=random.Random(1),
        now=clock,
    )
    await service.until_ready(10)
    yield service
    await service.close()


async def step(service: Service) -> None:
    await service._follower.step()


async def test_a_rollback_is_obeyed_by_the_next_draw(
    patient: Service, registry: Registry, adapters: list[str], engine: Any
) -> None:
    for name in adapters:
        move(registry, name)
        await step(patient)
    assert await spoke(patient) == {None, "v2"}
    registry.rollback(by="test", reason="complaints", now=NOW)
    assert await spoke(patient) == {None, "v1"}
    registry.rollback(by="test", reason="complaints", now=NOW)
    assert await spoke(patient) == {None}
    # Forward needs the checks first.
    move(registry, "v1", "challenger")
    assert await spoke(patient) == {None, "v1"}  # it passed them a moment ago and is still loaded
    await step(patient)
    assert patient.aliases == Aliases(challenger="v1")


async def test_what_was_rolled_back_speaks_no_more_though_the_one_before_is_gone(
    patient: Service, registry: Registry, adapters: list[str], engine: Any
) -> None:
    for name in adapters:
        move(registry, name)
        await step(patient)
    engine.adapters.pop("v1")
    await step(patient)
    registry.rollback(by="test", reason="complaints", now=NOW)
    assert await spoke(patient) == {None}
    await step(patient)
    assert await spoke(patient) == {None, "v1"}


async def test_a_new_adapter_speaks_only_after_its_checks(
    patient: Service, registry: Registry, adapters: list[str]
) -> None:
    move(registry, "v1")
    await step(patient)
    move(registry, "v2")
    assert await spoke(patient) == {None, "v1"}
    await step(patient)
    assert await spoke(patient) == {None, "v2"}


async def test_an_adapter_whose_folder_is_deleted_is_dropped_before_anyone_reads_it(
    patient: Service, registry: Registry, adapters: list[str], engine: Any
) -> None:
    move(registry, "v1")
    await step(patient)
    folder = registry.folder("v1")
    kept = folder.with_name(".kept")
    await asyncio.to_thread(folder.rename, kept)
    await step(patient)
    assert (await spoke(patient), engine.adapters) == ({None}, {})
    assert "are gone" in (await patient.readiness()).problems["v1"]
    await asyncio.to_thread(shutil.copytree, kept, folder)
    patient._follower._retry_at.clear()
    await step(patient)
    assert await spoke(patient) == {None, "v1"}


class Leaky:
    """Replies of the base turn into the adapter's when both are asked at once, from some moment on."""

    def __init__(self, engine: Any) -> None:
        self.plain = engine.generate
        self.leaks = False
        self.running: list[str | None] = []

    async def generate(
        self, messages: Sequence[Message], *, model: str | None, n: int, sampling: Sampling, seed: int
    ) -> list[Generation]:
        self.running.append(model)
        await asyncio.sleep(0.005)
        other = next((one for one in self.running if one), None) if self.leaks else model
        await asyncio.sleep(0.005)
        self.running.remove(model)
        said: list[Generation] = await self.plain(
            messages, model=other or model, n=n, sampling=sampling, seed=seed
        )
        return said


async def test_arms_that_are_looked_at_again_and_are_not_what_they_say_are_not_mixed(
    patient: Service, registry: Registry, adapters: list[str], engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaky = Leaky(engine)
    monkeypatch.setattr(engine, "generate", leaky.generate)
    move(registry, "v1")
    await step(patient)
    leaky.leaks = True
    await asyncio.sleep(0.06)
    await step(patient)
    assert patient.aliases.champion == "v1", "nothing was drawn, so nothing was looked at"
    assert await spoke(patient) == {None, "v1"}
    await asyncio.sleep(0.06)
    await step(patient)
    assert await spoke(patient) == {None}
    readiness = await patient.readiness()
    assert (readiness.ready, readiness.adapters) == (True, Aliases())
    assert "came from the other arm" in readiness.problems["v1"]
    assert patient.refusals["arm_unsound"] == 1
    await step(patient)
    assert patient.refusals["arm_unsound"] == 1, "it is not looked at again at once"
    leaky.leaks = False
    patient._follower._retry_at.clear()
    await step(patient)
    assert await spoke(patient) == {None, "v1"}
    assert not patient._follower.problems


async def test_an_engine_that_does_not_answer_the_check_silences_nobody(
    patient: Service, registry: Registry, adapters: list[str], engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from picktune.errors import EngineDown, EngineError

    move(registry, "v1")
    await step(patient)
    plain = engine.generate
    for error in (EngineDown("gone"), EngineError("it answered 500")):
        assert await spoke(patient) == {None, "v1"}
        await asyncio.sleep(0.06)

        async def fail(*args: Any, error: Exception = error, **more: Any) -> Any:
            raise error

        monkeypatch.setattr(engine, "generate", fail)
        await step(patient)
        assert patient.aliases.champion == "v1"
        monkeypatch.setattr(engine, "generate", plain)
        patient._follower._retry_at.clear()
