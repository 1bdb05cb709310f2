"""What a person asks of the gate over the API or at the page, carried out and noted in the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import UNSET, Meta, UnsetType
from picktune_adapters import AliasChange

from picktune.errors import Conflict, InvalidInput
from picktune.records import Record, ShortText

if TYPE_CHECKING:
    from picktune.gate.keeper import Gate

Move = Literal["promote", "rollback", "challenge", "withdraw", "freeze", "unfreeze"]


class Order(Record, frozen=True, kw_only=True):
    """A move by hand. ``name`` is the adapter to promote or to put on trial.

    ``champion``, if it is sent, is the one that whoever asks believes to be in place ('' for none): if
    somebody else has moved it since, the order is refused.
    """

    move: Move
    name: ShortText | None = None
    reason: Annotated[str, Meta(max_length=500)]
    champion: str | UnsetType = UNSET


def carry_out(gate: Gate, order: Order, by: str) -> AliasChange | None:
    """Do it, and note who did; what was moved, or ``None`` for a freeze.

    Raises ``InvalidInput`` without a name or a reason, ``Conflict`` if the champion is another one, and what
    the gate raises.
    """
    from picktune.audit import AuditLog, audited
    from picktune.gate.keeper import signed

    by, reason = signed(by, order.reason)
    aliases = gate.registry.aliases()
    if order.champion is not UNSET and (aliases.champion or "") != order.champion:
        raise Conflict(
            f"the champion is {aliases.champion or 'none'!r} now: somebody has moved it; load the page again",
            field="champion",
        )
    name = order.name or ""
    if order.move in {"promote", "challenge"} and not name:
        raise InvalidInput("say which adapter is meant", field="name")
    log, now = AuditLog(gate.settings.folder), gate.now()
    change: AliasChange | None = None
    match order.move:
        case "promote":
            with audited(log, "promoted", name, by=by, now=now, reason=reason) as told:
                change = gate.promote(name, by=by, reason=reason, expected=aliases)
                told["before"] = change.before or "the base"
        case "rollback":
            with audited(log, "rolled_back", by=by, now=now, reason=reason) as told:
                change = gate.rollback(by=by, reason=reason, expected=aliases)
                told.update(before=change.before or "the base", after=change.after or "the base")
        case "challenge":
            with audited(log, "challenged", name, by=by, now=now, reason=reason) as told:
                change = gate.challenge(name, by=by, reason=reason, expected=aliases)
                told["before"] = change.before or "nobody"
        case "withdraw":
            with audited(log, "withdrawn", aliases.challenger or "", by=by, now=now, reason=reason):
                change = gate.withdraw(by=by, reason=reason, expected=aliases)
        case "freeze":
            with audited(log, "gate_frozen", by=by, now=now, reason=reason):
                gate.freeze(by=by, reason=reason)
        case "unfreeze":
            with audited(log, "gate_unfrozen", by=by, now=now, reason=reason):
                gate.unfreeze(by=by, reason=reason)
    return change
