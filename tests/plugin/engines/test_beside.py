"""A checkpoint as a further model in the embedded engine, beside the base, LoRA and prompt adapters."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import torch
from picktune.engines.canary import Scoring, check_canary
from picktune.engines.integrity import check_integrity
from picktune.engines.local import LocalEngine
from picktune.engines.network import Network
from picktune.errors import AdapterCorrupt, AdapterNotFound, EngineDown, EngineError
from picktune.records import Message, Sampling
from picktune_adapters.probes import Probe
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

pytestmark = pytest.mark.anyio

ASK = [Message(role="user", content="Where is my parcel?")]
GREEDY = Sampling(temperature=0.0, max_tokens=12)
WARM = Sampling(temperature=1.0, max_tokens=200)


@pytest.fixture(scope="module")
def checkpoint(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with other weights."""
    folder = shutil.copytree(tiny_model, tmp_path_factory.mktemp("own") / "checkpoint")
    generator = torch.Generator().manual_seed(3)
    tensors = {
        name: weight + 0.1 * torch.randn(weight.shape, generator=generator)
        for name, weight in load_file(folder / "model.safetensors").items()
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture
def prompt(tiny_model: Path, tmp_path: Path) -> Path:
    """A prompt adapter of four virtual tokens."""
    folder = tmp_path / "prompt"
    folder.mkdir()
    values = torch.randn((4, 64), generator=torch.Generator().manual_seed(5))
    save_file({"prompt_embeddings": values}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "PROMPT_TUNING"}))
    return folder


@pytest.fixture
async def engine(tiny_model: Path) -> AsyncIterator[LocalEngine]:
    one = LocalEngine(tiny_model, dtype="float32")
    await one.start()
    yield one
    await one.close()


async def say(engine: LocalEngine, model: str | None = None, sampling: Sampling = GREEDY) -> str:
    (reply,) = await engine.generate(ASK, model=model, n=1, sampling=sampling, seed=4)
    return reply.text


async def test_base_checkpoint_lora_and_prompt_answer_at_once(
    engine: LocalEngine, checkpoint: Path, prompt: Path, tiny_adapter: Any
) -> None:
    await engine.load("own", checkpoint)
    await engine.load("own", checkpoint)
    await engine.load("lora", tiny_adapter("lora"))
    await engine.load("prompt", prompt)
    assert await engine.loaded() == ["lora", "own", "prompt"]
    names = (None, "own", "lora", "prompt")
    alone = [await say(engine, name) for name in names]
    assert len(set(alone)) == 4
    together = await asyncio.gather(*(say(engine, name) for name in (*names, *names)))
    assert together == alone * 2
    by_itself = LocalEngine(checkpoint, dtype="float32")
    await by_itself.start()
    assert await say(by_itself) == alone[1]
    await by_itself.close()
    for name in names[1:]:
        assert name is not None
        await check_integrity(engine, name)
    with pytest.raises(AdapterNotFound, match="registered: lora, own, prompt"):
        await say(engine, "v9")


async def test_likelihoods_are_those_of_transformers(
    engine: LocalEngine, tiny_model: Path, checkpoint: Path, prompt: Path
) -> None:
    await engine.load("own", checkpoint)
    await engine.load("prompt", prompt)
    ids = list(range(40, 60))
    for name, folder in ((None, tiny_model), ("own", checkpoint)):
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
        wanted = logits.gather(-1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()
        assert await engine.log_probs(ids, model=name) == pytest.approx(wanted, abs=1e-4)
    with torch.no_grad():
        base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
        learned = load_file(prompt / "adapter_model.safetensors")["prompt_embeddings"]
        rows = torch.cat([learned, base.get_input_embeddings()(torch.tensor(ids))])[None]
        logits = base(inputs_embeds=rows).logits[0, 4:-1].log_softmax(-1)
    wanted = logits.gather(-1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()
    assert await engine.log_probs(ids, model="prompt") == pytest.approx(wanted, abs=1e-4)
    text = await engine.log_probs("Hello there", model=None)
    assert len(text) == len("Hello there") - 1
    with pytest.raises(EngineError, match="more than the 2048 of the model's context"):
        await engine.log_probs([40] * 3000, model=None)
    busy = asyncio.create_task(say(engine, None, WARM))
    assert await engine.log_probs("Hello there", model=None) == pytest.approx(text, abs=1e-4)
    await busy


async def test_the_canary_knows_a_checkpoint(engine: LocalEngine, tiny_model: Path, checkpoint: Path) -> None:
    await engine.load("own", checkpoint)
    await engine.load("same", tiny_model)
    assert isinstance(engine, Scoring)
    ids = tuple(range(40, 60))
    base, tuned = await engine.log_probs(ids, model=None), await engine.log_probs(ids, model="own")
    sound = Probe(prompt=ids[:5], reply=ids[5:], base=tuple(base[4:]), tuned=tuple(tuned[4:]))
    await check_canary(engine, "own", [sound])
    await check_canary(engine, "own", None)
    with pytest.raises(AdapterCorrupt, match="changes nothing"):
        await check_canary(engine, "same", None)
    other = Probe(prompt=ids[:5], reply=ids[5:], base=tuple(tuned[4:]), tuned=tuple(base[4:]))
    with pytest.raises(AdapterCorrupt, match="of what adapter 'own' learned arrives"):
        await check_canary(engine, "own", [other])


async def test_a_checkpoint_that_is_dropped_answers_who_asked_before(
    engine: LocalEngine, checkpoint: Path
) -> None:
    await engine.load("own", checkpoint)
    asked = asyncio.create_task(say(engine, "own", WARM))
    await asyncio.sleep(0.05)
    await engine.unload("own")
    assert await engine.loaded() == []
    with pytest.raises(AdapterNotFound):
        await say(engine, "own")
    assert await asked
    await engine.load("own", checkpoint)
    assert await say(engine, "own")
    waiting = asyncio.create_task(say(engine, "own", Sampling(temperature=1.0, max_tokens=1500)))
    await asyncio.sleep(0.05)
    await engine.close()
    with pytest.raises(EngineDown):
        await waiting


async def test_a_checkpoint_is_served_in_the_precision_that_it_was_trained_in(
    tiny_model: Path, checkpoint: Path
) -> None:
    for asked, served in (("auto", "float32"), ("bfloat16", "bfloat16"), ("float32", "float32")):
        engine = LocalEngine(tiny_model, dtype=asked)  # type: ignore[arg-type]
        assert engine._like_this(checkpoint).dtype == served


async def test_a_checkpoint_that_cannot_be_served_says_why(
    engine: LocalEngine, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = shutil.copytree(checkpoint, tmp_path / "other")
    tensors = load_file(other / "model.safetensors")
    tensors["model.norm.weight"] = torch.ones(7)
    save_file(tensors, other / "model.safetensors")
    with pytest.raises(AdapterCorrupt, match=r"model.norm.weight has the shape \(7,\), and in the base"):
        await engine.load("other", other)
    mute = shutil.copytree(checkpoint, tmp_path / "mute")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (mute / name).unlink()
    for file in mute.glob("chat_template*"):
        file.unlink()
    with pytest.raises(AdapterCorrupt, match="checkpoint 'mute' does not load"):
        await engine.load("mute", mute)
    monkeypatch.setattr(Network, "free_memory", lambda self: 1000)
    with pytest.raises(EngineError, match=r"GiB beside the base, and 0\.00 are free; give the server more"):
        await engine.load("own", checkpoint)
    assert await engine.loaded() == []
    assert await say(engine)
