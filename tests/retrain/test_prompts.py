"""Prompt tuning, P-tuning and prefix tuning: trained packed, the same in PEFT, and served beside the base."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from msgspec import structs
from picktune.engines.local import LocalEngine
from picktune.errors import AdapterCorrupt
from picktune.records import Message, Sampling
from picktune_adapters.check import check_adapter
from picktune_retrain import models
from picktune_retrain.choice import score
from picktune_retrain.encoding import encode
from picktune_retrain.errors import TrainingInterrupted
from picktune_retrain.records import Recipe, Step
from safetensors.torch import load_file, save_file

RECIPE = Recipe(dtype="float32", learning_rate=3e-2, batch=4, epochs=6, lam=0.0, virtual_tokens=8)
KINDS = {"prompt": "PROMPT_TUNING", "p-tuning": "P_TUNING", "prefix": "PREFIX_TUNING"}
# PEFT hands transformers its prefix under a name that is on its way out.
by_peft = pytest.mark.filterwarnings("ignore:`past_key_values` is deprecated:FutureWarning")
BRIEF = Sampling(temperature=0.0, max_tokens=12)


def _other() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "methods_of_tests", Path(__file__).with_name("test_methods.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


shared = _other()


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=sorted(KINDS))
def trained(
    request: pytest.FixtureRequest, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Recipe, Path]:
    recipe = structs.replace(RECIPE, method=request.param)
    folder = tmp_path_factory.mktemp("prompts") / request.param
    made = shared.run(tiny_model, folder, recipe)
    assert made.steps[-1].loss < made.steps[0].loss
    return recipe, folder


@by_peft
def test_it_learns_and_is_written_as_peft_reads_it(trained: tuple[Recipe, Path], tiny_model: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    recipe, folder = trained
    assert shared.accuracy(tiny_model, folder, recipe) > 0.75
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["peft_type"], config["num_virtual_tokens"]) == (KINDS[recipe.method], 8)

    # PEFT's own pass over each reply gives what our packed row gave.
    (one,) = shared.choice_sets(1, 300)
    row = encode(one, models.load(tiny_model, recipe).tokenizer, recipe)
    (scores,) = score([one], base_model=tiny_model, adapter=folder, recipe=recipe)
    assert scores.adapter != scores.base
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    peft = PeftModel.from_pretrained(base, str(folder)).eval()
    for expected, reply in zip(scores.adapter, row.replies, strict=True):
        ids = torch.tensor([[*row.prompt, *reply]])
        with torch.no_grad():
            logits = peft(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, -len(reply) - 1 : -1]
        found = logits.log_softmax(-1).gather(1, torch.tensor(reply)[:, None]).sum()
        assert float(found) == pytest.approx(expected, abs=2e-3)


@by_peft
def test_it_is_served_beside_the_base_in_one_batch(
    trained: tuple[Recipe, Path], tiny_model: Path, tiny_adapter: Any
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    _, folder = trained
    chats = [one.messages for one in shared.choice_sets(3, 50)] + [(Message(role="user", content="Hi"),)]

    async def serve() -> tuple[list[str], list[str]]:
        engine = LocalEngine(tiny_model, dtype="float32")
        await engine.start()
        try:
            await engine.load("p1", folder)
            await engine.load("l1", tiny_adapter("l1"))

            async def reply(chat: Any, model: str | None) -> str:
                (one,) = await engine.generate(chat, model=model, n=1, sampling=BRIEF, seed=1)
                return one.text

            jobs = [(chat, model) for chat in chats for model in (None, "p1", "l1")]
            together = await asyncio.gather(*(reply(*job) for job in jobs))
            alone = [await reply(*job) for job in jobs]
            return list(together), alone
        finally:
            await engine.close()

    together, alone = asyncio.run(serve())
    assert together == alone
    assert together[1::3] != together[0::3]
    # The words are those of PEFT's own generation.
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    peft = PeftModel.from_pretrained(base, str(folder)).eval()
    chat = [{"role": m.role, "content": m.content} for m in chats[0]]
    ids = list(tokenizer(tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False),
                         add_special_tokens=False)["input_ids"])  # fmt: skip
    said: list[int] = []
    while len(said) < 12 and (not said or said[-1] != tokenizer.eos_token_id):
        now = torch.tensor([[*ids, *said]])
        with torch.no_grad():
            said.append(int(peft(input_ids=now, attention_mask=torch.ones_like(now)).logits[0, -1].argmax()))
    assert tokenizer.decode(said, skip_special_tokens=True).rstrip("\ufffd") == together[1]


def test_a_stopped_one_goes_on_to_the_same_tokens(
    trained: tuple[Recipe, Path], tiny_model: Path, tmp_path: Path
) -> None:
    recipe, folder = trained
    seen: list[Step] = []
    with pytest.raises(TrainingInterrupted):
        shared.run(
            tiny_model, tmp_path / "v1", recipe, state=tmp_path / "state",
            progress=seen.append, should_stop=lambda: len(seen) >= 5,
        )  # fmt: skip
    shared.run(tiny_model, tmp_path / "v1", recipe, state=tmp_path / "state")
    weights = [(one / "adapter_model.safetensors").read_bytes() for one in (folder, tmp_path / "v1")]
    assert weights[0] == weights[1]


def test_only_the_local_engine_takes_it_and_that_is_said(
    trained: tuple[Recipe, Path], tiny_model: Path, tmp_path: Path
) -> None:
    _, folder = trained
    with pytest.raises(AdapterCorrupt, match="only the local engine serves"):  # what vLLM asks
        check_adapter(folder, base=tiny_model)
    tensors = load_file(folder / "adapter_model.safetensors")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "adapter_config.json").write_bytes((folder / "adapter_config.json").read_bytes())
    for tensor, words in (
        (tensors["prompt_embeddings"][:, :5].contiguous(), "train it on the model"),
        (tensors["prompt_embeddings"] * torch.nan, "not finite"),
    ):
        save_file({"prompt_embeddings": tensor}, broken / "adapter_model.safetensors")

        async def load() -> None:
            engine = LocalEngine(tiny_model, dtype="float32")
            await engine.start()
            try:
                await engine.load("p1", broken)
            finally:
                await engine.close()

        with pytest.raises(AdapterCorrupt, match=words):
            asyncio.run(load())
