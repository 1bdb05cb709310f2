"""A home with a real registry of tiny adapters, written with NumPy alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from picktune.gate.keeper import Gate
from picktune.gate.records import GateSettings
from picktune.settings import Settings
from picktune_adapters import AdapterVersion
from picktune_adapters.registry import Registry
from safetensors.numpy import save_file

from .world import World

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
MODULE = "base_model.model.model.layers.0.self_attn.q_proj"


class Register(Protocol):
    """Puts an adapter of that name into the registry."""

    def __call__(self, name: str, **fields: Any) -> AdapterVersion: ...


@pytest.fixture
def registry(home: Path) -> Registry:
    return Registry(home / "registry")


@pytest.fixture
def register(registry: Registry, tmp_path: Path) -> Register:
    def put(name: str, **fields: Any) -> AdapterVersion:
        folder = tmp_path / "made" / name
        folder.mkdir(parents=True)
        ones = np.full((2, 4), sum(name.encode()) / 1000, np.float32)
        save_file(
            {f"{MODULE}.lora_A.weight": ones, f"{MODULE}.lora_B.weight": ones.T.copy()},
            folder / "adapter_model.safetensors",
        )
        config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}
        (folder / "adapter_config.json").write_text(json.dumps(config))
        given = {
            "base_model": "tiny",
            "run_id": f"run-{name}",
            "dataset_id": f"dataset-{name}",
            "picks": 3,
            "now": NOW,
        }
        return registry.add(folder, name=name, **(given | fields))

    return put


@pytest.fixture
def world(home: Path) -> World:
    return World(home)


@pytest.fixture
def make_gate(home: Path, world: World) -> Callable[..., Gate]:
    """A gate of the home; keyword arguments are its rules."""

    def make(before_move: Callable[[], None] = lambda: None, **rules: Any) -> Gate:
        settings = Settings(home=str(home), gate=GateSettings(**{"automatic": True, **rules}))
        return Gate(settings, now=world.now, before_move=before_move)

    return make
