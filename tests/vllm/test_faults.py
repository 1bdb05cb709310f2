"""What can go wrong with adapters and servers, made to happen to a real vLLM: caught by us, or survived.

One server for all, in the order in which they stand: the last one fills its slots.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from picktune.engines.canary import check_canary
from picktune.engines.doctor import diagnose
from picktune.engines.vllm import VLLMEngine
from picktune.errors import AdapterCorrupt, AdapterNotFound, InvalidAdapterName
from picktune.records import Message, Sampling
from picktune_adapters.check import CONFIG, WEIGHTS
from safetensors.numpy import load_file, save_file

pytestmark = [pytest.mark.anyio, pytest.mark.vllm, pytest.mark.model, pytest.mark.slow]

GREEDY = Sampling(temperature=0.0, top_p=1.0, max_tokens=12)
ASK = [Message(role="user", content="Where is my parcel?")]


@pytest.fixture(scope="module")
def good(tiny_adapter: Any, smollm2: Path) -> Path:
    folder: Path = tiny_adapter("good", 1, 0.05, base=smollm2)
    return folder


@pytest.fixture
async def engine(spawned: Any) -> AsyncIterator[VLLMEngine]:
    engine = VLLMEngine(spawned.url, key=spawned.key)
    await engine.start()
    yield engine
    await engine.close()


async def say(engine: VLLMEngine, model: str | None = None, **sampling: Any) -> str:
    wanted = Sampling(**({"temperature": 0.0, "top_p": 1.0, "max_tokens": 12} | sampling))
    return (await engine.generate(ASK, model=model, n=1, sampling=wanted, seed=0))[0].text


def changed(good: Path, target: Path, **fields: Any) -> Path:
    shutil.copytree(good, target)
    config = json.loads((target / CONFIG).read_text("utf-8"))
    (target / CONFIG).write_text(json.dumps(config | fields), "utf-8")
    return target


def with_tensors(good: Path, target: Path, change: Any) -> Path:
    shutil.copytree(good, target)
    tensors = {name: value.copy() for name, value in load_file(target / WEIGHTS).items()}
    save_file(change(tensors), target / WEIGHTS)
    return target


def nan(tensors: Any) -> Any:
    next(iter(tensors.values()))[0, 0] = float("nan")
    return tensors


def renamed(tensors: Any) -> Any:
    return {name.replace("model.layers", "model.blocks"): value for name, value in tensors.items()}


def truncated(good: Path, target: Path) -> Path:
    shutil.copytree(good, target)
    content = (target / WEIGHTS).read_bytes()
    (target / WEIGHTS).write_bytes(content[: len(content) // 2])
    return target


async def test_what_must_not_reach_the_server_does_not(
    engine: VLLMEngine, good: Path, tmp_path: Path, tiny_adapter: Any, tiny_model: Path, smollm2: Path
) -> None:
    before = await say(engine)
    bad = {
        "missing": tmp_path / "nowhere",
        "truncated": truncated(good, tmp_path / "truncated"),
        "nan": with_tensors(good, tmp_path / "nan", nan),
        "modules": with_tensors(good, tmp_path / "modules", renamed),
        "rank": changed(good, tmp_path / "rank", r=4),
        "dora": changed(good, tmp_path / "dora", use_dora=True),
        "wrong-base": tiny_adapter("wrong-base", 1, base=tiny_model),
        "too-high": tiny_adapter("too-high", 1, 0.05, base=smollm2, rank=32),
    }
    for name, folder in bad.items():
        with pytest.raises(AdapterCorrupt) as refused:
            await engine.load(name, folder)
        assert len(str(refused.value)) > 40, name
        with pytest.raises(AdapterNotFound):
            await say(engine, name)
    assert "max_lora_rank 16" in str(refused.value)
    for name in ("../good", str(good), "good/../../x", ".hidden", ""):
        with pytest.raises(InvalidAdapterName):
            await engine.load(name, good)
        with pytest.raises(AdapterNotFound):
            await say(engine, name)
    assert await engine.loaded() == []
    assert await say(engine) == before


async def test_a_doctor_finds_nothing_at_fault(spawned: Any) -> None:
    with httpx.Client(trust_env=False) as client:
        found = diagnose(spawned.url, key=spawned.key, ranks=[8], client=client)
        assert found.sound, found
        assert "up to 16" in {one.says for one in found.findings}
        without = diagnose(spawned.url, key=None, client=client)
        assert "key" in {one.check for one in without.findings if one.level == "fault"}
        too_high = diagnose(spawned.url, key=spawned.key, ranks=[64], client=client)
        assert [one.mend for one in too_high.findings if one.check == "rank"] == [
            "start it with --max-lora-rank 64"
        ]


async def test_the_canary_knows_the_trainers_adapter_from_others(
    engine: VLLMEngine, good: Path, tmp_path: Path, smollm2: Path
) -> None:
    from picktune_retrain.probes import make_probes
    from picktune_retrain.records import Recipe

    probes = make_probes(good, base_model=smollm2, recipe=Recipe(dtype="float32"))
    await engine.load("trained", good)
    # Beside what people ask: log-probabilities of prompts were seen to end the server there.
    busy = [asyncio.create_task(say(engine, model, max_tokens=60)) for model in (None, "trained", None)]
    await check_canary(engine, "trained", probes)
    await asyncio.gather(*busy)
    await check_canary(engine, "trained", None)
    await engine.unload("trained")
    # Other scaling, without a fault that its files would show.
    await engine.load("flipped", changed(good, tmp_path / "flipped", use_rslora=True))
    with pytest.raises(AdapterCorrupt, match=r"arrives in the engine|nats a token away"):
        await check_canary(engine, "flipped", probes)
    await engine.unload("flipped")


async def test_a_silent_no_op_is_refused(engine: VLLMEngine, tiny_adapter: Any, smollm2: Path) -> None:
    await engine.load("no-op", tiny_adapter("no-op", 1, 0.0, base=smollm2))
    assert await say(engine, "no-op") == await say(engine)
    with pytest.raises(AdapterCorrupt, match="changes nothing"):
        await check_canary(engine, "no-op", None)
    await engine.unload("no-op")


async def test_a_client_that_goes_away_ends_the_request_in_vllm(engine: VLLMEngine, spawned: Any) -> None:
    def running() -> float:
        text = httpx.get(f"{spawned.url}/metrics", trust_env=False).text
        return float(re.findall(r"^vllm:num_requests_running\{.*?\} (\S+)", text, re.MULTILINE)[0])

    async def until(count: float) -> None:
        async with asyncio.timeout(20):
            while True:
                if running() == count:
                    return
                await asyncio.sleep(0.05)

    request = asyncio.create_task(
        engine.generate(ASK, model=None, n=1, sampling=Sampling(max_tokens=1000, temperature=1.9), seed=0)
    )
    await until(1.0)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    await until(0.0)


async def test_three_adapters_on_two_slots_wait_and_answer(
    engine: VLLMEngine, tiny_adapter: Any, smollm2: Path
) -> None:
    names = ["three-a", "three-b", "three-c"]
    for seed, name in enumerate(names):
        await engine.load(name, tiny_adapter(name, seed + 5, 0.05, base=smollm2))
    said = await asyncio.gather(*(say(engine, name) for name in names))
    assert len(set(said)) == 3
    for name in names:
        await engine.unload(name)
