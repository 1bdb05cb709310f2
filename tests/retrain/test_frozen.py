"""While the gate is frozen, a night's adapter waits before it joins the slates."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from picktune.gate.keeper import Gate
from picktune.settings import Settings
from picktune_adapters import Aliases
from picktune_retrain.errors import NightStopped
from picktune_retrain.plan import Plan, Quiet
from picktune_retrain.stages import Stages
from safetensors.numpy import save_file

NOW = datetime(2026, 11, 24, 2, tzinfo=UTC)


def test_an_adapter_that_passed_waits_until_the_gate_is_unfrozen(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path / "home"))
    stages = Stages(settings, Plan(), Quiet(), lambda: False, lambda: NOW)
    folder = tmp_path / "made"
    folder.mkdir()
    module = "base_model.model.model.layers.0.self_attn.q_proj"
    ones = np.ones((2, 4), np.float32)
    weights = {f"{module}.lora_A.weight": ones, f"{module}.lora_B.weight": ones.T.copy()}
    save_file(weights, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    lineage = {"base_model": "tiny", "run_id": "run", "dataset_id": "d", "picks": 3}
    version = stages.registry.add(folder, name="v1", now=NOW, **lineage)  # type: ignore[arg-type]
    gate = Gate(settings, now=lambda: NOW)
    night: Any = SimpleNamespace(manifest=SimpleNamespace(id="20261124T021500Z"))

    gate.freeze(by="ann", reason="launch week")
    with pytest.raises(NightStopped, match=r"v1 passed, and waits: ann has frozen the gate \(launch week\)"):
        stages.challenge(night, version)
    assert stages.registry.aliases() == Aliases()
    gate.unfreeze(by="ann", reason="it is over")
    assert stages.challenge(night, version).after == "v1"
    assert stages.registry.aliases() == Aliases(challenger="v1")
