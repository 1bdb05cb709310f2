from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs
from picktune_adapters.errors import AdapterCorrupt
from picktune_adapters.probes import PROBES, Probe, Probes, read_probes, write_probes

ONE = Probe(prompt=(1, 2), reply=(3, 4, 5), base=(-1.0, -2.0, -3.0), tuned=(-1.5, -0.5, -3.0))
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def added(registry: Any, folder: Path) -> Any:
    return registry.add(
        folder, name="v1", base_model="tiny", run_id="run", dataset_id="data", picks=9, now=NOW
    )


def test_they_lie_beside_the_adapter_and_come_along_into_the_registry(
    registry: Any, make_adapter: Any
) -> None:
    folder: Path = make_adapter()
    write_probes(folder, (ONE,))
    version = added(registry, folder)
    assert read_probes(registry.folder("v1"), version.sha256) == (ONE,)


def test_an_adapter_without_them_has_none(registry: Any, make_adapter: Any) -> None:
    version = added(registry, make_adapter())
    assert read_probes(registry.folder("v1"), version.sha256) is None


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (b"{", "cannot be used"),
        (b"\xff", "cannot be used"),
        (msgspec.json.encode(Probes(sha256="other", probes=(ONE,))), "belongs to an adapter"),
        (b'{"sha256": "SHA", "probes": [{"prompt": [1], "reply": [2], "base": [], "tuned": []}]}', "lacks"),
        (b'{"sha256": "SHA", "probes": [{"prompt": [], "reply": [2], "base": [1], "tuned": [1]}]}', "lacks"),
        (
            b'{"sha256": "SHA", "probes": [{"prompt": [1], "reply": [2], "base": [1e999], "tuned": [1]}]}',
            "used",
        ),
        (b" " * 5_000_000, "too large"),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_is_registered(
    registry: Any, make_adapter: Any, broken: bytes, words: str
) -> None:
    folder: Path = make_adapter()
    write_probes(folder, (ONE,))
    sha = msgspec.json.decode((folder / PROBES).read_bytes(), type=Probes).sha256
    (folder / PROBES).write_bytes(broken.replace(b"SHA", sha.encode()))
    with pytest.raises(AdapterCorrupt, match=words):
        added(registry, folder)
    assert registry.versions() == []


def test_probes_of_files_that_changed_are_refused(registry: Any, make_adapter: Any) -> None:
    folder: Path = make_adapter()
    write_probes(folder, (structs.replace(ONE),))
    config = folder / "adapter_config.json"
    config.write_text(config.read_text("utf-8") + "\n", "utf-8")
    with pytest.raises(AdapterCorrupt, match="belongs to an adapter"):
        added(registry, folder)
