"""The planned peak beside the measured one: the real trainer in a process of its own, on a CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "bench" / "planned_memory.py"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def compare(*arguments: object) -> dict[str, Any]:
    """The script's only result, above the planned and the measured bytes."""
    command = [sys.executable, str(SCRIPT), *map(str, arguments), "--steps", "2"]
    # Coverage would follow into the process whose memory is measured.
    environ = {key: value for key, value in os.environ.items() if not key.startswith("COV")}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout.splitlines()[-1])
    return dict(result)


@pytest.fixture(scope="module")
def hundred_million(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of 85 million parameters with the tiny model's tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=768, intermediate_size=2048, num_hidden_layers=13,
        num_attention_heads=12, num_key_value_heads=4, max_position_embeddings=4096, bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, dtype="bfloat16",
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("models") / "llama"
    with torch.random.fork_rng():
        torch.manual_seed(1)
        LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_planned_peak_is_the_measured_one(hundred_million: Path, precision: str) -> None:
    arguments = ("--model", hundred_million, "--precision", precision, "--prompt", 160, "--reply", 40)
    found = compare(*arguments)
    # The model, not the process, is what is measured.
    assert found["parameters"] > 50_000_000
    assert found["measured"] > 3 * found["parameters"]
    assert 0.85 < found["ratio"] < 1.15


@pytest.mark.model
@pytest.mark.slow
def test_the_planned_peak_of_the_real_model(smollm2: Path) -> None:
    found = compare("--model", smollm2, "--precision", "bf16", "--prompt", 300, "--reply", 64)
    assert found["parts"]["start"] < found["planned"]  # it is a step that is measured, not the self-check
    assert 0.85 < found["ratio"] < 1.15
