from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from picktune.engines.local import LocalEngine
from picktune.errors import AdapterCorrupt, EngineBusy, EngineDown, EngineError
from picktune.records import Message, Sampling

pytestmark = pytest.mark.anyio

WARM = Sampling(temperature=1.0, top_p=0.95, max_tokens=20)
GREEDY = Sampling(temperature=0.0, max_tokens=20)
LONG = Sampling(temperature=1.0, max_tokens=1500)


def ask(text: str = "Where is my parcel?") -> list[Message]:
    return [Message(role="system", content="Be kind."), Message(role="user", content=text)]


Start = Callable[..., Awaitable[LocalEngine]]


@pytest.fixture
async def start(tiny_model: Path) -> AsyncIterator[Start]:
    engines: list[LocalEngine] = []

    async def make(model: Path = tiny_model, **options: Any) -> LocalEngine:
        engine = LocalEngine(model, **({"dtype": "float32"} | options))
        engines.append(engine)
        await engine.start()
        return engine

    yield make
    for engine in engines:
        await engine.close()


async def say(engine: LocalEngine, text: str = "Where is my parcel?", **options: Any) -> list[str]:
    given: dict[str, Any] = {"model": None, "n": 1, "sampling": WARM, "seed": 1} | options
    return [reply.text for reply in await engine.generate(ask(text), **given)]


async def test_a_reply_does_not_depend_on_its_company(start: Start, tiny_adapter: Any) -> None:
    engine = await start()
    await engine.load("v1", tiny_adapter("v1", 1))
    alone = await say(engine, n=3, seed=5)
    tuned = await say(engine, n=2, seed=5, model="v1")
    # Other prompts and lengths, other arms, other sampling; some begin while the first are under way.
    company = [
        asyncio.create_task(
            say(
                engine,
                "long " * (7 * i) + str(i),
                n=1 + i % 3,
                seed=i,
                model="v1" if i % 2 else None,
                sampling=Sampling(temperature=0.1 * i, top_p=0.5 + 0.05 * i, max_tokens=4 + 5 * i),
            )
        )
        for i in range(10)
    ]
    beside = [asyncio.create_task(say(engine, n=3, seed=5))]
    await asyncio.sleep(0.05)
    beside.append(asyncio.create_task(say(engine, n=3, seed=5)))
    late = asyncio.create_task(say(engine, n=2, seed=5, model="v1"))
    assert [await task for task in beside] == [alone, alone]
    assert await late == tuned
    await asyncio.gather(*company)


async def test_the_first_replies_do_not_depend_on_how_many_are_asked(start: Start) -> None:
    engine = await start()
    assert (await say(engine, n=4, seed=2))[:2] == await say(engine, n=2, seed=2)


async def test_adapters_say_what_peft_says(start: Start, tiny_model: Path, tiny_adapter: Any) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folders = {"v1": tiny_adapter("v1", 1, rank=4), "v2": tiny_adapter("v2", 2, rank=16)}
    engine = await start()
    for name, folder in folders.items():
        await engine.load(name, folder)
    ours = await asyncio.gather(*(say(engine, model=name, sampling=GREEDY) for name in (None, *folders)))

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    chat = [{"role": message.role, "content": message.content} for message in ask()]
    prompt = tokenizer.apply_chat_template(
        chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    theirs = []
    for name in (None, *folders):
        model: Any = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
        if name:
            model = PeftModel.from_pretrained(model, str(folders[name]))
        ids = model.generate(**prompt, max_new_tokens=20, do_sample=False)[0]
        theirs.append([tokenizer.decode(ids[prompt["input_ids"].shape[1] :], skip_special_tokens=True)])
    assert ours == theirs
    assert len({text for (text,) in ours}) == 3


async def test_more_replies_than_a_batch_has_rows(start: Start) -> None:
    narrow, wide = await start(batch=2), await start(batch=32)
    assert await say(narrow, n=7) == await say(wide, n=7)


async def test_a_full_queue_is_busy_at_once_and_says_when_to_come_back(start: Start) -> None:
    engine = await start(queue=2, batch=1)
    running = asyncio.create_task(say(engine, sampling=LONG))
    await asyncio.sleep(0.3)
    waiting = [asyncio.create_task(say(engine, seed=i)) for i in range(2)]
    await asyncio.sleep(0.1)
    before = time.perf_counter()
    assert engine.waiting == 2
    with pytest.raises(EngineBusy, match="2 requests are waiting") as raised:
        await say(engine)
    assert time.perf_counter() - before < 0.1
    assert raised.value.retry_after > 0
    await asyncio.gather(running, *waiting)
    assert await say(engine)


async def test_the_event_loop_goes_on_while_the_model_works(start: Start) -> None:
    engine = await start()
    request = asyncio.create_task(say(engine, n=8, sampling=Sampling(max_tokens=200)))
    turns = 0
    while not request.done():
        await asyncio.sleep(0.002)
        turns += 1
    assert turns > 20


async def test_who_goes_away_makes_room(start: Start) -> None:
    engine = await start(queue=1, batch=1)
    running = asyncio.create_task(say(engine, sampling=LONG))
    await asyncio.sleep(0.3)
    waiting = asyncio.create_task(say(engine, sampling=LONG))
    await asyncio.sleep(0.1)
    for task in (waiting, running):
        task.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    # Neither the one that waited nor the one that ran holds its place: this is not behind 3000 tokens.
    assert await asyncio.wait_for(say(engine), 5.0)
    assert len(engine._waiting) == 0


async def test_whoever_waits_hears_that_the_engine_was_closed(start: Start) -> None:
    engine = await start(batch=1)
    requests = [asyncio.create_task(say(engine, seed=i, sampling=LONG)) for i in range(3)]
    await asyncio.sleep(0.3)
    await engine.close()
    for answer in await asyncio.gather(*requests, return_exceptions=True):
        assert isinstance(answer, EngineDown)
    assert not await engine.ready()
    with pytest.raises(EngineDown, match="not running"):
        await say(engine)
    await engine.close()


async def test_an_engine_that_was_not_started_says_so(tiny_model: Path) -> None:
    engine = LocalEngine(tiny_model)
    assert not await engine.ready()
    with pytest.raises(EngineDown, match="start it first"):
        await say(engine)
    await engine.close()


async def test_starting_twice_loads_once(start: Start) -> None:
    engine = await start()
    await asyncio.gather(engine.start(), engine.start())
    assert await engine.ready()


async def test_no_replies_are_no_work(start: Start) -> None:
    assert await say(await start(), n=0) == []


@pytest.mark.parametrize("text", ["", "\x00\x01", "🙂" * 3000, "\ud800", "a" * 1_000_000])
async def test_any_text_is_answered(start: Start, text: str) -> None:
    engine = await start()
    assert len(await say(engine, text, sampling=Sampling(max_tokens=4))) == 1


async def test_more_tokens_than_the_context_holds(start: Start) -> None:
    engine = await start()
    replies = await engine.generate(
        ask("x" * 4000), model=None, n=1, sampling=Sampling(max_tokens=8192), seed=1
    )
    assert 1 <= replies[0].tokens <= 2048


async def test_an_adapter_that_overflows_fails_alone(start: Start, tiny_adapter: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "huge"
    shutil.copytree(tiny_adapter("huge", 3), folder)
    weights = load_file(folder / "adapter_model.safetensors")
    # Finite, so that the check of the files lets it pass; the sums are not.
    save_file({key: value * 1e30 for key, value in weights.items()}, folder / "adapter_model.safetensors")
    engine = await start()
    alone = await say(engine)
    await engine.load("huge", folder)
    broken, beside = await asyncio.gather(say(engine, model="huge"), say(engine), return_exceptions=True)
    assert isinstance(broken, EngineError)
    assert "huge" in str(broken)
    assert beside == alone
    assert await say(engine) == alone


async def test_an_adapter_for_another_base_is_refused(
    start: Start, tiny_adapter: Any, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "other"
    shutil.copytree(tiny_adapter("other", 3), folder)
    weights = load_file(folder / "adapter_model.safetensors")
    renamed = {key.replace("layers.1.", "layers.9."): value for key, value in weights.items()}
    save_file(renamed, folder / "adapter_model.safetensors")
    engine = await start()
    with pytest.raises(AdapterCorrupt):
        await engine.load("other", folder)
    assert await engine.loaded() == []


async def test_loading_at_once_loads_once(start: Start, tiny_adapter: Any) -> None:
    engine = await start()
    folder = tiny_adapter("v1", 1)
    await asyncio.gather(*(engine.load("v1", folder) for _ in range(4)))
    assert await engine.loaded() == ["v1"]


@pytest.mark.parametrize("kind", ["missing", "empty", "broken"])
async def test_a_model_that_cannot_be_loaded_names_itself(
    tiny_model: Path, tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "model"
    if kind == "empty":
        folder.mkdir()
    elif kind == "broken":
        shutil.copytree(tiny_model, folder)
        (folder / "model.safetensors").write_bytes(b"not weights")
    engine = LocalEngine(folder)
    with pytest.raises(EngineDown, match=r"cannot be loaded.*name a folder"):
        await engine.start()
    assert not await engine.ready()
    await engine.close()


async def test_a_model_without_a_chat_template_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(EngineDown, match="no chat template"):
        await LocalEngine(folder).start()


async def test_bfloat16_works_too(start: Start, tiny_adapter: Any) -> None:
    engine = await start(dtype="bfloat16")
    await engine.load("v1", tiny_adapter("v1", 1))
    base, tuned = await asyncio.gather(say(engine, n=2), say(engine, n=2, model="v1"))
    assert len({*base, *tuned}) == 4


def test_without_torch_the_message_is_the_command_that_mends_it(tmp_path: Path) -> None:
    # In a process of its own, where torch cannot be found.
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')")
    code = """
import asyncio
from picktune.engines import create_engine
from picktune.engines.local import LocalEngine
from picktune.errors import MissingExtra
try:
    asyncio.run(LocalEngine("anywhere").start())
except MissingExtra as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "pip install 'picktune[local]'" in done.stdout
