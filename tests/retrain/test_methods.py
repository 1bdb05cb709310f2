"""Every method from the picks to the served model: what it trains, what it leaves alone, how it serves."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec import structs
from picktune.engines.local import LocalEngine
from picktune.errors import InvalidInput, MissingExtra
from picktune.records import ChoiceSet, Message, Sampling
from picktune_adapters.check import check_adapter
from picktune_retrain import methods, models
from picktune_retrain.choice import score
from picktune_retrain.curriculum import hardness
from picktune_retrain.encoding import EncodedSet
from picktune_retrain.errors import TrainingInterrupted
from picktune_retrain.evaluate import evaluate
from picktune_retrain.records import Recipe, Step
from picktune_retrain.train import train
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

NOW = datetime(2026, 11, 24, tzinfo=UTC)
OTHERS = ("Wait.", "No.", "Call us.", "See above.", "Later.", "Hm.")
LORA = Recipe(dtype="float32", rank=4, learning_rate=5e-3, batch=4, epochs=4, lam=0.0)
OWN = structs.replace(LORA, learning_rate=2e-3)
bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed (extra qlora)"
)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def choice_sets(count: int, start: int = 0) -> list[ChoiceSet]:
    sets = []
    for i in range(start, start + count):
        rng = random.Random(i)
        replies = [rng.choice(("Sorry! Which order?", "Sorry, which one?")), *rng.sample(OTHERS, 2)]
        rng.shuffle(replies)
        sets.append(
            ChoiceSet(
                slate_id=f"s{i}",
                conversation_id=f"c{i}",
                messages=(Message(role="user", content=f"Where is parcel {i}?"),),
                replies=tuple(replies),
                chosen=next(j for j, reply in enumerate(replies) if reply.startswith("Sorry")),
                annotator="a",
                role="agent",
                decided_at=NOW,
            )
        )
    return sets


def run(base: Path, folder: Path, recipe: Recipe, sets: int = 16, **options: Any) -> Any:
    return train(
        choice_sets(sets), dataset_id="d", base_model=base, recipe=recipe, folder=folder, now=NOW, **options
    )


def accuracy(base: Path, folder: Path, recipe: Recipe) -> float:
    unseen = choice_sets(12, 300)
    scores = score(unseen, base_model=base, adapter=folder, recipe=recipe)
    return evaluate(unseen, scores, beta=recipe.beta).adapter.accuracy


def reply_of(model: Path, adapter: Path | None = None) -> str:
    """What the embedded engine says, of a model or of an adapter on it."""

    async def serve() -> str:
        engine = LocalEngine(model, dtype="float32")
        await engine.start()
        try:
            if adapter is not None:
                await engine.load("v1", adapter)
            (one,) = await engine.generate(
                choice_sets(1)[0].messages,
                model="v1" if adapter else None,
                n=1,
                sampling=Sampling(temperature=0.0, max_tokens=16),
                seed=1,
            )
            return one.text
        finally:
            await engine.close()

    return asyncio.run(serve())


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_file(folder / "model.safetensors"))


def changed(base: Path, folder: Path) -> set[str]:
    before = weights(base)
    return {name for name, weight in weights(folder).items() if not torch.equal(weight, before[name])}


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("fields", "layers"),
    [
        ({"targets": "attention", "rank": 8}, {"q_proj", "k_proj", "v_proj", "o_proj"}),
        ({"targets": "mlp"}, {"gate_proj", "up_proj", "down_proj"}),
        ({"targets": "q_proj, v_proj", "rslora": True}, {"q_proj", "v_proj"}),
        ({"rank": 64, "alpha": 16, "rslora": True}, {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj",
                                                      "up_proj", "down_proj"}),
    ],
)  # fmt: skip
def test_lora_on_the_layers_that_are_named(
    tiny_model: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    fields: dict[str, Any],
    layers: set[str],
) -> None:
    recipe = structs.replace(LORA, **fields)
    run(tiny_model, tmp_path / "v1", recipe)
    assert not caplog.records  # packed
    config = json.loads((tmp_path / "v1" / "adapter_config.json").read_text())
    assert {name.rpartition(".")[2] for name in config["target_modules"]} == layers
    assert config["use_rslora"] == recipe.rslora
    assert check_adapter(tmp_path / "v1", base=tiny_model).rank == recipe.rank
    assert accuracy(tiny_model, tmp_path / "v1", recipe) > 0.8
    assert reply_of(tiny_model, tmp_path / "v1") != reply_of(tiny_model)


@pytest.mark.parametrize(
    ("fields", "trained"),
    [
        ({"method": "full"}, None),
        ({"method": "freeze", "thawed": "1"}, "model.layers.1."),
        ({"method": "freeze", "thawed": "lm_head, layers.1"}, ("model.layers.1.", "lm_head.")),
        ({"method": "progressive", "stages": 2}, None),
    ],
)
def test_methods_that_make_a_model_of_its_own(
    tiny_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, fields: dict[str, Any], trained: Any
) -> None:
    recipe = structs.replace(OWN, **fields)
    run(tiny_model, tmp_path / "v1", recipe)
    assert not caplog.records
    found = changed(tiny_model, tmp_path / "v1")
    if trained is None:
        assert found == set(weights(tiny_model))
    else:
        assert found == {name for name in weights(tiny_model) if name.startswith(trained)}
    assert accuracy(tiny_model, tmp_path / "v1", recipe) > 0.8
    assert reply_of(tmp_path / "v1") != reply_of(tiny_model)
    # Anybody's transformers reads it.
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "v1")
    assert model.config._attn_implementation == "sdpa"
    assert not list(tmp_path.glob(".tmp*"))


@pytest.mark.parametrize("method", ["full", "freeze", "progressive"])
def test_a_stopped_one_goes_on_to_the_same_model(tiny_model: Path, tmp_path: Path, method: Any) -> None:
    recipe = structs.replace(OWN, method=method, epochs=2)
    run(tiny_model, tmp_path / "whole", recipe)
    seen: list[Step] = []
    for limit in (2, 5):
        with pytest.raises(TrainingInterrupted):
            run(
                tiny_model, tmp_path / "parts", recipe, state=tmp_path / "state",
                progress=seen.append, should_stop=lambda limit=limit: len(seen) >= limit,
            )  # fmt: skip
    run(tiny_model, tmp_path / "parts", recipe, state=tmp_path / "state", progress=seen.append)
    assert len(seen) == 8
    assert digest(tmp_path / "parts") == digest(tmp_path / "whole")


def test_progressive_thaws_from_the_top_and_goes_from_plain_to_hard(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = models.load(tiny_model, structs.replace(OWN, method="progressive"))
    methods.prepare(model, structs.replace(OWN, method="progressive"))
    parameters = model.parameters()

    def thawed(stage: int) -> set[str]:
        methods.thaw_stage(parameters, stage, 2)
        return {name.split(".0.")[0].split(".1.")[0] for name in model.parameters()}

    assert thawed(1) == {"model.layers", "model.norm.weight", "lm_head.weight"}
    assert not any(".layers.0." in name for name in model.parameters())
    assert "model.embed_tokens.weight" in thawed(2)
    assert [methods.stage_of(n, 6, 3) for n in range(1, 7)] == [1, 1, 2, 2, 3, 3]
    assert methods.stage_of(1, 1, 3) == 1

    plain = EncodedSet(slate_id="a", prompt=(1,), replies=((1,), (2, 3)), chosen=0)
    assert hardness(plain, (-1.0, -8.0)) < hardness(plain, (-8.0, -1.0))
    assert hardness(structs_tied(plain), (-8.0, -1.0)) == 0.0

    # The first stage learns from the plainer half only.
    from picktune_retrain import losses

    learned: list[list[float]] = []
    before = losses.Losses.backward

    def note(self: Any, batch: Any) -> Any:
        learned.append([hardness(one, base) for row in batch for one, base in row])
        return before(self, batch)

    monkeypatch.setattr(losses.Losses, "backward", note)
    recipe = structs.replace(OWN, method="progressive", stages=2, epochs=2)
    run(tiny_model, tmp_path / "v1", recipe)
    assert len(learned) == 8
    assert max(max(step) for step in learned[:4]) <= min(max(step) for step in learned[4:]) or max(
        max(step) for step in learned[:4]
    ) < max(max(step) for step in learned[4:])
    assert len({tuple(step) for step in learned[:4]}) == 2
    assert len({tuple(step) for step in learned[4:]}) == 4


def structs_tied(one: EncodedSet) -> EncodedSet:
    from dataclasses import replace

    return replace(one, tied=(0, 1))


@bitsandbytes
@pytest.mark.filterwarnings("ignore:MatMul8bitLt:UserWarning")
@pytest.mark.parametrize("quantised", ["nf4", "int8"])
def test_qlora_trains_on_a_quantised_base_and_is_served_on_the_whole_one(
    tiny_model: Path, tmp_path: Path, quantised: Any
) -> None:
    recipe = structs.replace(LORA, method="qlora", quantised=quantised)
    model = models.load(tiny_model, recipe)
    kinds = {type(m).__name__ for m in model.network.modules()}
    assert ("Linear4bit" if quantised == "nf4" else "Linear8bitLt") in kinds
    made = run(tiny_model, tmp_path / "v1", recipe)
    assert made.steps[-1].loss < made.steps[0].loss
    check_adapter(tmp_path / "v1", base=tiny_model)
    assert accuracy(tiny_model, tmp_path / "v1", recipe) > 0.8
    assert reply_of(tiny_model, tmp_path / "v1") != reply_of(tiny_model)
    again = run(tiny_model, tmp_path / "v2", recipe)
    assert [step.loss for step in again.steps] == [step.loss for step in made.steps]


def test_without_bitsandbytes_the_error_is_the_command_that_mends_it(tiny_model: Path) -> None:
    code = (
        "import sys; sys.modules['bitsandbytes'] = None\n"
        "import importlib.util; find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *a: None if name == 'bitsandbytes' else find(name, *a)\n"
        "from picktune.errors import MissingExtra\n"
        "from picktune_retrain import models; from picktune_retrain.records import Recipe\n"
        f"try: models.load({str(tiny_model)!r}, Recipe(method='qlora'))\n"
        "except MissingExtra as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'picktune[qlora]'" in done.stdout
    assert issubclass(MissingExtra, Exception)


def test_what_is_not_there_is_named(tiny_model: Path, tmp_path: Path) -> None:
    for fields, words in (
        ({"targets": "query"}, "q_proj"),
        ({"method": "freeze", "thawed": "3"}, "of 2 layers"),
        ({"method": "freeze", "thawed": "0"}, "of 2 layers"),
        ({"method": "freeze", "thawed": "layers.1,nose"}, "'nose'"),
        ({"method": "full", "dtype": "bfloat16"}, "float32"),
    ):
        with pytest.raises(InvalidInput, match=words):
            run(tiny_model, tmp_path / "v1", structs.replace(LORA, **fields), 4)  # type: ignore[arg-type]
    assert not (tmp_path / "v1").exists()
