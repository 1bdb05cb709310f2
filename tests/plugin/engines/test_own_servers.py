"""Behind vLLM a checkpoint has a server of its own: found, asked, refused and lost over real HTTP."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from picktune.engines.limits import VLLMLimits
from picktune.engines.vllm import VLLMEngine
from picktune.errors import AdapterCorrupt, AdapterNotFound, EngineDown, EngineError
from picktune.records import Message, Sampling
from safetensors.torch import load_file, save_file

pytestmark = pytest.mark.anyio

ASK = [Message(role="user", content="Where is my parcel?")]
QUICK = {"connect": 1.0, "attempts": 1}


@pytest.fixture
def checkpoint(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model under another path."""
    return shutil.copytree(tiny_model, tmp_path / "checkpoint")


def engine_of(*urls: str, checkpoints: tuple[str, ...] = ()) -> VLLMEngine:
    return VLLMEngine(*urls, limits=VLLMLimits(checkpoints=checkpoints, **QUICK))  # type: ignore[arg-type]


async def say(engine: Any, model: str | None = None) -> None:
    await engine.generate(ASK, model=model, n=1, sampling=Sampling(), seed=1)


def asked(server: Any) -> list[str]:
    return [body["model"] for body in server.seen()["bodies"] if "messages" in body]


async def test_a_checkpoint_is_asked_at_the_server_that_serves_it(
    upstreams: Callable[[int], list[Any]], tiny_model: Path, checkpoint: Path
) -> None:
    base, other, own = upstreams(3)
    base.does(model=str(tiny_model))
    other.does(model="/srv/yesterday")
    own.does(model=str(checkpoint))
    engine = engine_of(base.url, checkpoints=(other.url, own.url))
    await engine.start()
    assert await engine.loaded() == []
    with pytest.raises(AdapterNotFound):
        await say(engine, "v1")
    await engine.load("v1", checkpoint)
    assert await engine.loaded() == ["v1"]
    await say(engine, "v1")
    await say(engine)
    await engine.forward([{"role": "user", "content": "Hi"}], {"n": 1}, model="v1")
    answer = await engine.stream([{"role": "user", "content": "Hi"}], {"n": 1}, model="v1")
    await answer.aclose()
    assert (asked(base), asked(other), asked(own)) == (["served"], [], ["served"] * 3)
    # What is drawn together goes to both, whichever of the base's servers is looked at alone.
    (speaker,) = engine.speakers()
    await say(speaker, "v1")
    assert asked(own) == ["served"] * 4
    assert [one.url for one in engine.replicas] == [base.url, other.url, own.url]
    assert base.seen()["adapters"] == {}

    own.does(model="/srv/tomorrow")
    assert await engine.loaded() == []
    own.kill()
    assert await engine.loaded() == []
    with pytest.raises(EngineDown):
        await say(engine, "v1")
    await say(engine)
    own.start()
    own.until_up()
    own.does(model=str(checkpoint))
    assert await engine.loaded() == ["v1"]
    await engine.unload("v1")
    assert await engine.loaded() == []
    with pytest.raises(AdapterNotFound):
        await say(engine, "v1")
    await engine.close()


async def test_what_vllm_cannot_serve_is_refused_in_words(
    upstreams: Callable[[int], list[Any]], tiny_model: Path, checkpoint: Path, tmp_path: Path
) -> None:
    base, other = upstreams(2)
    base.does(model=str(tiny_model))
    engine = engine_of(base.url)
    await engine.start()
    with pytest.raises(EngineError, match=r"none for 'v1' \(the setting vllm.checkpoints names no server\)"):
        await engine.load("v1", checkpoint)
    await engine.close()

    other.does(model="/srv/yesterday")
    gone = "http://127.0.0.1:9"
    engine = engine_of(base.url, checkpoints=(other.url, gone))
    await engine.start()
    with pytest.raises(EngineError, match=r"vllm serve .*checkpoint --served-model-name v1") as caught:
        await engine.load("v1", checkpoint)
    assert "it serves /srv/yesterday" in caught.value.message
    assert f"{gone}: vLLM at {gone} cannot be reached" in caught.value.message

    prompt = tmp_path / "prompt"
    prompt.mkdir()
    save_file({"prompt_embeddings": torch.ones((4, 64))}, prompt / "adapter_model.safetensors")
    (prompt / "adapter_config.json").write_text(json.dumps({"peft_type": "PREFIX_TUNING"}))
    with pytest.raises(AdapterCorrupt, match="only the local engine serves, and not vLLM"):
        await engine.load("v2", prompt)

    other.does(model=str(checkpoint))
    tensors = load_file(checkpoint / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, checkpoint / "model.safetensors")
    with pytest.raises(AdapterCorrupt, match=r"lacks model.norm.weight"):
        await engine.load("v1", checkpoint)
    assert await engine.loaded() == []
    await engine.close()
