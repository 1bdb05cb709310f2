from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picktune_adapters import Registry
from picktune_adapters.errors import (
    AdapterCorrupt,
    AdapterExists,
    AdapterNotFound,
    BaseUnreadable,
    InvalidAdapterName,
    RegistryCorrupt,
    RegistryTooNew,
    RegistryUnavailable,
)
from picktune_adapters.store import FORMAT

from .conftest import IN, NOW, OUT, PREFIX, RANK, Add, MakeAdapter, weights

FILES = ["adapter_config.json", "adapter_model.safetensors", "version.json"]
FIELDS: dict[str, Any] = {"base_model": "tiny", "run_id": "r", "dataset_id": "d", "picks": 3, "now": NOW}


def everything(registry: Registry) -> dict[str, bytes]:
    """All files of a registry but its lock."""
    return {
        str(path.relative_to(registry.root)): path.read_bytes()
        for path in registry.root.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_reading_an_empty_registry_makes_nothing(registry: Registry) -> None:
    assert registry.versions() == []
    assert registry.faults() == []
    assert registry.removed() == []
    assert registry.history() == []
    assert registry.aliases().champion is None
    assert registry.next_name(NOW) == "2026-11-24-1"
    with pytest.raises(AdapterNotFound, match="registered: none"):
        registry.folder("x")
    assert not registry.root.exists()


def test_add_keeps_a_copy_with_its_lineage(registry: Registry, make_adapter: MakeAdapter, base: Path) -> None:
    source = make_adapter()
    (source / "README.md").write_text("not taken")
    version = registry.add(
        source,
        name="2026-11-24-1",
        base_model="tiny",
        run_id="run-1",
        dataset_id="data-1",
        picks=90,
        picks_until=NOW,
        simulated=True,
        metrics={"accuracy": np.float32(0.75)},
        now=datetime(2026, 11, 24, 10, 30, tzinfo=timezone(timedelta(hours=8))),
        base=base,
    )
    assert version == registry.get("2026-11-24-1") == registry.verify("2026-11-24-1", base=base)
    assert registry.versions() == [version]
    assert version.created_at == NOW
    assert version.rank == RANK
    assert version.simulated
    assert version.metrics == {"accuracy": 0.75}
    folder = registry.folder("2026-11-24-1")
    assert folder.is_absolute()
    assert sorted(entry.name for entry in folder.iterdir()) == FILES
    for file in FILES[:2]:
        assert (folder / file).read_bytes() == (source / file).read_bytes()


def test_the_hash_can_be_checked_with_coreutils(registry: Registry, add: Add) -> None:
    version = add("v1")
    command = "cat adapter_config.json adapter_model.safetensors | sha256sum"  # as docs/adapters.md says
    printed = subprocess.run(
        ["sh", "-c", command], cwd=registry.folder("v1"), capture_output=True, text=True, check=True
    )
    assert printed.stdout.split()[0] == version.sha256


def test_names_are_never_used_twice(registry: Registry, add: Add) -> None:
    add("2026-11-24-1")
    with pytest.raises(AdapterExists, match="take '2026-11-24-2'"):
        registry.add(registry.folder("2026-11-24-1"), name="2026-11-24-1", **FIELDS)
    assert registry.get("2026-11-24-1").run_id == "run"


@pytest.mark.parametrize("name", ["../outside", "/outside", ".tmp-x", "a/b", "", "base", "x\x00y"])
def test_no_name_leads_out_of_the_registry(
    registry: Registry, make_adapter: MakeAdapter, add: Add, name: str
) -> None:
    add("good")
    before = everything(registry)
    with pytest.raises(InvalidAdapterName):
        registry.add(make_adapter(), name=name, **FIELDS)
    for read in (registry.folder, registry.get, registry.verify):
        with pytest.raises(AdapterNotFound, match="registered: good"):
            read(name)
    with pytest.raises(AdapterNotFound):
        registry.remove(name, by="t", reason="test", now=NOW)
    with pytest.raises(AdapterNotFound):
        registry.promote(name, by="t", reason="test", now=NOW)
    assert everything(registry) == before


def test_a_corrupt_adapter_leaves_nothing(registry: Registry, make_adapter: MakeAdapter, base: Path) -> None:
    broken = make_adapter("broken", r=8)
    with pytest.raises(AdapterCorrupt):
        registry.add(broken, name="v1", **FIELDS)
    foreign = make_adapter(
        "foreign",
        tensors={
            f"{PREFIX}other.lora_A.weight": np.ones((RANK, IN), np.float32),
            f"{PREFIX}other.lora_B.weight": np.ones((OUT, RANK), np.float32),
        },
        target_modules=["other"],
    )
    with pytest.raises(AdapterCorrupt, match="no module"):
        registry.add(foreign, name="v1", base=base, **FIELDS)
    with pytest.raises(BaseUnreadable):
        registry.add(foreign, name="v1", base=base / "missing", **FIELDS)
    with pytest.raises(AdapterNotFound):
        registry.add(make_adapter(), name="v1", parent="unheard-of", **FIELDS)
    assert registry.versions() == []
    assert not [path for path in everything(registry) if "v1" in path]


@pytest.mark.parametrize("figure", [float("nan"), float("inf")])
def test_a_metric_that_json_cannot_hold(registry: Registry, make_adapter: MakeAdapter, figure: float) -> None:
    with pytest.raises(AdapterCorrupt, match="'loss'"):
        registry.add(make_adapter(), name="v1", metrics={"loss": figure}, **FIELDS)
    assert registry.versions() == []


def test_versions_are_oldest_first(add: Add, registry: Registry) -> None:
    for number in (10, 9, 2, 1):
        add(f"2026-11-24-{number}")
    add("later", now=NOW + timedelta(days=1))
    add("earlier", now=NOW - timedelta(days=1))
    assert [version.name for version in registry.versions()] == [
        "earlier",
        *(f"2026-11-24-{number}" for number in (1, 2, 9, 10)),
        "later",
    ]


def test_a_parent_may_be_gone(add: Add, registry: Registry) -> None:
    add("v1")
    registry.remove("v1", by="t", reason="old", now=NOW)
    assert add("v2", parent="v1").parent == "v1"


def test_what_the_message_lists_stays_short(add: Add, registry: Registry) -> None:
    for number in range(1, 24):
        add(f"v{number:02}")
    with pytest.raises(AdapterNotFound, match=r"registered: …, v04, v05, .*, v23$"):
        registry.get("v99")


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("how", ["missing", "empty", "flipped", "foreign"])
def test_verify_notices_every_change(registry: Registry, add: Add, file: str, how: str) -> None:
    add("v1")
    path = registry.folder("v1") / file
    content = bytearray(path.read_bytes())
    if how == "missing":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "flipped":
        # A digit of the rank in JSON, a bit of a weight in tensors: still well-formed.
        content = content.replace(b'"rank": 4', b'"rank": 8').replace(b'"lora_alpha": 8', b'"lora_alpha": 9')
        if file.endswith("safetensors"):
            content[-1] ^= 1
        path.write_bytes(content)
    else:
        add("v2")
        path.write_bytes((registry.folder("v2") / file).read_bytes() if file != FILES[0] else b"{}")
    with pytest.raises(AdapterCorrupt) as caught:
        registry.verify("v1")
    assert "v1" in str(caught.value)


def test_one_damaged_record_does_not_hide_the_others(registry: Registry, add: Add) -> None:
    add("v1")
    add("v2")
    (registry.folder("v1") / "version.json").write_bytes(b"\xff")
    (registry.root / "adapters" / "stray").mkdir()
    (registry.root / "adapters" / "not a name").mkdir()
    assert [version.name for version in registry.versions()] == ["v2"]
    faults = [str(fault) for fault in registry.faults()]
    assert len(faults) == 2
    assert "'stray'" in faults[0]
    assert "'v1'" in faults[1]


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\xff\xfe", b'{"name": "v1", "more": 1}', b"null", b'{"name": "v2"}']
)
def test_a_record_that_cannot_be_read(registry: Registry, add: Add, content: bytes) -> None:
    add("v1")
    (registry.folder("v1") / "version.json").write_bytes(content)
    with pytest.raises(AdapterCorrupt, match="'v1' is damaged"):
        registry.get("v1")


def test_a_version_that_is_a_link(registry: Registry, add: Add, make_adapter: MakeAdapter) -> None:
    add("v1")
    (registry.root / "adapters" / "v2").symlink_to(registry.folder("v1"))
    with pytest.raises(AdapterCorrupt, match="is a link"):
        registry.verify("v2")


def test_an_adapter_of_another_base_model(registry: Registry, add: Add) -> None:
    add("v1")
    assert registry.verify("v1", base_model="tiny").name == "v1"
    with pytest.raises(AdapterCorrupt, match="trained on 'tiny', not on 'large'"):
        registry.verify("v1", base_model="large")


def test_a_rank_above_what_the_engine_takes(registry: Registry, make_adapter: MakeAdapter) -> None:
    registry.add(make_adapter(tensors=weights(rank=80), r=80), name="v1", max_rank=128, **FIELDS)
    with pytest.raises(AdapterCorrupt, match="above 64"):
        registry.verify("v1")
    registry.promote("v1", by="t", reason="the engine's limit is the engine's", now=NOW)


def test_a_registry_of_a_newer_version(registry: Registry, add: Add, make_adapter: MakeAdapter) -> None:
    add("v1")
    before = everything(registry)
    (registry.root / "registry.json").write_text(json.dumps({"format": FORMAT + 1, "new": True}))
    for call in (
        registry.versions,
        registry.aliases,
        registry.history,
        registry.removed,
        registry.faults,
        lambda: registry.get("v1"),
        lambda: registry.verify("v1"),
        lambda: registry.next_name(NOW),
        lambda: registry.add(make_adapter(), name="v2", **FIELDS),
        lambda: registry.promote("v1", by="t", reason="test", now=NOW),
        lambda: registry.rollback(by="t", reason="test", now=NOW),
        lambda: registry.remove("v1", by="t", reason="test", now=NOW),
    ):
        with pytest.raises(RegistryTooNew, match="pip install -U picktune"):
            call()
    (registry.root / "registry.json").write_bytes(before["registry.json"])
    assert everything(registry) == before


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"format": "1"}'])
def test_a_format_that_cannot_be_read(registry: Registry, add: Add, content: bytes) -> None:
    add("v1")
    (registry.root / "registry.json").write_bytes(content)
    with pytest.raises(RegistryCorrupt, match=r'write \{"format": 2\}'):
        registry.versions()


def test_a_root_that_is_a_file(tmp_path: Path, make_adapter: MakeAdapter) -> None:
    root = tmp_path / "file"
    root.touch()
    for call in (
        Registry(root).versions,
        lambda: Registry(root).add(make_adapter(), name="v1", **FIELDS),
    ):
        with pytest.raises(RegistryUnavailable, match="mend its permissions"):
            call()


def test_naive_times_become_utc(add: Add) -> None:
    assert add("v1", now=datetime(2026, 1, 1)).created_at.tzinfo is UTC  # noqa: DTZ001 - the point of it
