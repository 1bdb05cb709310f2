"""The registry keeps LoRA, prompt adapters and checkpoints, checks each in its way, and old ones are LoRA."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picktune_adapters import Registry
from picktune_adapters.check_checkpoint import check_checkpoint
from picktune_adapters.check_prompt import check_prompt
from picktune_adapters.errors import AdapterCorrupt, RegistryTooNew
from picktune_adapters.kinds import kind_of
from picktune_adapters.probes import Probe, read_probes, write_probes
from picktune_adapters.retention import kept_names, removable
from safetensors.numpy import load_file, save_file

from .conftest import NOW, Add

FIELDS: dict[str, Any] = {"base_model": "tiny", "run_id": "run", "dataset_id": "data", "picks": 9, "now": NOW}
CONFIG = {
    "model_type": "llama",
    "hidden_size": 6,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 10,
}
WHO: dict[str, Any] = {"by": "lead", "reason": "because", "now": NOW}


@pytest.fixture
def model(base: Path) -> Path:
    """The base model, with a configuration."""
    (base / "config.json").write_text(json.dumps(CONFIG))
    return base


@pytest.fixture
def checkpoint(model: Path, tmp_path: Path) -> Path:
    """A checkpoint trained from the base, with its tokenizer and what does not belong to it."""
    folder = shutil.copytree(model, tmp_path / "checkpoint")
    tensors = {
        name: value + np.float32(0.5) for name, value in load_file(model / "model.safetensors").items()
    }
    save_file(tensors, folder / "model.safetensors")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "README.md").write_text("notes")
    return folder


@pytest.fixture
def prompt(tmp_path: Path) -> Path:
    """A prompt adapter: three virtual tokens of the base's width."""
    return make_prompt(tmp_path / "prompt")


def make_prompt(folder: Path, kind: str = "PROMPT_TUNING", shape: tuple[int, ...] = (3, 6)) -> Path:
    folder.mkdir()
    save_file({"prompt_embeddings": np.ones(shape, np.float32)}, folder / "adapter_model.safetensors")
    config = {"peft_type": kind, "num_virtual_tokens": shape[0]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def change(folder: Path, edit: Callable[[dict[str, Any]], object], name: str = "model.safetensors") -> None:
    tensors = {key: value.copy() for key, value in load_file(folder / name).items()}
    edit(tensors)
    save_file(tensors, folder / name)


def reconfigure(folder: Path, **fields: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_a_checkpoint_is_registered_whole_and_verified(
    registry: Registry, checkpoint: Path, model: Path
) -> None:
    write_probes(checkpoint, (Probe(prompt=(1,), reply=(2,), base=(-1.0,), tuned=(-0.5,)),))
    version = registry.add(checkpoint, name="v1", method="full", base=model, **FIELDS)
    assert (version.kind, version.method, version.rank) == ("checkpoint", "full", 0)
    folder = registry.folder("v1")
    files = ["config.json", "model.safetensors", "tokenizer.json"]
    assert sorted(one.name for one in folder.iterdir()) == sorted([*files, "probes.json", "version.json"])
    lines = "".join(f"{hashlib.sha256((folder / one).read_bytes()).hexdigest()}  {one}\n" for one in files)
    assert version.sha256 == hashlib.sha256(lines.encode()).hexdigest()
    assert registry.verify("v1", base=model) == version == registry.versions()[0]
    assert read_probes(folder, version.sha256)
    assert registry.size("v1") > checkpoint.joinpath("model.safetensors").stat().st_size
    registry.move("challenger", "v1", **WHO)
    (folder / "tokenizer.json").write_text("{ }")
    with pytest.raises(AdapterCorrupt, match="hash to"):
        registry.verify("v1")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: change(f, lambda t: t.pop("model.norm.weight")), "lacks model.norm.weight"),
        (lambda f: change(f, lambda t: t.update(extra=np.ones(2, np.float32))), "has extra"),
        (
            lambda f: change(f, lambda t: t.update({"model.norm.weight": np.ones(5, np.float32)})),
            r"shape \(5,\)",
        ),
        (
            lambda f: change(f, lambda t: t["model.norm.weight"].__setitem__(0, np.nan)),
            "infinite or not a number",
        ),
        (lambda f: reconfigure(f, num_key_value_heads=2), "num_key_value_heads is 2"),
        (lambda f: reconfigure(f, auto_map={"AutoModel": "code.Model"}), "code of its own"),
        (lambda f: reconfigure(f, quantization_config={"bits": 4}), "quantised"),
        (lambda f: (f / "config.json").write_text("[]"), "no JSON object"),
        (lambda f: (f / "pytorch_model.bin").write_bytes(b"x"), "pickled"),
        (lambda f: (f / "model.safetensors").unlink(), "holds no safetensors"),
        (lambda f: (f / "model.safetensors.index.json").write_text("{}"), "cannot be understood"),
        (
            lambda f: (f / "model.safetensors.index.json").write_text(
                json.dumps({"weight_map": {"a": "model-2.safetensors"}})
            ),
            "model-2.safetensors is missing",
        ),
        (
            lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-3]),
            "truncated",
        ),
    ],
)
def test_a_checkpoint_that_is_not_sound_is_refused_and_leaves_nothing(
    registry: Registry, checkpoint: Path, model: Path, spoil: Callable[[Path], object], words: str
) -> None:
    spoil(checkpoint)
    with pytest.raises(AdapterCorrupt, match=words):
        registry.add(checkpoint, name="v1", base=model, **FIELDS)
    assert registry.versions() == []
    assert not (registry.root / "adapters").exists()


def test_links_out_of_a_checkpoint_are_refused(checkpoint: Path, model: Path) -> None:
    (checkpoint / "model.safetensors").unlink()
    (checkpoint / "model.safetensors").symlink_to(model / "model.safetensors")
    with pytest.raises(AdapterCorrupt, match="link out of the folder"):
        check_checkpoint(checkpoint, base=model)


def test_a_prompt_adapter_is_registered_and_verified(registry: Registry, prompt: Path, model: Path) -> None:
    version = registry.add(prompt, name="v1", method="p-tuning", base=model, **FIELDS)
    assert (version.kind, version.rank) == ("prompt", 3)
    assert registry.verify("v1", base=model) == version
    change(registry.folder("v1"), lambda t: t.update(prompt_embeddings=t["prompt_embeddings"] * 2),
           "adapter_model.safetensors")  # fmt: skip
    with pytest.raises(AdapterCorrupt, match="hash to"):
        registry.verify("v1")


def test_a_prompt_adapter_must_fit_its_base(tmp_path: Path, model: Path) -> None:
    # One key-value head of 6 / 2 numbers, keys and values, in two layers: 12 numbers a token.
    assert check_prompt(make_prompt(tmp_path / "a", "PREFIX_TUNING", (2, 12)), base=model).tokens == 2
    for name, kind, shape, words in (
        ("b", "PREFIX_TUNING", (2, 6), "6 numbers each, and the base"),
        ("c", "PROMPT_TUNING", (2, 12), "12 numbers each, and the base"),
        ("d", "PROMPT_TUNING", (2000, 6), "2000 virtual tokens"),
        ("e", "PROMPT_TUNING", (6,), "two dimensions"),
        ("f", "LORA", (2, 6), "its peft_type is 'LORA'"),
    ):
        with pytest.raises(AdapterCorrupt, match=words):
            check_prompt(make_prompt(tmp_path / name, kind, shape), base=model)
    folder = make_prompt(tmp_path / "g")
    change(folder, lambda t: t["prompt_embeddings"].__setitem__((0, 0), np.inf), "adapter_model.safetensors")
    with pytest.raises(AdapterCorrupt, match="infinite"):
        check_prompt(folder, base=None)


def test_a_version_whose_kind_was_changed_is_damaged(registry: Registry, prompt: Path) -> None:
    registry.add(prompt, name="v1", **FIELDS)
    config = registry.folder("v1") / "adapter_config.json"
    config.write_text(config.read_text().replace("PROMPT_TUNING", "LORA"))
    assert kind_of(registry.folder("v1")) == "lora"
    with pytest.raises(AdapterCorrupt, match="registered as prompt and its files are lora"):
        registry.verify("v1")


def test_a_registry_of_lora_stays_one_that_an_older_picktune_reads(
    registry: Registry, add: Add, prompt: Path
) -> None:
    """What the versions before kinds wrote is read as LoRA, and LoRA is still written like that."""
    add("v1")
    record = json.loads((registry.folder("v1") / "version.json").read_text())
    assert "kind" not in record
    assert registry.get("v1").kind == "lora"
    assert json.loads((registry.root / "registry.json").read_text()) == {"format": 1}
    registry.remove("v1", **WHO)
    assert "kind" not in json.loads((registry.root / "removed" / "v1.json").read_text())["version"]
    assert [one.version.kind for one in registry.removed() if one.version] == ["lora"]

    registry.add(prompt, name="v2", **FIELDS)
    assert json.loads((registry.root / "registry.json").read_text()) == {"format": 2}
    assert json.loads((registry.folder("v2") / "version.json").read_text())["kind"] == "prompt"
    add("v3")
    assert [one.kind for one in registry.versions()] == ["prompt", "lora"]


def test_a_registry_of_a_newer_picktune_says_so(registry: Registry, add: Add) -> None:
    add("v1")
    (registry.root / "registry.json").write_text('{"format": 3}')
    with pytest.raises(RegistryTooNew, match="format 3 and this Picktune knows 2; upgrade with"):
        registry.versions()


def test_only_old_versions_that_nobody_needs_may_go(
    registry: Registry, add: Add, checkpoint: Path, model: Path
) -> None:
    for number in range(6):
        now = NOW + timedelta(days=number)
        registry.add(checkpoint, name=f"c{number}", base=model, **FIELDS | {"now": now})
    add("lora")
    registry.promote("c0", **WHO)
    registry.promote("c1", **WHO)
    registry.move("challenger", "c2", **WHO)
    assert kept_names(registry) == {"c0", "c1", "c2"}
    names = lambda **options: [one.name for one in removable(registry, **options)]  # noqa: E731
    assert names(kind="checkpoint", keep=0) == ["c3", "c4", "c5"]
    assert names(kind="checkpoint", keep=1) == ["c3", "c4"]
    assert names(kind="checkpoint", keep=9) == []
    assert names(kind=None, keep=0) == ["lora", "c3", "c4", "c5"]
    assert names(kind="checkpoint", keep=0, before=NOW + timedelta(days=4)) == ["c3"]
    registry.rollback(**WHO)
    assert kept_names(registry) == {"c0", "c2"}
