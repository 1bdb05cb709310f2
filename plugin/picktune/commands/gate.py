"""``picktune gate``: what it sees, what it has decided, and what a person decides in its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
import msgspec

from picktune.commands.adapters import promote_by_hand, rollback_by_hand, say
from picktune.commands.auditing import auditing
from picktune.commands.options import JSON, REASON, by_option, configured, console
from picktune.gate.records import GateDecision, Standing, View
from picktune.settings import Settings


@click.group()
def gate() -> None:
    """Let people's picks move the aliases, or move them by hand."""


@gate.command()
@JSON
@configured
def status(settings: Settings, as_json: bool) -> None:
    """Show how champion and challenger stand, and what the gate would do now."""
    from picktune.gate.keeper import Gate
    from picktune.gate.rules import propose

    view = Gate(settings).view()
    proposal = propose(view, settings.gate)
    if as_json:
        click.echo(msgspec.json.encode({"view": view, "proposal": proposal, "rules": settings.gate}))
        return
    for alias in ("champion", "challenger"):
        standing: Standing | None = getattr(view, alias)
        click.echo(f"{alias:11} {'none' if standing is None else _standing(standing)}")
    if view.challenger is not None:
        click.echo(f"{'canary':11} {_canary(view, settings)}")
    if view.frozen:
        click.secho(f"{'frozen':11} {view.frozen}", fg="yellow")
    click.echo(f"{'now':11} {proposal.action}: {proposal.reason}")


@gate.command()
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@JSON
@configured
def run(settings: Settings, dry_run: bool, as_json: bool) -> None:
    """Do now what the rules say: promote, roll back, withdraw, or let the canary grow.

    For cron, where no server runs the gate by itself. Running servers follow within seconds.
    """
    from picktune.gate.keeper import Gate

    proposal = Gate(settings).run(dry_run=dry_run)
    if as_json:
        click.echo(msgspec.json.encode(proposal))
        return
    about = f" {proposal.adapter}" if proposal.adapter else ""
    would = "would " if dry_run and proposal.action != "hold" else ""
    click.echo(f"{would}{proposal.action}{about}: {proposal.reason}")


@gate.command("log")
@click.option("--adapter", help="Only what was decided about this adapter.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="At most so many."
)
@JSON
@configured
def log_(settings: Settings, adapter: str | None, limit: int, as_json: bool) -> None:
    """List the decisions, the newest last, with the figures that they rested on."""
    from picktune.gate.keeper import Gate

    found = Gate(settings).decisions(adapter=adapter, limit=limit)[::-1]
    if as_json:
        click.echo(msgspec.json.encode(found))
    elif not found:
        click.echo("The gate has decided nothing yet.")
    else:
        _print(found)


def by_hand(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``--reason`` and ``--by``, and the settings."""
    return REASON(by_option(configured(command)))


@gate.command()
@by_hand
def freeze(settings: Settings, reason: str, by: str) -> None:
    """Let the gate move nothing by itself until it is unfrozen; people still may."""
    _switch(settings, "freeze", reason, by)


@gate.command()
@by_hand
def unfreeze(settings: Settings, reason: str, by: str) -> None:
    """Let the gate go on."""
    _switch(settings, "unfreeze", reason, by)


@gate.command()
@click.argument("name")
@by_hand
def promote(settings: Settings, name: str, reason: str, by: str) -> None:
    """Make the adapter NAME the champion, whatever its support."""
    promote_by_hand(settings, name, reason, by)


@gate.command()
@by_hand
def rollback(settings: Settings, reason: str, by: str) -> None:
    """Make the champion before this one champion again."""
    rollback_by_hand(settings, reason, by)


@gate.command()
@click.argument("name")
@by_hand
def challenge(settings: Settings, name: str, reason: str, by: str) -> None:
    """Put the adapter NAME on trial, whatever the offline checks said."""
    _move(settings, "challenged", reason, by, lambda gate: gate.challenge(name, by=by, reason=reason), name)


@gate.command()
@by_hand
def withdraw(settings: Settings, reason: str, by: str) -> None:
    """End the challenger's trial."""
    _move(settings, "withdrawn", reason, by, lambda gate: gate.withdraw(by=by, reason=reason))


def _switch(settings: Settings, action: str, reason: str, by: str) -> None:
    from picktune.gate.keeper import Gate, signed

    signed(by, reason)
    noted: Any = "gate_frozen" if action == "freeze" else "gate_unfrozen"
    with auditing(settings, noted, by=by, reason=reason):
        getattr(Gate(settings), action)(by=by, reason=reason)
    click.echo(
        "The gate is frozen: it moves nothing by itself." if action == "freeze" else "The gate goes on."
    )


def _move(
    settings: Settings, action: Any, reason: str, by: str, move: Callable[[Any], Any], name: str = ""
) -> None:
    from picktune.gate.keeper import Gate, signed

    signed(by, reason)
    with auditing(settings, action, name, by=by, reason=reason) as told:
        change = move(Gate(settings))
        told.update(before=change.before or "nobody", after=change.after or "nobody")
    say(change)


def _standing(one: Standing) -> str:
    from picktune.gate.rules import said

    tags = f"; worse: {', '.join(one.worse_tags)}" if one.worse_tags else ""
    simulated = " (simulated)" if one.simulated else ""
    return f"{one.adapter}, since {one.since:%Y-%m-%d %H:%M} UTC: {said(one)}{simulated}{tags}"


def _canary(view: View, settings: Settings) -> str:
    if not settings.gate.canary:
        return "off: it takes the tuned place everywhere"
    share = view.share or settings.gate.canary[0]
    return f"{share:.0%} of new conversations; {view.n} of {settings.gate.step_picks} picks at this step"


def _print(found: list[GateDecision]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table("No.", "When (UTC)", "What", "Adapter", "By", "Why", "Came out")
    for one in found:
        share = f" {one.share:.0%}" if one.share is not None and one.action in {"begin", "step"} else ""
        table.add_row(
            str(one.id),
            f"{one.decided_at:%Y-%m-%d %H:%M}",
            f"{one.action}{share}",
            escape(one.adapter or ""),
            escape(one.by),
            escape(one.reason),
            escape(f"{one.outcome or 'cut off'}{f': {one.note}' if one.note else ''}"),
        )
    console().print(table)
