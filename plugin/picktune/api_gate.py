"""The JSON API of the gate: how champion and challenger stand, what was decided, and moving by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from anyio import to_thread
from msgspec import Meta
from picktune_adapters import AliasChange

from picktune.api import endpoint
from picktune.endpoint import Call
from picktune.errors import InvalidInput
from picktune.gate.orders import Order, carry_out
from picktune.gate.records import GateDecision, GateSettings, Proposal, View
from picktune.records import Record, ShortText

if TYPE_CHECKING:
    from picktune.gate.keeper import Gate

MOVING = ("adapter_not_found", "adapter_corrupt", "adapter_in_use", "aliases_moved", "nothing_to_roll_back")


class GateAnswer(Record, frozen=True, kw_only=True):
    """How both stand, the rules, and what they would do now."""

    champion: str | None
    challenger: str | None
    view: View
    proposal: Proposal
    rules: GateSettings


class DecisionsQuery(Record, frozen=True, kw_only=True):
    """Whose decisions, and at most how many."""

    adapter: ShortText | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class GateDecisions(Record, frozen=True, kw_only=True):
    """Decisions, the newest first, with the figures that they rested on."""

    decisions: tuple[GateDecision, ...]


class OrderBody(Order, frozen=True, kw_only=True):
    """A move by hand; ``by`` is the person who asks for it. A browser session asks for itself."""

    by: ShortText | None = None


class Moved(Record, frozen=True, kw_only=True):
    """What the move did; ``change`` is null if no alias was to be moved."""

    change: AliasChange | None


class RunGate(Record, frozen=True, kw_only=True):
    """With ``dry_run``, what would be done is only said."""

    dry_run: bool = False


def _story_answer() -> type[Record]:
    from picktune.gate.story import Story

    return Story


def _trace_answer() -> type[Record]:
    from picktune.gate.story import Trace

    return Trace


@endpoint("GET", "/gate", scope="read", answer=GateAnswer, errors=("log_unavailable",))
async def read_gate(call: Call) -> GateAnswer:
    """How champion and challenger stand, and what the gate would do now."""

    def look() -> GateAnswer:
        from picktune.gate.rules import propose

        gate = _gate(call)
        view, rules = gate.view(), gate.settings.gate
        return GateAnswer(
            champion=view.champion.adapter if view.champion else None,
            challenger=view.challenger.adapter if view.challenger else None,
            view=view,
            proposal=propose(view, rules),
            rules=rules,
        )

    return await to_thread.run_sync(look)


@endpoint(
    "GET",
    "/gate/decisions",
    scope="read",
    query=DecisionsQuery,
    answer=GateDecisions,
    errors=("log_unavailable",),
)
async def list_gate_decisions(call: Call) -> GateDecisions:
    """What the gate and people decided about the aliases, the newest first."""
    query: DecisionsQuery = call.query
    found = await to_thread.run_sync(lambda: _gate(call).decisions(adapter=query.adapter, limit=query.limit))
    return GateDecisions(decisions=tuple(found))


@endpoint(
    "POST",
    "/gate/moves",
    scope="admin",
    body=OrderBody,
    answer=Moved,
    errors=("conflict", *MOVING, "log_unavailable"),
)
async def move_by_hand(call: Call) -> Moved:
    """Promote, roll back, put on trial, withdraw, freeze or unfreeze, by a named person, for a reason."""
    body: OrderBody = call.body
    by = call.viewer.name if call.viewer.is_browser else body.by
    if by is None:
        raise InvalidInput("say who asks for it: send by", field="by")
    order = Order(move=body.move, name=body.name, reason=body.reason, champion=body.champion)
    return Moved(change=await to_thread.run_sync(lambda: carry_out(_gate(call), order, by)))


@endpoint(
    "POST",
    "/gate/run",
    scope="admin",
    body=RunGate,
    answer=Proposal,
    errors=(*MOVING, "log_unavailable"),
)
async def run_gate(call: Call) -> Proposal:
    """Do now what the rules say, and tell what that was."""
    body: RunGate = call.body
    return await to_thread.run_sync(lambda: _gate(call).run(dry_run=body.dry_run))


@endpoint(
    "GET",
    "/adapters/{name}/story",
    scope="read",
    answer=_story_answer,
    errors=("adapter_not_found", "state_unreadable", "log_unavailable"),
)
async def read_story(call: Call) -> Record:
    """The story of an adapter, from picks to promotion."""

    def read() -> Record:
        from picktune.gate.story import story_of

        return story_of(call.service.settings, call.path["name"])

    return await _in_thread(read)


@endpoint(
    "GET",
    "/trace/{pick}",
    scope="read",
    answer=_trace_answer,
    errors=("slate_not_found", "state_unreadable", "log_unavailable"),
)
async def read_trace(call: Call) -> Record:
    """Which datasets and adapters a pick went into, by its number in the log or its slate's id."""

    def read() -> Record:
        from picktune.gate.story import trace_of

        return trace_of(call.service.settings, call.path["pick"])

    return await _in_thread(read)


async def _in_thread(read: Callable[[], Record]) -> Record:
    return await to_thread.run_sync(read)


def _gate(call: Call) -> Gate:
    from picktune.gate.keeper import Gate

    service = call.service
    return Gate(service.settings, registry=service.registry, now=service.now)
