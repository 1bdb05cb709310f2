"""Killed, crowded and out of space: a registry is always whole."""

from __future__ import annotations

import errno
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from picktune_adapters import Aliases, Registry, check_adapter
from picktune_adapters.aliases import fold
from picktune_adapters.errors import RegistryUnavailable

from .conftest import NOW, Add, MakeAdapter

FIELDS: dict[str, Any] = {"base_model": "tiny", "run_id": "r", "dataset_id": "d", "picks": 3, "now": NOW}
WHO: dict[str, Any] = {"by": "t", "reason": "r", "now": NOW}

ADD = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from picktune_adapters import Registry
registry, now = Registry(sys.argv[1]), datetime.now(UTC)
while True:
    name = registry.next_name(now)
    registry.add(Path(sys.argv[2]), name=name, base_model="b", run_id="r", dataset_id="d", picks=1, now=now)
    print(name, flush=True)
    for alias in ("challenger", "champion"):
        print(registry.move(alias, name, by="t", reason=name, now=now).after, flush=True)
    for version in registry.versions()[:-2]:
        registry.remove(version.name, by="t", reason="old", now=now)
"""

CROWD = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from picktune_adapters import Registry
from picktune_adapters.errors import AdapterExists, AdapterInUse
registry, now = Registry(sys.argv[1]), datetime.now(UTC)
added = 0
while added < 5:
    name = registry.next_name(now)
    try:
        registry.add(Path(sys.argv[2]), name=name, base_model="b", run_id=sys.argv[3], dataset_id="d",
                     picks=1, now=now)
    except AdapterExists:
        continue
    added += 1
    print(name, flush=True)
    try:
        registry.move("challenger", name, by=sys.argv[3], reason="test", now=now)
    except AdapterInUse:
        pass
    registry.promote(name, by=sys.argv[3], reason="test", now=now)
"""


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def large(make_adapter: MakeAdapter) -> Path:
    """An adapter that takes a moment to copy: 16 MB."""
    tensors = {
        f"base_model.model.layers.0.q_proj.lora_{half}.weight": np.ones(shape, np.float32)
        for half, shape in (("A", (4, 500_000)), ("B", (500_000, 4)))
    }
    return make_adapter("large", tensors=tensors)


def test_killed_at_any_moment_it_is_whole(tmp_path: Path, large: Path) -> None:
    registry = Registry(tmp_path / "registry")
    adapters = registry.root / "adapters"
    rng = random.Random(7)
    half_way = 0
    for _ in range(12):
        process = python(ADD, registry.root, large)
        assert process.stdout is not None
        try:
            assert process.stdout.readline()  # it has started and added one
            time.sleep(rng.random() * 0.25)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        acknowledged = process.stdout.read().split()
        process.communicate()
        half_way += any(entry.name.startswith(".tmp-") for entry in adapters.iterdir())

        assert registry.faults() == []
        names = [version.name for version in registry.versions()]
        assert all(not name.startswith(".") for name in names)
        for name in names:
            registry.verify(name)
        known = {*names, *(one.name for one in registry.removed())}
        assert {name for name in acknowledged if name != "None"} <= known
        aliases = registry.aliases()
        assert {aliases.champion, aliases.challenger} - {None} <= set(names)
    assert half_way > 0  # or the test has not tested what it says

    registry.move("challenger", None, **WHO)
    assert not list(registry.root.rglob(".tmp-*"))
    assert registry.aliases() == fold(registry.history())


def test_killed_between_copy_and_rename_nothing_is_registered(registry: Registry, add: Add) -> None:
    add("v1")
    half = registry.root / "adapters" / ".tmp-v2-abc"
    half.mkdir()
    (half / "adapter_config.json").write_text("{}")
    assert [version.name for version in registry.versions()] == ["v1"]
    assert registry.faults() == []
    add("v2")
    assert not half.exists()
    assert check_adapter(registry.folder("v2"), base=None).rank == 4


def test_many_processes_at_once(tmp_path: Path, make_adapter: MakeAdapter) -> None:
    registry = Registry(tmp_path / "registry")
    source = make_adapter()
    processes = [python(CROWD, registry.root, source, f"p{number}") for number in range(3)]
    seen = []
    while any(process.poll() is None for process in processes):
        aliases = registry.aliases()  # a reader never sees half a file
        if aliases.champion:
            registry.verify(aliases.champion)
        registry.history()
        seen.append(aliases.champion)
        time.sleep(0.01)
    added = []
    for process in processes:
        output, errors = process.communicate()
        assert process.returncode == 0, errors
        added += output.split()
    assert len(added) == len(set(added)) == 15
    assert {version.name for version in registry.versions()} == set(added)
    history = registry.history()
    assert registry.aliases() == fold(history)
    champion = None
    for change in history:
        if change.alias == "champion":
            assert change.before == champion
            champion = change.after
    assert len([change for change in history if change.alias == "champion"]) == 15
    assert len(set(seen)) > 1


def test_a_lock_that_another_process_never_lets_go(
    registry: Registry, add: Add, make_adapter: MakeAdapter
) -> None:
    add("v1")
    impatient = Registry(registry.root, lock_timeout=0.05)
    with FileLock(registry.root / ".lock"), pytest.raises(RegistryUnavailable, match=r"held .* for 0.05 s"):
        impatient.add(make_adapter(), name="v2", **FIELDS)
    impatient.add(make_adapter("again"), name="v2", **FIELDS)


FULL = """
import resource, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from picktune_adapters import Registry
from picktune_adapters.errors import RegistryUnavailable
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
registry, now = Registry(sys.argv[1]), datetime.now(UTC)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    if sys.argv[4] == "add":
        fields = {"base_model": "b", "run_id": "r", "dataset_id": "d", "picks": 1, "now": now}
        registry.add(Path(sys.argv[2]), name="v2", **fields)
    else:
        registry.promote("v1", by="t", reason="x" * 1000, now=now)
except RegistryUnavailable as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a limit on file sizes")
@pytest.mark.parametrize(("limit", "what"), [(1_000_000, "add"), (200, "promote"), (600, "promote")])
def test_out_of_space_leaves_everything_as_it_was(
    registry: Registry, add: Add, large: Path, limit: int, what: str
) -> None:
    add("v1")
    output, errors = python(FULL, registry.root, large, limit, what).communicate()
    assert "free space" in output, errors
    assert [version.name for version in registry.versions()] == ["v1"]
    assert registry.aliases() == Aliases()
    assert registry.history() == []
    assert not list(registry.root.rglob(".tmp-*"))
    assert registry.promote("v1", **WHO).after == "v1"


def test_a_move_that_fails_half_way_is_taken_back(
    registry: Registry, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    add("v1")

    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        # Nothing real fills the disk exactly between two files.
        patch.setattr("picktune_adapters.disk.replace", full)
        with pytest.raises(RegistryUnavailable, match="No space left"):
            registry.promote("v1", **WHO)
    assert registry.history() == []
    registry.move("challenger", "v1", **WHO)
    assert registry.aliases() == Aliases(champion=None, challenger="v1")
