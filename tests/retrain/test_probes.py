from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from picktune_adapters.probes import read_probes
from picktune_adapters.registry import Registry
from picktune_retrain.probes import keep_probes, make_probes
from picktune_retrain.records import Recipe

FP32 = Recipe(dtype="float32")


def by_hand(base: Path, adapter: Path | None, prompt: Any, reply: Any) -> list[float]:
    """The same from PEFT and transformers alone."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, str(adapter))
    with torch.no_grad():
        logits = model.eval()(input_ids=torch.tensor([[*prompt, *reply]])).logits[0]
    shares = logits.log_softmax(-1)
    return [float(shares[len(prompt) - 1 + at, token]) for at, token in enumerate(reply)]


def test_they_are_what_peft_gives_in_float32(tiny_model: Path, tiny_adapter: Any) -> None:
    folder = tiny_adapter("v1", 1)
    probes = make_probes(folder, base_model=tiny_model, recipe=FP32)
    assert len(probes) >= 3
    for one in probes[:2]:
        assert one.base == pytest.approx(by_hand(tiny_model, None, one.prompt, one.reply), abs=1e-4)
        assert one.tuned == pytest.approx(by_hand(tiny_model, folder, one.prompt, one.reply), abs=1e-4)
        assert max(abs(a - b) for a, b in zip(one.base, one.tuned, strict=True)) > 0.1


def test_they_come_into_the_registry_with_the_adapter(
    tiny_model: Path, tiny_adapter: Any, tmp_path: Path
) -> None:
    from picktune.records import utc_now

    folder = tiny_adapter("v2", 2)
    keep_probes(folder, base_model=tiny_model, recipe=FP32)
    registry = Registry(tmp_path / "registry")
    version = registry.add(
        folder, name="v2", base_model="tiny", run_id="r", dataset_id="d", picks=1, now=utc_now()
    )
    found = read_probes(registry.folder("v2"), version.sha256)
    assert found == make_probes(folder, base_model=tiny_model, recipe=FP32)
