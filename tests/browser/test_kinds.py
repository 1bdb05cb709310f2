"""The adapters page says of which kind a version is and how it is served, in both languages."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

WORDS = {
    "en": ("Checkpoint", "full", "as a model of its own", "Virtual tokens", "prefix, 4 virtual tokens"),
    "zh": ("完整模型", "full", "作为独立模型", "虚拟词元", "prefix, 4 个虚拟词元"),
}


@pytest.fixture
def kinds(desk: Any, tiny_model: Path, tiny_adapter: Any, tmp_path: Path) -> Any:
    """A server whose registry holds a checkpoint, a prompt adapter and a LoRA."""
    registry, now = desk.service.registry, desk.service.now()
    fields: dict[str, Any] = {"base_model": "m", "run_id": "r", "dataset_id": "d", "picks": 90, "now": now}
    registry.add(shutil.copytree(tiny_model, tmp_path / "c"), name="c1", method="full", **fields)
    prompt = tmp_path / "p"
    prompt.mkdir()
    save_file({"prompt_embeddings": np.ones((4, 64), np.float32)}, prompt / "adapter_model.safetensors")
    (prompt / "adapter_config.json").write_text(json.dumps({"peft_type": "PROMPT_TUNING"}))
    registry.add(prompt, name="p1", method="prefix", **fields)
    registry.add(tiny_adapter("l1"), name="l1", **fields)
    return desk


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_kind_and_the_way_of_serving_are_shown(
    browser: Any, kinds: Any, language: str, width: int
) -> None:
    browser.enter(kinds, "ada", "slate", "pick", "read", "admin")
    browser.size(width, 844, phone=width < 500)
    browser.open(f"{kinds.url}/adapters?lang={language}")
    for summary in browser.all(".version summary"):
        summary.click()
    kind, method, served, tokens, prompt = WORDS[language]
    versions = {text.split()[0]: text for text in browser.texts(".version")}
    assert kind in versions["c1"]
    assert method in versions["c1"]
    assert served in versions["c1"]
    assert tokens in versions["p1"]
    assert prompt in versions["p1"]
    assert "lora, r = 8" in versions["l1"]
    assert "r =" not in versions["c1"] + versions["p1"]
    assert browser.overflow() == 0
    assert browser.complaints() == []
