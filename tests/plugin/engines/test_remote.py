"""Arms that a platform serves, behind either engine and in a drawn slate, over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from picktune.engines.limits import VLLMLimits
from picktune.engines.local import LocalEngine
from picktune.engines.remote import KEY, Remotes
from picktune.engines.vllm import VLLMEngine
from picktune.errors import AdapterCorrupt, AdapterNotFound, EngineBusy, EngineDown, EngineError, InvalidInput
from picktune.log import SQLiteLogReader
from picktune.records import Message, Sampling
from picktune.service import Service, create_service
from picktune.settings import Settings
from picktune_adapters import Aliases
from picktune_adapters.registry import Registry

pytestmark = pytest.mark.anyio

ASK = (Message(role="user", content="Where is my order?"),)
CHAT = "POST /chat/completions"
NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture
def served(fine_tuning: Any, tmp_path: Path) -> Path:
    """The folder of a version whose model the platform serves."""
    fine_tuning.jobs["ftjob-0"] = {"fine_tuned_model": "ft:one"}
    return folder_of(tmp_path / "v1", url=fine_tuning.url, model="ft:one")


def folder_of(folder: Path, **told: str) -> Path:
    folder.mkdir()
    (folder / "remote.json").write_text(json.dumps(told))
    return folder


async def problem_of(service: Service, name: str) -> str:
    """Why an adapter is not served, once that is known."""
    async with asyncio.timeout(30):
        while True:
            if name in (problems := (await service.readiness()).problems):
                return problems[name]
            await asyncio.sleep(0.02)


async def until_served(service: Service, aliases: Aliases) -> None:
    async with asyncio.timeout(30):
        while True:
            if service.aliases == aliases:
                return
            await asyncio.sleep(0.02)


async def test_a_remote_challenger_speaks_in_a_slate(
    upstreams: Callable[[int], list[Any]],
    fine_tuning: Any,
    served: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (base,) = upstreams(1)
    settings = Settings(home=str(tmp_path / "home"), poll=0.02, timeout=30.0)
    registry = Registry(settings.registry_path)
    registry.add(
        served, name="v1", base_model="gpt", run_id="ftjob-0", method="dpo", dataset_id="d", picks=9, now=NOW
    )
    registry.move("challenger", "v1", by="test", reason="admitted", now=NOW)

    monkeypatch.delenv(KEY, raising=False)
    service = create_service(settings, engine=VLLMEngine(base.url))
    await service.until_ready(60)
    assert f"wants a key; put it into {KEY}" in await problem_of(service, "v1")
    assert {one.model for one in (await service.draw(ASK)).candidates} == {None}
    await service.close()

    monkeypatch.setenv(KEY, "sk-good")
    service = create_service(settings, engine=VLLMEngine(base.url))
    await service.until_ready(60)
    await until_served(service, Aliases(challenger="v1"))
    slate = await service.draw(ASK)
    arms = {(one.arm, one.model): one.text for one in slate.candidates}
    assert set(arms) == {("base", None), ("challenger", "v1")}
    assert arms["base", None].startswith("served ")
    assert arms["challenger", "v1"].startswith("Sorry! Which order?")
    assert all(one.text.startswith("Sorry!") == (one.model == "v1") for one in slate.candidates)
    assert base.seen()["adapters"] == {}
    assert {one.model for one in fine_tuning.chats} == {"ft:one"}
    await service.close()
    with SQLiteLogReader(settings.log_path) as reader:
        assert reader.counts()["adapters"] == 1


async def test_both_engines_serve_it_and_let_go_of_it(
    upstreams: Callable[[int], list[Any]],
    tiny_model: Path,
    fine_tuning: Any,
    served: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(KEY, "sk-good")
    (base,) = upstreams(1)
    fine_tuning.most = 2  # fewer than are asked for at once
    sampling = Sampling(temperature=0.8, top_p=0.9, max_tokens=30, stop=("\n",))
    for engine in (LocalEngine(tiny_model, dtype="float32"), VLLMEngine(base.url, limits=VLLMLimits())):
        await engine.start()
        await engine.load("v1", served)
        await engine.load("v1", served)
        assert await engine.loaded() == ["v1"]
        fine_tuning.chats.clear()
        found = await engine.generate(ASK, model="v1", n=3, sampling=sampling, seed=5)
        assert [one.text for one in found] == [f"Sorry! Which order? ({place})" for place in (0, 1, 0)]
        assert [(one.tokens, one.prompt_tokens, one.finish_reason) for one in found] == [(5, 9, "stop")] * 3
        asked = [(one.n, one.seed, one.temperature, one.top_p, one.stop) for one in fine_tuning.chats]
        assert asked == [(3, 5, 0.8, 0.9, ["\n"]), (1, 7, 0.8, 0.9, ["\n"])]
        greedy = await engine.generate(ASK, model="v1", n=3, sampling=Sampling(temperature=0.0), seed=5)
        assert len({one.text for one in greedy}) == 1
        if isinstance(engine, VLLMEngine):
            answer = await engine.forward([{"role": "user", "content": "Hi"}], {"n": 2}, model="v1")
            assert len(answer["choices"]) == 2
            with pytest.raises(InvalidInput, match="not streamed"):
                await engine.stream([{"role": "user", "content": "Hi"}], {"n": 1}, model="v1")
        await engine.unload("v1")
        assert await engine.loaded() == []
        with pytest.raises(AdapterNotFound):
            await engine.generate(ASK, model="v1", n=1, sampling=sampling, seed=5)
        await engine.close()


async def test_what_a_platform_can_answer(fine_tuning: Any, served: Path, tmp_path: Path) -> None:
    environ = {KEY: "sk-bad"}
    remotes = Remotes(environ=environ)
    with pytest.raises(
        EngineError, match=rf"refuses the key; put the right one into {KEY}.*Incorrect API key"
    ):
        await remotes.load("v1", served)
    assert remotes.names() == []
    environ[KEY] = "sk-good"
    with pytest.raises(EngineError, match=r"404 .*does not exist"):
        await remotes.load("gone", folder_of(tmp_path / "gone", url=fine_tuning.url, model="ft:gone"))
    with pytest.raises(EngineDown, match="cannot be reached"):
        await remotes.load("down", folder_of(tmp_path / "down", url="http://127.0.0.1:9/v1", model="ft:one"))
    for place, told in enumerate(
        (
            {"url": "http://example.com/v1", "model": "ft:one"},
            {"url": "https://a:b@example.com/v1", "model": "ft:one"},
            {"url": fine_tuning.url, "model": ""},
            {"url": fine_tuning.url, "model": "a\nb"},
            {"url": fine_tuning.url},
            {"url": fine_tuning.url, "model": "ft:one", "key": "sk-good"},
        )
    ):
        with pytest.raises(AdapterCorrupt):
            await remotes.load("bad", folder_of(tmp_path / f"bad{place}", **told))
    await remotes.load("v1", served)
    arm = remotes.get("v1")
    assert arm is not None
    sampling = Sampling(max_tokens=9)
    for status, error in ((429, EngineBusy), (503, EngineBusy), (400, InvalidInput), (500, EngineError)):
        fine_tuning.faults[CHAT] = [status]
        with pytest.raises(error, match="told to"):
            await arm.generate(ASK, n=1, sampling=sampling, seed=0)
    assert len(await arm.generate(ASK, n=2, sampling=sampling, seed=0)) == 2
    await remotes.close()
