from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from picktune_adapters import Aliases, Registry
from picktune_adapters.aliases import fold
from picktune_adapters.errors import (
    AdapterCorrupt,
    AdapterInUse,
    AdapterNotFound,
    AliasesMoved,
    MoveUnexplained,
    NothingToRollBack,
    RegistryCorrupt,
)

from .conftest import NOW, Add, MakeAdapter

WHO: dict[str, Any] = {"by": "lead", "reason": "because", "now": NOW}


@pytest.mark.parametrize(("by", "reason"), [("", "why"), (" ", "why"), ("ann", ""), ("ann", "\n")])
def test_an_alias_is_moved_by_somebody_for_a_reason(
    registry: Registry, add: Add, by: str, reason: str
) -> None:
    add("v1")
    for move in (
        lambda: registry.move("challenger", "v1", by=by, reason=reason, now=NOW),
        lambda: registry.promote("v1", by=by, reason=reason, now=NOW),
        lambda: registry.rollback(by=by, reason=reason, now=NOW),
    ):
        with pytest.raises(MoveUnexplained, match="say wh") as raised:
            move()
        assert raised.value.field == ("reason" if by.strip() else "by")
    assert registry.history() == []


def test_a_move_that_was_decided_on_other_aliases_is_refused(registry: Registry, add: Add) -> None:
    add("v1")
    add("v2")
    seen = registry.aliases()
    registry.move("challenger", "v1", expected=seen, **WHO)
    for move in (
        lambda: registry.move("challenger", "v2", expected=seen, **WHO),
        lambda: registry.promote("v1", expected=seen, **WHO),
        lambda: registry.rollback(expected=seen, **WHO),
    ):
        with pytest.raises(AliasesMoved, match="the challenger v1: somebody has moved them"):
            move()
    assert registry.aliases() == Aliases(challenger="v1")


def test_a_challenger_becomes_champion(registry: Registry, add: Add) -> None:
    add("v1")
    change = registry.move("challenger", "v1", by="nightly", reason="passed", now=NOW)
    assert (change.before, change.after, change.by, change.reason, change.at) == (
        None,
        "v1",
        "nightly",
        "passed",
        NOW,
    )
    assert registry.aliases() == Aliases(champion=None, challenger="v1")
    assert registry.promote("v1", **WHO).alias == "champion"
    assert registry.aliases() == Aliases(champion="v1", challenger=None)
    assert [(one.alias, one.before, one.after) for one in registry.history()] == [
        ("challenger", None, "v1"),
        ("champion", None, "v1"),
        ("challenger", "v1", None),
    ]


def test_another_challenger_stays_on_trial(registry: Registry, add: Add) -> None:
    add("v1")
    add("v2")
    registry.move("challenger", "v2", **WHO)
    registry.promote("v1", **WHO)
    assert registry.aliases() == Aliases(champion="v1", challenger="v2")
    registry.rollback(**WHO)
    assert registry.aliases() == Aliases(champion=None, challenger="v2")


def test_moving_to_where_it_stands_writes_nothing(registry: Registry, add: Add) -> None:
    add("v1")
    registry.promote("v1", **WHO)
    again = registry.promote("v1", by="other", reason="twice", now=NOW)
    assert again.before == again.after == "v1"
    assert len(registry.history()) == 1


def test_an_alias_names_only_what_can_be_served(registry: Registry, add: Add) -> None:
    add("v1")
    with pytest.raises(AdapterNotFound, match="'v9'; registered: v1"):
        registry.move("challenger", "v9", **WHO)
    path = registry.folder("v1") / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(AdapterCorrupt):
        registry.promote("v1", **WHO)
    assert registry.aliases() == Aliases()
    assert registry.history() == []


def test_the_champion_cannot_challenge_itself(registry: Registry, add: Add) -> None:
    add("v1")
    registry.promote("v1", **WHO)
    with pytest.raises(AdapterInUse, match="cannot challenge itself"):
        registry.move("challenger", "v1", **WHO)


def test_rollback_goes_back_to_the_base_and_then_no_further(registry: Registry, add: Add) -> None:
    for name in ("v1", "v2", "v3"):
        add(name)
        registry.promote(name, **WHO)
    assert [registry.rollback(**WHO).after for _ in range(3)] == ["v2", "v1", None]
    assert registry.aliases() == Aliases()
    with pytest.raises(NothingToRollBack, match="the base model"):
        registry.rollback(**WHO)


def test_rollback_without_a_champion_withdraws_the_challenger(registry: Registry, add: Add) -> None:
    add("v1")
    registry.move("challenger", "v1", **WHO)
    change = registry.rollback(**WHO)
    assert (change.alias, change.before, change.after) == ("challenger", "v1", None)
    assert registry.aliases() == Aliases()


def test_rollback_passes_over_what_cannot_answer(registry: Registry, add: Add) -> None:
    for name in ("v1", "v2", "v3", "v4"):
        add(name)
        registry.promote(name, **WHO)
    registry.remove("v3", **WHO)
    (registry.folder("v2") / "adapter_config.json").write_text("{}")
    assert registry.rollback(**WHO).after == "v1"
    assert registry.rollback(**WHO).after is None


def test_rollback_to_the_challenger_ends_its_trial(registry: Registry, add: Add) -> None:
    add("v1")
    add("v2")
    registry.promote("v1", **WHO)
    registry.promote("v2", **WHO)
    registry.move("challenger", "v1", **WHO)
    registry.rollback(**WHO)
    assert registry.aliases() == Aliases(champion="v1", challenger=None)


def test_a_version_in_use_cannot_be_removed(registry: Registry, add: Add) -> None:
    add("v1")
    add("v2")
    registry.promote("v1", **WHO)
    registry.move("challenger", "v2", **WHO)
    for name, alias in (("v1", "champion"), ("v2", "challenger")):
        with pytest.raises(AdapterInUse, match=f"is the {alias}"):
            registry.remove(name, **WHO)
        registry.verify(name)


def test_what_stays_of_a_removed_version(registry: Registry, add: Add) -> None:
    version = add("2026-11-24-1")
    removed = registry.remove("2026-11-24-1", **WHO)
    assert registry.removed() == [removed]
    assert removed.version == version
    assert registry.versions() == []
    assert registry.next_name(NOW) == "2026-11-24-2"
    assert list((registry.root / "adapters").iterdir()) == []
    with pytest.raises(AdapterNotFound):
        registry.remove("2026-11-24-1", **WHO)


def test_a_damaged_version_can_be_removed(registry: Registry, add: Add) -> None:
    add("v1")
    (registry.folder("v1") / "version.json").unlink()
    assert registry.remove("v1", **WHO).version is None
    assert registry.faults() == []


def test_a_removal_that_was_killed_half_way_can_be_repeated(registry: Registry, add: Add) -> None:
    add("v1")
    add("v2")
    registry.remove("v1", **WHO)
    # Killed after the tombstone and before the files went.
    tombstones = registry.root / "removed"
    (tombstones / "v2.json").write_bytes((tombstones / "v1.json").read_bytes().replace(b"v1", b"v2"))
    assert [one.name for one in registry.removed()] == ["v1"]
    assert registry.verify("v2").name == "v2"
    registry.remove("v2", **WHO)
    assert [one.name for one in registry.removed()] == ["v1", "v2"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b'{"champion": 1}', b'{"champion": null, "winner": "v1"}'],
)
def test_aliases_that_cannot_be_read(registry: Registry, add: Add, content: bytes) -> None:
    add("v1")
    registry.promote("v1", **WHO)
    path = registry.root / "aliases.json"
    path.write_bytes(content)
    for call in (registry.aliases, lambda: registry.move("champion", None, **WHO)):
        with pytest.raises(RegistryCorrupt, match=r"aliases\.json cannot be read .* delete it"):
            call()
    path.unlink()  # as the message says
    assert registry.aliases() == Aliases(champion="v1")
    registry.move("champion", None, **WHO)
    assert path.exists()
    assert registry.aliases() == Aliases()


@pytest.mark.parametrize("line", [b"{}", b"\xff", b'{"alias": "winner"}', b""])
def test_a_history_that_cannot_be_read(registry: Registry, add: Add, line: bytes) -> None:
    add("v1")
    registry.promote("v1", **WHO)
    path = registry.root / "history.jsonl"
    path.write_bytes(path.read_bytes() + line + b"\n")
    for call in (registry.history, lambda: registry.rollback(**WHO)):
        with pytest.raises(RegistryCorrupt, match=r"line 2 of .*history\.jsonl"):
            call()
    assert registry.aliases() == Aliases(champion="v1")  # the server goes on


def test_a_torn_line_is_no_move(registry: Registry, add: Add) -> None:
    add("v1")
    registry.promote("v1", **WHO)
    path = registry.root / "history.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])
    assert len(registry.history()) == 1
    registry.move("champion", None, **WHO)
    assert [one.after for one in registry.history()] == ["v1", None]


def test_killed_between_history_and_aliases_the_move_is_completed(registry: Registry, add: Add) -> None:
    add("v1")
    path = registry.root / "aliases.json"
    before = path.read_bytes()
    registry.promote("v1", **WHO)
    path.write_bytes(before)
    add("v2")
    assert registry.aliases() == Aliases(champion="v1")


class Moves(RuleBasedStateMachine):
    """Any sequence of moves leaves aliases, history and files that agree, and rollbacks that go back."""

    source: Path
    new_root: Callable[[], Path]

    @initialize()
    def start(self) -> None:
        self.count = 0
        self.stack: list[str | None] = [None]
        self.registry = Registry(type(self).new_root())
        self.at = NOW
        for _ in range(3):
            self.add()

    def who(self) -> dict[str, Any]:
        self.at += timedelta(minutes=1)
        return {"by": "t", "reason": "r", "now": self.at}

    def add(self) -> None:
        self.count += 1
        fields = {"base_model": "b", "run_id": "r", "dataset_id": "d", "picks": 1, "now": NOW}
        self.registry.add(self.source, name=f"v{self.count}", **fields)

    def names(self) -> list[str]:
        return [version.name for version in self.registry.versions()]

    @rule(which=st.integers(0, 9))
    def promote(self, which: int) -> None:
        name = self.names()[which % len(self.names())]
        if self.registry.promote(name, **self.who()).before != name:
            self.stack.append(name)

    @rule(which=st.integers(0, 9))
    def challenge(self, which: int) -> None:
        name = self.names()[which % len(self.names())]
        if name == self.registry.aliases().champion:
            with pytest.raises(AdapterInUse):
                self.registry.move("challenger", name, **self.who())
        else:
            self.registry.move("challenger", name, **self.who())

    @rule()
    def withdraw_champion(self) -> None:
        if self.registry.move("champion", None, **self.who()).before is not None:
            self.stack.append(None)

    @rule()
    def withdraw_challenger(self) -> None:
        self.registry.move("challenger", None, **self.who())

    @rule()
    def rollback(self) -> None:
        before = self.registry.aliases()
        there = {None, *self.names()}
        *earlier, present = self.stack
        while earlier and (earlier[-1] not in there or earlier[-1] == present):
            earlier.pop()
        if earlier:
            self.registry.rollback(**self.who())
            self.stack = earlier
            assert self.registry.aliases().champion == earlier[-1]
        elif before.challenger is not None:
            self.registry.rollback(**self.who())
            assert self.registry.aliases() == Aliases(champion=before.champion)
        else:
            with pytest.raises(NothingToRollBack):
                self.registry.rollback(**self.who())

    @precondition(lambda self: len(self.names()) > 3)
    @rule(which=st.integers(0, 9))
    def remove(self, which: int) -> None:
        name = self.names()[which % len(self.names())]
        aliases = self.registry.aliases()
        if name in (aliases.champion, aliases.challenger):
            with pytest.raises(AdapterInUse):
                self.registry.remove(name, **self.who())
        else:
            self.registry.remove(name, **self.who())

    @precondition(lambda self: self.count < 6)
    @rule()
    def add_one(self) -> None:
        self.add()

    @rule()
    def lose_aliases(self) -> None:
        (self.registry.root / "aliases.json").unlink(missing_ok=True)

    @invariant()
    def aliases_and_history_agree(self) -> None:
        aliases, history = self.registry.aliases(), self.registry.history()
        assert aliases == fold(history)
        assert aliases.champion == self.stack[-1]
        state: dict[str, str | None] = {"champion": None, "challenger": None}
        for change in history:
            assert change.before == state[change.alias]
            assert change.before != change.after
            state[change.alias] = change.after
        assert [change.at for change in history] == sorted(change.at for change in history)

    @invariant()
    def aliases_name_what_is_there(self) -> None:
        aliases = self.registry.aliases()
        named = {aliases.champion, aliases.challenger} - {None}
        assert named <= set(self.names())
        assert aliases.champion is None or aliases.champion != aliases.challenger

    @invariant()
    def no_name_is_used_twice(self) -> None:
        gone = {one.name for one in self.registry.removed()}
        assert gone.isdisjoint(self.names())
        assert len(gone) + len(self.names()) == self.count


def test_any_sequence_of_moves(tmp_path_factory: pytest.TempPathFactory, make_adapter: MakeAdapter) -> None:
    class Machine(Moves):
        source = make_adapter()
        new_root = staticmethod(lambda: tmp_path_factory.mktemp("moves") / "registry")

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=20,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
