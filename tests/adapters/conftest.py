"""A tiny base model and tiny adapters, written with NumPy alone: this layer knows no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from picktune_adapters import Registry
from safetensors.numpy import save_file

NOW = datetime(2026, 11, 24, 2, 30, tzinfo=UTC)
LAYERS = 2
IN, OUT, RANK = 6, 8, 4
MODULE = "model.layers.{}.self_attn.q_proj"
PREFIX = "base_model.model."


class MakeAdapter(Protocol):
    """Writes an adapter folder; keyword arguments change its configuration, ``tensors`` its weights."""

    def __call__(
        self, name: str = "adapter", *, tensors: Mapping[str, Any] | None = None, **config: Any
    ) -> Path: ...


class Add(Protocol):
    """Registers a fresh adapter under a name."""

    def __call__(self, name: str, **fields: Any) -> Any: ...


def weights(rank: int = RANK, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """LoRA matrices for every layer, as PEFT names them."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for layer in range(LAYERS):
        module = PREFIX + MODULE.format(layer)
        tensors[f"{module}.lora_A.weight"] = rng.normal(size=(rank, IN)).astype(np.float32)
        tensors[f"{module}.lora_B.weight"] = rng.normal(size=(OUT, rank)).astype(np.float32)
    return tensors


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The folder of a base model with two layers."""
    folder = tmp_path / "base"
    folder.mkdir()
    tensors = {f"{MODULE.format(layer)}.weight": np.zeros((OUT, IN), np.float32) for layer in range(LAYERS)}
    tensors["model.embed_tokens.weight"] = np.zeros((10, IN), np.float32)
    tensors["model.norm.weight"] = np.ones(IN, np.float32)
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.fixture
def make_adapter(tmp_path: Path) -> MakeAdapter:
    """A factory of adapter folders."""

    def make(name: str = "adapter", *, tensors: Mapping[str, Any] | None = None, **config: Any) -> Path:
        folder = tmp_path / "made" / name
        folder.mkdir(parents=True)
        seed = sum(name.encode())
        save_file(
            dict(weights(seed=seed) if tensors is None else tensors), folder / "adapter_model.safetensors"
        )
        settings = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": "tiny",
            "r": RANK,
            "lora_alpha": 2 * RANK,
            "target_modules": ["q_proj"],
            "bias": "none",
            "init_lora_weights": True,
        }
        (folder / "adapter_config.json").write_text(json.dumps(settings | config), encoding="utf-8")
        return folder

    return make


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """An empty registry."""
    return Registry(tmp_path / "registry")


@pytest.fixture
def add(registry: Registry, make_adapter: MakeAdapter) -> Add:
    """Registers fresh adapters."""

    def one(name: str, **fields: Any) -> Any:
        given = {"base_model": "tiny", "run_id": "run", "dataset_id": "data", "picks": 90, "now": NOW}
        return registry.add(make_adapter(f"src-{name}"), name=name, **(given | fields))

    return one
