"""The gatekeeper: carries out what the rules propose and what people ask for, and writes down why, first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from filelock import FileLock, Timeout
from msgspec import structs
from picktune_adapters import AliasChange, Aliases
from picktune_adapters.registry import Registry

from picktune.errors import Conflict, InvalidInput, LogUnavailable, NothingToRollBack, PicktuneError
from picktune.gate.records import MOVES, Action, Figures, GateDecision, Outcome, Proposal, View
from picktune.gate.rules import propose
from picktune.gate.view import bare_view, view_of
from picktune.log import SQLiteLogReader, gating
from picktune.records import utc_now
from picktune.settings import Settings

BY_GATE = "gate"
NOBODY = frozenset({BY_GATE, "nightly", "unknown"})
"""No person signs with these: the first two are programs of ours, the third is a user without a name."""


class Gate:
    """The gate of one home; any number of processes may have one, and they take turns.

    A decision is written into the log before the alias moves, and its outcome after. What was cut off in
    between is settled by the next one, by what the registry's history says.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        registry: Registry | None = None,
        now: Callable[[], datetime] = utc_now,
        before_move: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings
        self.registry = registry or Registry(settings.registry_path)
        self.now = now
        self._before_move = before_move

    def view(self) -> View:
        """How champion and challenger stand now; without a log, with no pick counted."""
        return self._view(self.registry.aliases())

    def decisions(self, *, adapter: str | None = None, limit: int = 100) -> list[GateDecision]:
        """The newest decisions, of one adapter or of all, the newest first."""
        if not self.settings.log_path.is_file():
            return []
        with SQLiteLogReader(self.settings.log_path) as reader:
            return reader.gate_decisions(adapter=adapter, limit=limit)

    def run(self, *, dry_run: bool = False) -> Proposal:
        """Do what the rules propose now, and return it; with ``dry_run``, only say it.

        Raises ``AliasesMoved`` if somebody moved an alias at the same moment, and what the registry and the
        log raise.
        """
        if dry_run:
            return propose(self.view(), self.settings.gate)
        with self._exclusive():
            self._settle()
            aliases = self.registry.aliases()
            view = self._view(aliases)
            proposal = propose(view, self.settings.gate)
            if proposal.action == "hold" or self._said_already(proposal, view):
                return proposal
            self._act(proposal, BY_GATE, aliases, view)
            return proposal

    def promote(self, name: str, *, by: str, reason: str, expected: Aliases | None = None) -> AliasChange:
        """Make an adapter champion by hand, whatever its support. Raises what ``Registry.promote`` does."""
        return self._by_hand("promote", name, by=by, reason=reason, expected=expected)

    def rollback(self, *, by: str, reason: str, expected: Aliases | None = None) -> AliasChange:
        """Take the last promotion back by hand. Raises what ``Registry.rollback`` does."""
        return self._by_hand("rollback", None, by=by, reason=reason, expected=expected)

    def challenge(self, name: str, *, by: str, reason: str, expected: Aliases | None = None) -> AliasChange:
        """Put an adapter on trial by hand, whatever the offline checks said."""
        return self._by_hand("challenge", name, by=by, reason=reason, expected=expected)

    def withdraw(self, *, by: str, reason: str, expected: Aliases | None = None) -> AliasChange:
        """End the challenger's trial by hand."""
        if self.registry.aliases().challenger is None:
            raise NothingToRollBack("no adapter is on trial, so there is nothing to withdraw")
        return self._by_hand("withdraw", None, by=by, reason=reason, expected=expected)

    def freeze(self, *, by: str, reason: str) -> GateDecision:
        """Let the gate move nothing by itself from now on; people still may. Raises ``Conflict``."""
        return self._say("freeze", by=by, reason=reason)

    def unfreeze(self, *, by: str, reason: str) -> GateDecision:
        """Let the gate go on. Raises ``Conflict`` if it is not frozen."""
        return self._say("unfreeze", by=by, reason=reason)

    def _by_hand(
        self, action: Action, name: str | None, *, by: str, reason: str, expected: Aliases | None
    ) -> AliasChange:
        by, reason = signed(by, reason)
        with self._exclusive():
            self._settle()
            aliases = self.registry.aliases()
            if name is not None:
                self.registry.get(name)  # no decision about a version that is not there
            adapter = name or (aliases.champion if action == "rollback" else None) or aliases.challenger
            proposal = Proposal(action=action, adapter=adapter, reason=reason)
            return self._act(proposal, by, expected or aliases, self._view(aliases))

    def _say(self, action: Action, *, by: str, reason: str) -> GateDecision:
        by, reason = signed(by, reason)
        with self._exclusive():
            self._settle()
            aliases = self.registry.aliases()
            view = self._view(aliases)
            if (view.frozen is not None) == (action == "freeze"):
                state = f"frozen already: {view.frozen}" if view.frozen else "not frozen"
                raise Conflict(f"the gate is {state}; nothing was changed")
            decision = self._decision(Proposal(action=action, reason=reason), by, aliases, view)
            return self._keep(structs.replace(decision, outcome="done"))

    def _act(self, proposal: Proposal, by: str, aliases: Aliases, view: View) -> AliasChange:
        """Write the decision, move what it moves, and write how that came out."""
        decision = self._decision(proposal, by, aliases, view)
        if proposal.action not in MOVES:
            self._keep(structs.replace(decision, outcome="done"))
            return _unmoved(aliases, decision)
        decision = self._keep(decision)
        self._before_move()
        try:
            change = self._move(decision, aliases)
        except PicktuneError as error:
            self._outcome(decision, "failed", error.message)
            raise
        self._outcome(decision, "done", f"{change.alias}: {_who(change.before)} → {_who(change.after)}")
        return change

    def _move(self, decision: GateDecision, expected: Aliases) -> AliasChange:
        by, reason, now = decision.by, decision.reason, decision.decided_at
        match decision.action:
            case "promote":
                assert decision.adapter is not None  # noqa: S101 - whoever promotes has named it
                return self.registry.promote(
                    decision.adapter, by=by, reason=reason, now=now, expected=expected
                )
            case "rollback":
                return self.registry.rollback(by=by, reason=reason, now=now, expected=expected)
            case _:
                name = None if decision.action == "withdraw" else decision.adapter
                return self.registry.move(
                    "challenger", name, by=by, reason=reason, now=now, expected=expected
                )

    def _settle(self) -> None:
        """Write the outcomes that a killed process left open, by what the registry's history says."""
        if not self.settings.log_path.is_file():
            return
        with SQLiteLogReader(self.settings.log_path) as reader:
            cut_off = [one for one in reader.gate_decisions(limit=20) if one.outcome is None]
        if not cut_off:
            return
        moved = {(change.at, change.by): change for change in self.registry.history()}
        for decision in reversed(cut_off):
            change = moved.get((decision.decided_at, decision.by))
            if change is None:
                self._outcome(decision, "abandoned", "cut off before anything was moved")
            else:
                said = f"{change.alias}: {_who(change.before)} → {_who(change.after)}"
                self._outcome(decision, "done", f"{said}; noted later, for the process was cut off")

    def _said_already(self, proposal: Proposal, view: View) -> bool:
        """Whether the newest decision about the adapter is this very block, or this move failing anew."""
        newest = next(iter(self.decisions(adapter=proposal.adapter, limit=1)), None)
        if newest is None or newest.action != proposal.action or newest.by != BY_GATE:
            return False
        if proposal.action == "block":
            before = newest.figures.view.challenger
            return before is not None and before.worse_tags == (
                view.challenger.worse_tags if view.challenger else ()
            )
        return newest.outcome == "failed" and newest.reason == proposal.reason

    def _view(self, aliases: Aliases) -> View:
        if not self.settings.log_path.is_file():
            return bare_view(aliases, self.registry.history())
        with SQLiteLogReader(self.settings.log_path) as reader:
            return view_of(reader, self.settings, aliases, self.registry.history())

    def _decision(self, proposal: Proposal, by: str, aliases: Aliases, view: View) -> GateDecision:
        return GateDecision(
            id=0,
            action=proposal.action,
            adapter=proposal.adapter,
            by=by,
            reason=proposal.reason,
            champion=aliases.champion,
            challenger=aliases.challenger,
            share=proposal.share,
            figures=Figures(view=view, rules=self.settings.gate),
            decided_at=self.now().astimezone(UTC),
        )

    def _keep(self, decision: GateDecision) -> GateDecision:
        with gating.writing(self.settings.log_path) as run:
            kept: GateDecision = run(lambda connection: gating.add(connection, decision))
            return kept

    def _outcome(self, decision: GateDecision, outcome: Outcome, note: str) -> None:
        at = self.now()
        with gating.writing(self.settings.log_path) as run:
            run(lambda connection: gating.settle(connection, decision.id, outcome, note, at))

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        self.settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FileLock(self.settings.folder / "gate.lock", timeout=60)
        try:
            with lock:
                yield
        except Timeout as error:
            raise LogUnavailable(
                "another process has been at the gate for a minute; wait for it, or end it"
            ) from error


def signed(by: str, reason: str) -> tuple[str, str]:
    """The name and the reason, stripped; raises ``InvalidInput`` unless both say something."""
    by, reason = by.strip(), reason.strip()
    if not by or by.lower() in NOBODY:
        raise InvalidInput(f"{by!r} is no person; say who does it", field="by")
    if not reason:
        raise InvalidInput("say why: the reason is kept in the history", field="reason")
    if len(reason) > 2000 or len(by) > 200:
        raise InvalidInput("keep the name within 200 characters, the reason within 2,000", field="reason")
    return by, reason


def _unmoved(aliases: Aliases, decision: GateDecision) -> AliasChange:
    return AliasChange(
        alias="challenger",
        before=aliases.challenger,
        after=aliases.challenger,
        by=decision.by,
        reason=decision.reason,
        at=decision.decided_at,
    )


def _who(name: str | None) -> str:
    return name or "nobody"
