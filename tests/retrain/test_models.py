"""Bases and adapters: what loads, what is refused, and what an adapter on disk looks like."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from picktune.errors import AdapterCorrupt, EngineDown
from picktune_adapters.check import check_adapter
from picktune_retrain import models
from picktune_retrain.records import Recipe
from safetensors.torch import load_file, save_file

FP32 = Recipe(dtype="float32", rank=4)


def with_adapter(base: Path, recipe: Recipe = FP32, *, trained: bool = True) -> models.Model:
    model = models.load(base, recipe)
    models.add_adapter(model, recipe)
    if trained:
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for weight in model.parameters().values():
                weight.normal_(0.0, 0.2, generator=generator)
    return model


def logits(model: models.Model) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = model.network(input_ids=torch.arange(30)[None]).logits
    return result


def test_every_linear_layer_but_the_head_gets_a_matrix_pair_in_fp32(tiny_model: Path) -> None:
    weights = with_adapter(tiny_model, Recipe(dtype="bfloat16")).parameters()
    layers = {name.rsplit(".lora_", 1)[0].rsplit(".", 1)[1] for name in weights}
    assert layers == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert len(weights) == 2 * 7 * 2
    assert {weight.dtype for weight in weights.values()} == {torch.float32}


def test_an_untrained_adapter_is_the_base_and_its_start_follows_the_seed(tiny_model: Path) -> None:
    state = torch.random.get_rng_state()
    one, same, other = (
        with_adapter(tiny_model, Recipe(dtype="float32", seed=seed), trained=False) for seed in (0, 0, 1)
    )
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(logits(one), logits(models.load(tiny_model, FP32)))
    name = next(name for name in one.parameters() if "lora_A" in name)
    assert torch.equal(one.parameters()[name], same.parameters()[name])
    assert not torch.equal(one.parameters()[name], other.parameters()[name])


def test_a_saved_adapter_comes_back_and_passes_the_registrys_own_check(
    tiny_model: Path, tmp_path: Path
) -> None:
    model = with_adapter(tiny_model)
    models.save_adapter(model, tmp_path / "v1")
    check_adapter(tmp_path / "v1", base=tiny_model)
    assert sorted(path.name for path in (tmp_path / "v1").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    again = models.load(tiny_model, FP32)
    models.load_adapter(again, tmp_path / "v1")
    assert torch.equal(logits(again), logits(model))
    assert not torch.allclose(logits(again), logits(models.load(tiny_model, FP32)), atol=0.1)


def test_the_configuration_is_what_vllm_takes_and_the_same_every_time(
    tiny_model: Path, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        models.save_adapter(with_adapter(tiny_model), tmp_path / name)
    text = (tmp_path / "a" / "adapter_config.json").read_text("utf-8")
    config = json.loads(text)
    assert config["base_model_name_or_path"] == str(tiny_model)
    assert (config["peft_type"], config["task_type"]) == ("LORA", "CAUSAL_LM")
    assert (config["r"], config["lora_alpha"], config["bias"]) == (4, 32, "none")
    assert not config["use_dora"]
    assert not config["use_rslora"]
    assert config["modules_to_save"] is None
    assert text == (tmp_path / "b" / "adapter_config.json").read_text("utf-8")
    weights = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("a", "b")]
    assert weights[0] == weights[1]


def test_adapters_that_do_not_fit_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    good = tmp_path / "good"
    models.save_adapter(with_adapter(tiny_model), good)

    def refused(folder: Path) -> None:
        with pytest.raises(AdapterCorrupt, match=folder.name):
            models.load_adapter(models.load(tiny_model, FP32), folder)

    refused(tmp_path / "missing")
    for name, broken in (("cut", b"\0" * 20), ("empty", b"")):
        shutil.copytree(good, tmp_path / name)
        (tmp_path / name / "adapter_model.safetensors").write_bytes(broken)
        refused(tmp_path / name)
    weights = load_file(good / "adapter_model.safetensors")
    shutil.copytree(good, tmp_path / "shapes")
    save_file(
        {key: w[:, :3].contiguous() for key, w in weights.items()},
        tmp_path / "shapes" / "adapter_model.safetensors",
    )
    refused(tmp_path / "shapes")


def test_bases_that_are_no_chat_models_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineDown, match="cannot be loaded"):
        models.load(tmp_path / "nowhere", FP32)
    shutil.copytree(tiny_model, tmp_path / "mute")
    (tmp_path / "mute" / "chat_template.jinja").unlink()
    with pytest.raises(EngineDown, match="no chat template"):
        models.load(tmp_path / "mute", FP32)


def test_a_while_in_fp32_changes_no_bit(tiny_model: Path) -> None:
    model = models.load(tiny_model, Recipe(dtype="bfloat16"))
    before = {name: p.clone() for name, p in model.network.named_parameters()}
    with models.float32(model):
        assert {p.dtype for p in model.network.parameters()} == {torch.float32}
    for name, p in model.network.named_parameters():
        assert p.dtype == torch.bfloat16
        assert torch.equal(p, before[name])


def test_the_type_is_bf16_only_where_it_is_fast(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for fast in (True, False):
        capabilities: dict[str, Any] = {"avx512_bf16": fast, "amx_bf16": False}
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=capabilities: found)
        expected = torch.bfloat16 if fast or torch.cuda.is_available() else torch.float32
        assert models.load(tiny_model, Recipe()).dtype == expected


def test_without_torch_the_error_is_the_command_that_mends_it() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from picktune.errors import MissingExtra\n"
        "try: import picktune_retrain.train\n"
        "except MissingExtra as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'picktune[retrain]'" in done.stdout
