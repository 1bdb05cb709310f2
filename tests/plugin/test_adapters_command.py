"""``picktune adapters`` shows a version's kind and how it is served, and deletes what nobody needs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from picktune.audit import AuditLog
from picktune_adapters.registry import Registry
from safetensors.numpy import save_file

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
WHO: dict[str, Any] = {"by": "mei", "reason": "because", "now": NOW}
Run = Callable[..., Result]


@pytest.fixture
def registry(home: Path, tiny_model: Path, tiny_adapter: Any, tmp_path: Path) -> Registry:
    """Four checkpoints, a prompt adapter and a LoRA; the second checkpoint speaks on trial."""
    found = Registry(home / "registry")
    fields: dict[str, Any] = {"base_model": "/models/tiny", "run_id": "r", "dataset_id": "d", "picks": 9}
    for number in range(1, 5):
        folder = shutil.copytree(tiny_model, tmp_path / f"c{number}")
        at = NOW + timedelta(days=number)
        found.add(folder, name=f"c{number}", method="freeze", now=at, **fields)
    prompt = tmp_path / "prompt"
    prompt.mkdir()
    save_file({"prompt_embeddings": np.ones((4, 64), np.float32)}, prompt / "adapter_model.safetensors")
    (prompt / "adapter_config.json").write_text(json.dumps({"peft_type": "PROMPT_TUNING"}))
    found.add(prompt, name="p1", method="prompt", now=NOW, **fields)
    found.add(tiny_adapter("l1"), name="l1", now=NOW, **fields)
    found.move("challenger", "c2", **WHO)
    return found


def test_the_kind_is_listed_and_shown(run: Run, registry: Registry) -> None:
    listed = {line.split()[1]: line for line in run("adapters").output.splitlines() if line.startswith("│")}
    assert "checkpoint (freeze)" in listed["c1"]
    assert "challenger" in listed["c2"]
    assert "prompt" in listed["p1"]
    assert "lora" in listed["l1"]
    kinds = {one["name"]: one["kind"] for one in json.loads(run("adapters", "--json").output)["versions"]}
    assert kinds == dict.fromkeys(("c1", "c2", "c3", "c4"), "checkpoint") | {"p1": "prompt", "l1": "lora"}

    shown = run("adapters", "show", "c2").output
    assert "checkpoint (freeze): a model of its own" in shown
    assert "a vLLM server named in vllm.checkpoints" in shown
    assert "challenger" in shown
    assert "prompt adapter (prompt): 4 virtual tokens" in run("adapters", "show", "p1").output
    assert "the local engine only" in run("adapters", "show", "p1").output
    assert "LoRA (lora), rank 8" in run("adapters", "show", "l1").output
    one = json.loads(run("adapters", "show", "c1", "--json").output)
    assert one["size"] == registry.size("c1") > 400_000
    assert one["folder"] == str(registry.folder("c1"))
    assert "no adapter named 'v9'; registered: c1, c2" in run("adapters", "show", "v9", code=1).stderr
    assert "prompt adapter (prompt): 4 virtual tokens, on /models/tiny" in run("why", "p1").output


def test_old_checkpoints_are_deleted_and_nothing_else(run: Run, home: Path, registry: Registry) -> None:
    told = run("adapters", "prune", "--keep", "1", "--dry-run").output
    assert "would delete 2 versions, " in told
    assert [line.split()[0] for line in told.splitlines()[:-1]] == ["c1", "c3"]
    assert len(registry.versions()) == 6
    assert "Aborted" in run("adapters", "prune", "--keep", "1", code=1).output  # nobody answers
    assert "nothing to delete" in run("adapters", "prune", "--older-than", "9999w").output
    assert "'1y' is no age" in run("adapters", "prune", "--older-than", "1y", code=2).stderr
    assert len(registry.versions()) == 6

    said = run("adapters", "prune", "--keep", "1", "--yes", "--by", "mei").output
    assert "deleted 2 versions" in said
    assert {one.name for one in registry.versions()} == {"c2", "c4", "p1", "l1"}
    assert [(one.name, one.by) for one in registry.removed()] == [("c1", "mei"), ("c3", "mei")]
    noted = [(one.action, one.of, one.by) for one in AuditLog(home).entries() if one.of]
    assert noted == [("adapter_removed", "c1", "mei"), ("adapter_removed", "c3", "mei")]
    assert "nothing to delete" in run("adapters", "prune", "--keep", "1", "--yes").output
    assert "deleted 3 versions" in run("adapters", "prune", "--kind", "all", "--keep", "0", "--yes").output
    assert [one.name for one in registry.versions()] == ["c2"]
