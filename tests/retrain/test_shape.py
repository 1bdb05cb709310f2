"""Shapes counted from a configuration alone, beside the networks that transformers builds from it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from picktune.errors import EngineDown, InvalidInput
from picktune_retrain.metashape import built
from picktune_retrain.shape import shape

# What the makers publish: the file in part, the parameters as counted by others.
PUBLISHED = {
    "Llama 2 7B": (
        {"model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
         "num_attention_heads": 32, "vocab_size": 32000},
        6_738_415_616,
    ),
    "Llama 3.2 1B": (
        {"model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
         "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 128256,
         "tie_word_embeddings": True},
        1_235_814_400,
    ),
    "Mistral 7B": (
        {"model_type": "mistral", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
         "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32000},
        7_241_732_096,
    ),
    "Qwen2.5 7B": (
        {"model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
         "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064},
        7_615_616_512,
    ),
    "Qwen3 0.6B": (
        {"model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28,
         "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
         "tie_word_embeddings": True},
        596_049_920,
    ),
    "Gemma 2B": (
        {"model_type": "gemma", "hidden_size": 2048, "intermediate_size": 16384, "num_hidden_layers": 18,
         "num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 256, "vocab_size": 256000},
        2_506_172_416,
    ),
    "Gemma 2 2B": (
        {"model_type": "gemma2", "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
         "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 256000},
        2_614_341_888,
    ),
    "ChatGLM3 6B": (
        {"model_type": "chatglm", "hidden_size": 4096, "ffn_hidden_size": 13696, "num_layers": 28,
         "num_attention_heads": 32, "multi_query_attention": True, "multi_query_group_num": 2,
         "kv_channels": 128, "padded_vocab_size": 65024, "add_qkv_bias": True, "add_bias_linear": False},
        6_243_584_000,
    ),
}  # fmt: skip

SIZES = {
    "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 6,
    "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 130, "pad_token_id": 0, "eos_token_id": 1,
}  # fmt: skip
FAMILIES = (
    "llama", "mistral", "qwen2", "qwen3", "phi3", "gemma", "gemma2", "gemma3_text", "glm", "glm4", "smollm3",
)  # fmt: skip


def write(folder: Path, config: object) -> Path:
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return folder


@pytest.mark.parametrize("name", PUBLISHED)
def test_well_known_models_have_as_many_parameters_as_is_said(name: str, tmp_path: Path) -> None:
    config, parameters = PUBLISHED[name]
    assert shape(write(tmp_path, config)).parameters == parameters


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "extra", [{}, {"tie_word_embeddings": True}, {"attention_bias": True, "mlp_bias": True}]
)
def test_arithmetic_agrees_with_the_network_itself(
    family: str, extra: dict[str, Any], tmp_path: Path
) -> None:
    from transformers import AutoConfig

    sizes = {
        key: value for key, value in SIZES.items() if family not in ("qwen2", "phi3") or key != "head_dim"
    }
    AutoConfig.for_model(family, **sizes, **extra).save_pretrained(tmp_path)
    counted, real = shape(tmp_path), built(tmp_path / "config.json")
    names = set(counted.__struct_fields__) - {"norms", "head_norms", "written_out"}
    assert {n: getattr(counted, n) for n in names} == {n: getattr(real, n) for n in names}


@pytest.mark.parametrize("family", ["gpt2", "qwen3_moe", "olmo2", "mixtral"])
def test_other_families_are_built_without_memory(family: str, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(family, vocab_size=130, hidden_size=48, num_hidden_layers=2)
    config.save_pretrained(tmp_path)
    found = shape(tmp_path)
    if family == "gpt2":
        real = AutoModelForCausalLM.from_config(config)
        assert found.parameters == sum(p.numel() for p in real.parameters())
    assert (found.family, found.layers, found.vocabulary) == (family, 2, 130)
    assert 0 < found.linear < found.parameters
    assert 0 < found.outside < found.parameters


def test_the_adapter_has_as_many_parameters_as_peft_makes(tiny_model: Path, tmp_path: Path) -> None:
    from picktune_retrain import models
    from picktune_retrain.memory import Work, trained
    from picktune_retrain.records import Recipe
    from transformers import AutoConfig, AutoModelForCausalLM

    for family in ("llama", "phi3", "qwen3"):
        AutoConfig.for_model(family, **SIZES).save_pretrained(tmp_path)
        network = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tmp_path))
        network.requires_grad_(False)
        model = models.Model(name="m", network=network, tokenizer=None)
        models.add_adapter(model, Recipe(rank=4))
        real = sum(p.numel() for p in model.parameters().values())
        assert trained(shape(tmp_path), Work(rank=4)) == real


def test_no_torch_is_needed(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'peft', 'huggingface_hub'): sys.modules[name] = None\n"
        "from picktune_retrain.planner import plan\n"
        "plan(['--model', sys.argv[1], '--gpu', '24GB'])\n"
    )
    config, _ = PUBLISHED["Qwen2.5 7B"]
    command = [sys.executable, "-W", "error", "-c", code, str(write(tmp_path, config))]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "7,615,616,512 parameters" in done.stdout, done.stderr
    code = code.replace("'--model', sys.argv[1]", "'--model', 'nobody/nothing'")
    done = subprocess.run([*command[:4], code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "fetch its config.json" in done.stderr
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}', "utf-8")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "pip install 'picktune[retrain]'" in done.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no configuration"),
        (b"\xff\xfe{}", "no configuration"),
        (b'{"model_type": "ll\xffama"}', "UTF-8|no configuration"),
        (b"[1]", "no configuration"),
        (b"{}", "model_type"),
        (b'{"model_type": "llama", "hidden_size": -4}', "hidden_size"),
        (b'{"model_type": "llama", "hidden_size": "4096"}', "hidden_size"),
        (b'{"model_type": "llama", "hidden_size": 1e400}', "no configuration"),
        (b'{"model_type": "llama", "num_hidden_layers": 99999999999999999999}', "num_hidden_layers"),
        (b'{"model_type": "no-such-family"}', "cannot build"),
        (b'{"model_type": "mamba"}', "cannot build"),  # it has no heads
        (b'{"model_type": "t5"}', "cannot build"),  # no decoder alone
        (b'{"model_type": "gpt2", "n_layer": 9999999}', "more than 2000 layers"),
        (b'{"model_type": "llama", "num_hidden_layers": 2001}', "num_hidden_layers"),
        (
            b'{"model_type": "llama", "hidden_size": 4, "intermediate_size": 4, "num_hidden_layers": 1, '
            b'"num_attention_heads": 8, "vocab_size": 9}',
            "heads",
        ),
        (b'{"model_type": "llama", "x": "' + b"a" * 2**20 + b'"}', "larger than"),
        (b"[" * 200_000, "no configuration"),
    ],
)
def test_bad_configurations_are_refused(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=words):
        shape(path)


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    for name in (tmp_path, tmp_path / "other.json", "nobody/nothing", "no such model!", "a\x00b"):
        with pytest.raises(EngineDown, match=r"config\.json"):
            shape(name)


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')", "utf-8")
    write(
        tmp_path,
        {"model_type": "evil", "auto_map": {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}},
    )
    with pytest.raises(InvalidInput, match="cannot build"):
        shape(tmp_path)
    assert not (tmp_path / "ran").exists()
