"""``picktune gate``, ``why`` and ``trace`` as a user types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from picktune.audit import AuditLog
from picktune.lineage import DatasetHead, keep_lineage
from picktune.log import SQLiteLogReader
from picktune.records import utc_now
from picktune_adapters import Aliases
from picktune_adapters.registry import Registry

Run = Callable[..., Result]


@pytest.fixture
def on_trial(registry: Registry, register: Any, world: Any, home: Path) -> list[str]:
    """v1, on trial after a night on three picks of the base against itself; the slates it learned from."""
    world.at = utc_now() - timedelta(hours=1)
    slates: list[str] = world.picks("", 2, 3, arm="base-b")
    at = world.now()
    head = DatasetHead(dataset_id="d" * 64, until=at, created_at=at, counts={"train": 2, "test": 1})
    with SQLiteLogReader(world.path) as reader:
        picked = [reader.picks(slate)[0].decided_at for slate in slates]
    split = ("train", "train", "test")
    keep_lineage(home, head, list(zip(split, slates, picked, strict=True)))  # type: ignore[arg-type]
    night = home / "nights" / "run-v1"
    night.mkdir(parents=True)
    times = {"id": "run-v1", "started_at": at.isoformat(), "result": "admitted", "failures": 0}
    (night / "manifest.json").write_text(json.dumps(times))
    (night / "train.json").write_text(json.dumps({"seconds": 12.5, "steps": [{}, {}]}))
    (night / "decide.json").write_text(json.dumps({"admitted": True, "reasons": ["enough", "above chance"]}))
    register("v1", dataset_id="d" * 64, picks=2, now=world.now(), metrics={"accuracy": 0.61})
    registry.move("challenger", "v1", by="nightly", reason="passed offline", now=world.now())
    return slates


@pytest.fixture
def automatic(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setenv("PICKTUNE_GATE__AUTOMATIC", "true")
    monkeypatch.setenv("PICKTUNE_GATE__STEPS", "0.05,0.5")


def test_a_gate_is_run_from_the_command_line_to_the_promotion(
    run: Run, automatic: None, on_trial: list[str], world: Any, registry: Registry
) -> None:
    assert "would begin v1: its trial begins" in run("gate", "run", "--dry-run").output
    assert json.loads(run("gate", "log", "--json").output) == []
    assert "nothing yet" in run("gate", "log").output
    assert run("gate", "run").output.startswith("begin v1: ")
    world.at = utc_now()
    world.picks("v1", 18, 20)
    assert "step v1: 20 picks at 5% show no harm" in run("gate", "run").output
    status = run("gate", "status").output
    assert "canary      50% of new conversations" in status
    assert "challenger  v1, since" in status
    world.picks("v1", 54, 60)
    assert json.loads(run("gate", "run", "--json").output)["action"] == "promote"
    assert registry.aliases() == Aliases(champion="v1")
    logged = run("gate", "log").output
    assert logged.index("begin 5%") < logged.index("step 50%") < logged.index("promote")
    found = json.loads(run("gate", "log", "--json", "--limit", "1", "--adapter", "v1").output)
    assert found[0]["figures"]["view"]["challenger"]["n"] == 80

    story = run("why", "v1").output
    told = [
        "v1 (champion)",
        "dataset dddddddddddd: 2 train, 1 test, decided",
        "night run-v1 begins by nightly",
        "trained for 12 s",
        "offline checks: admitted by nightly",
        "enough; above chance",
        "registered: learned from 2 picks",
        "accuracy 0.61",
        "challenger: nobody → v1 by nightly",
        "gate decision 1: begin by gate",
        "gate decision 2: step by gate",
        "gate decision 3: promote by gate",
        "90.0% of 80 picks",
    ]
    places = [story.find(one) for one in told]
    assert -1 not in places, told[places.index(-1)]
    events = json.loads(run("why", "v1", "--json").output)["events"]
    assert [one["at"] for one in events] == sorted(one["at"] for one in events)


def test_a_pick_is_traced_by_its_number_and_by_its_slate(run: Run, on_trial: list[str]) -> None:
    by_number, by_slate = run("trace", "2").output, run("trace", on_trial[1]).output
    assert by_number == by_slate
    assert "pick 2: chosen by agent 1 (agent), version 1" in by_number
    assert "dataset dddddddddddd (train): v1\nlearned from it: v1" in by_number
    held_out = json.loads(run("trace", on_trial[2], "--json").output)
    assert held_out["learned"] == []
    assert [use["split"] for use in held_out["uses"]] == ["test"]
    assert "no slate with id '99'" in run("trace", "99", code=1).output


def test_a_pick_that_no_night_has_seen(run: Run, world: Any) -> None:
    (slate,) = world.picks("v1", 1, 1)
    assert "No dataset holds it." in run("trace", slate).output


def test_an_adapter_that_nobody_knows(run: Run, on_trial: list[str]) -> None:
    assert "no adapter named 'v9'; registered: v1" in run("why", "v9", code=1).output


def test_moves_by_hand_are_noted_with_name_and_reason(
    run: Run, on_trial: list[str], registry: Registry, home: Path
) -> None:
    moves = ("freeze", "unfreeze", "withdraw", "challenge v1", "promote v1", "rollback")
    for words in [move.split() for move in moves]:
        run("gate", *words, code=2)  # a reason is needed
        assert "say why" in run("gate", *words, "--reason", " ", code=1).output
        assert "is no person" in run("gate", *words, "--reason", "x", "--by", "gate", code=1).output
        run("gate", *words, "--reason", f"test {words[0]}", "--by", "ann")
    noted = [(one.action, one.by) for one in AuditLog(home).entries()]
    names = ["gate_frozen", "gate_unfrozen", "withdrawn", "challenged", "promoted", "rolled_back"]
    assert noted == [(name, "ann") for name in names]
    decided = json.loads(run("gate", "log", "--json").output)
    assert [one["action"] for one in decided] == [
        "freeze",
        "unfreeze",
        "withdraw",
        "challenge",
        "promote",
        "rollback",
    ]
    assert {one["by"] for one in decided} == {"ann"}
    assert registry.aliases() == Aliases()
    assert "not frozen" in run("gate", "unfreeze", "--reason", "x", "--by", "ann", code=1).output
