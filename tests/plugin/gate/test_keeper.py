"""The gate on a real registry and a real log: what picks do, what people may do, and what a kill leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from picktune.errors import AdapterNotFound, AliasesMoved, Conflict, InvalidInput, NothingToRollBack
from picktune.gate.keeper import Gate
from picktune.log.verify import verify
from picktune_adapters import Aliases
from picktune_adapters.registry import Registry

MakeGate = Callable[..., Gate]
ANN = {"by": "ann", "reason": "because"}


def admit(registry: Registry, world: Any, name: str) -> None:
    registry.move("challenger", name, by="nightly", reason="passed offline", now=world.now())


def actions(gate: Gate) -> list[str]:
    return [one.action for one in gate.decisions()[::-1]]


def test_picks_take_a_good_adapter_through_the_canary_and_crown_it(
    make_gate: MakeGate, registry: Registry, register: Any, world: Any
) -> None:
    register("v1")
    admit(registry, world, "v1")
    gate = make_gate()
    assert gate.run().action == "begin"
    assert gate.run().action == "hold"
    for share in (0.2, 0.5):
        world.picks("v1", 16, 20)
        assert gate.run(dry_run=True).action == "step"
        assert gate.view().share != share  # a dry run says it only
        step = gate.run()
        assert (step.action, step.share) == ("step", share)
    world.picks("v1", 48, 60)
    assert gate.run().action == "promote"
    assert registry.aliases() == Aliases(champion="v1")
    assert actions(gate) == ["begin", "step", "step", "promote"]
    last = gate.decisions()[0]
    standing = last.figures.view.challenger
    assert standing is not None
    assert (last.by, last.outcome, last.challenger) == ("gate", "done", "v1")
    assert (standing.wins, standing.n, standing.annotators) == (80, 100, 10)
    assert standing.low > 0.5
    assert last.figures.rules.promote_at == 0.7
    change = registry.history()[-2]
    assert (change.by, change.after, change.reason) == ("gate", "v1", last.reason)
    assert verify(world.path).sound


def test_a_bad_challenger_is_withdrawn_by_itself(
    make_gate: MakeGate, registry: Registry, register: Any, world: Any
) -> None:
    register("v1")
    admit(registry, world, "v1")
    world.picks("v1", 5, 40)
    gate = make_gate()
    assert gate.run().action == "withdraw"
    assert registry.aliases() == Aliases()
    assert gate.run().action == "hold"
    # A person may try it once more, and then it begins anew: what was held against it then is no more.
    gate.challenge("v1", by="ann", reason="it was the prompt")
    assert gate.run().action == "begin"


def test_a_champion_whose_support_falls_is_rolled_back_to_the_one_before(
    make_gate: MakeGate, registry: Registry, register: Any, world: Any
) -> None:
    gate = make_gate()
    for name in ("v1", "v2"):
        register(name)
        gate.promote(name, **ANN)
    world.picks("v2", 90, 100, arm="champion")
    assert gate.run().action == "hold"
    gate.promote("v1", **ANN)
    gate.promote("v2", **ANN)  # its old picks are of an earlier reign, and hold it no more
    world.picks("v2", 10, 60, arm="champion")
    assert gate.run().action == "rollback"
    assert registry.aliases() == Aliases(champion="v1")
    world.picks("v1", 10, 60, arm="champion")
    assert gate.run().action == "rollback"
    assert gate.decisions()[0].outcome == "done"


def test_a_protected_tag_that_got_worse_blocks_and_is_said_once(
    make_gate: MakeGate, registry: Registry, register: Any, world: Any
) -> None:
    register("v1")
    admit(registry, world, "v1")
    gate = make_gate(protected_tags=("refund", "never seen"), steps=())
    world.picks("v1", 95, 100)
    world.picks("v1", 5, 20, tags=("refund",))
    assert gate.run().action == "block"
    assert gate.run().action == "block"
    assert actions(gate) == ["block"]
    assert "'refund' has 25.0% of 20 picks" in gate.decisions()[0].reason
    assert registry.aliases() == Aliases(challenger="v1")
    world.picks("v1", 40, 40, tags=("refund",))
    assert gate.run().action == "promote"


def test_a_frozen_gate_moves_nothing_and_people_still_may(
    make_gate: MakeGate, registry: Registry, register: Any, world: Any
) -> None:
    register("v1")
    admit(registry, world, "v1")
    world.picks("v1", 0, 40)
    gate = make_gate()
    gate.freeze(by="ann", reason="a launch")
    with pytest.raises(Conflict, match="frozen already: a launch"):
        gate.freeze(by="bob", reason="again")
    assert "frozen: a launch (ann)" in gate.run().reason
    assert registry.aliases() == Aliases(challenger="v1")
    gate.promote("v1", by="bob", reason="the board wants it")
    assert registry.aliases() == Aliases(champion="v1")
    gate.unfreeze(by="ann", reason="it is over")
    with pytest.raises(Conflict, match="not frozen"):
        gate.unfreeze(by="ann", reason="again")
    assert actions(gate) == ["freeze", "promote", "unfreeze"]
    promoted = gate.decisions(adapter="v1")[0]
    assert promoted.figures.view.challenger is not None
    assert promoted.figures.view.challenger.n == 40  # also a person's decision says what was known


@pytest.mark.parametrize(
    ("by", "reason", "field"),
    [
        ("", "x", "by"),
        (" ", "x", "by"),
        ("gate", "x", "by"),
        ("Nightly", "x", "by"),
        ("unknown", "x", "by"),
        ("ann", "", "reason"),
        ("ann", " \n", "reason"),
        ("ann", "x" * 2001, "reason"),
    ],
)
def test_a_person_has_a_name_and_a_reason(
    make_gate: MakeGate, registry: Registry, register: Any, by: str, reason: str, field: str
) -> None:
    register("v1")
    gate = make_gate()
    for move in (
        lambda: gate.promote("v1", by=by, reason=reason),
        lambda: gate.challenge("v1", by=by, reason=reason),
        lambda: gate.rollback(by=by, reason=reason),
        lambda: gate.freeze(by=by, reason=reason),
    ):
        with pytest.raises(InvalidInput) as raised:
            move()
        assert raised.value.field == field
    assert registry.history() == []
    assert gate.decisions() == []


def test_what_cannot_be_done_is_refused_and_its_failure_kept(
    make_gate: MakeGate, registry: Registry, register: Any
) -> None:
    gate = make_gate()
    with pytest.raises(AdapterNotFound):
        gate.promote("v9", **ANN)
    with pytest.raises(NothingToRollBack):
        gate.withdraw(**ANN)
    assert gate.decisions() == []
    with pytest.raises(NothingToRollBack):
        gate.rollback(**ANN)
    register("v1")
    with pytest.raises(AliasesMoved):
        gate.promote("v1", **ANN, expected=Aliases(champion="v0"))
    assert [(one.action, one.outcome) for one in gate.decisions()] == [
        ("promote", "failed"),
        ("rollback", "failed"),
    ]
    assert registry.history() == []


def test_a_damaged_winner_is_not_promoted_and_does_not_fill_the_log(
    make_gate: MakeGate, registry: Registry, register: Any, world: Any
) -> None:
    register("v1")
    admit(registry, world, "v1")
    world.picks("v1", 90, 100)
    weights = registry.folder("v1") / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    gate = make_gate(steps=())
    with pytest.raises(Exception, match="damaged"):
        gate.run()
    assert gate.run().action == "promote"
    assert actions(gate) == ["promote"]
    assert "damaged" in gate.decisions()[0].note


def test_two_gates_at_once_move_once(
    make_gate: MakeGate, registry: Registry, register: Any, world: Any
) -> None:
    register("v1")
    admit(registry, world, "v1")
    world.picks("v1", 90, 100)
    gates = [make_gate(steps=()) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda gate: gate.run().action, gates))
    assert sorted(found) == ["hold", "hold", "hold", "promote"]
    assert actions(gates[0]) == ["promote"]


def test_somebody_who_moves_at_the_same_moment_wins(
    make_gate: MakeGate, registry: Registry, register: Any, world: Any
) -> None:
    register("v1")
    register("v2")
    admit(registry, world, "v1")
    world.picks("v1", 90, 100)
    gate = make_gate(before_move=lambda: admit(registry, world, "v2"), steps=())
    with pytest.raises(AliasesMoved):
        gate.run()
    assert registry.aliases() == Aliases(challenger="v2")
    assert gate.decisions()[0].outcome == "failed"


KILLED = """
import os, signal, sys
from pathlib import Path
from picktune.gate.keeper import Gate
from picktune.settings import Settings
home, when = sys.argv[1:]
kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
gate = Gate(Settings(home=home), before_move=kill if when == "before" else lambda: None)
if when == "after":
    gate._outcome = kill
gate.promote("v1", by="ann", reason="because")
"""


@pytest.mark.parametrize(("when", "outcome"), [("before", "abandoned"), ("after", "done")])
def test_a_kill_half_way_leaves_a_story_that_holds_together(
    when: str, outcome: str, home: Path, make_gate: MakeGate, registry: Registry, register: Any, world: Any
) -> None:
    register("v1")
    done = subprocess.run([sys.executable, "-c", KILLED, str(home), when], check=False, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    gate = make_gate()
    assert gate.decisions()[0].outcome is None
    assert registry.aliases().champion == ("v1" if when == "after" else None)
    gate.run()
    (decision,) = gate.decisions(adapter="v1")
    assert decision.outcome == outcome
    assert decision.settled_at is not None
    assert registry.aliases().champion == ("v1" if when == "after" else None)
    gate.promote("v1", **ANN)
    assert registry.aliases() == Aliases(champion="v1")
    assert verify(world.path).sound


def test_the_log_of_decisions_is_never_changed(make_gate: MakeGate, world: Any) -> None:
    import sqlite3

    gate = make_gate()
    gate.freeze(by="ann", reason="a launch")
    with sqlite3.connect(world.path) as connection:
        for statement in (
            "UPDATE gate_decisions SET by = 'bob'",
            "DELETE FROM gate_decisions",
            "REPLACE INTO gate_decisions SELECT * FROM gate_decisions",
            "UPDATE gate_outcomes SET note = 'x'",
            "DELETE FROM gate_outcomes",
            "REPLACE INTO gate_outcomes SELECT * FROM gate_outcomes",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="append only"):
                connection.execute(statement)
    connection.close()
    world.at += timedelta(days=1)
    assert gate.decisions()[0].by == "ann"
