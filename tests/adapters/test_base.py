from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from picktune_adapters.base import BaseModules
from picktune_adapters.errors import BaseUnreadable
from safetensors.numpy import save_file


def save(folder: Path, *names: str, file: str = "model.safetensors") -> Path:
    folder.mkdir(exist_ok=True)
    save_file({f"{name}.weight": np.zeros((8, 6), np.float32) for name in names}, folder / file)
    return folder


def test_shapes_by_name(base: Path) -> None:
    modules = BaseModules.read(base)
    assert modules.shape("model.layers.0.self_attn.q_proj") == (8, 6)
    assert modules.shape("model.layers.2.self_attn.q_proj") is None
    assert modules.shape("model.norm") is None
    assert modules.shape("q_proj") is None


def test_a_sharded_model(tmp_path: Path) -> None:
    folder = save(tmp_path / "m", "model.layers.0.q", file="model-00001-of-00002.safetensors")
    save(folder, "model.layers.1.q", file="model-00002-of-00002.safetensors")
    index = {
        "model.layers.0.q.weight": "model-00001-of-00002.safetensors",
        "model.layers.1.q.weight": "model-00002-of-00002.safetensors",
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    modules = BaseModules.read(folder)
    assert modules.shape("model.layers.0.q") == modules.shape("model.layers.1.q") == (8, 6)


def test_a_checkpoint_that_nests_its_modules_otherwise(tmp_path: Path) -> None:
    modules = BaseModules.read(save(tmp_path / "m", "language_model.model.layers.0.q", "h.0.attn.c"))
    assert modules.shape("model.language_model.layers.0.q") == (8, 6)
    assert modules.shape("transformer.h.0.attn.c") == (8, 6)
    assert modules.shape("transformer.h.1.attn.c") is None


def test_an_ending_that_two_modules_share_is_neither(tmp_path: Path) -> None:
    modules = BaseModules.read(save(tmp_path / "m", "vision.layers.0.q", "text.layers.0.q"))
    assert modules.shape("model.layers.0.q") is None


def test_a_tied_head_has_the_shape_of_the_embeddings(base: Path) -> None:
    assert BaseModules.read(base).shape("lm_head") == (10, 6)


def test_an_index_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    save(tmp_path, "model.layers.0.q", file="outside.safetensors")
    folder = tmp_path / "m"
    folder.mkdir()
    index = {"weight_map": {"x": "../outside.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(BaseUnreadable):
        BaseModules.read(folder)


@pytest.mark.parametrize("content", [None, b"", b"not tensors at all"])
def test_what_is_no_base_model(tmp_path: Path, content: bytes | None) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    if content is not None:
        (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(BaseUnreadable, match="name a folder that holds"):
        BaseModules.read(folder)
