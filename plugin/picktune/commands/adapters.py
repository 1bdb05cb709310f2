"""``picktune adapters``, ``promote``, ``rollback``: which versions there are, and which of them speak."""

from __future__ import annotations

import click
import msgspec
from picktune_adapters import AdapterVersion, AliasChange, Aliases
from picktune_adapters.registry import Registry

from picktune.commands.auditing import auditing
from picktune.commands.options import JSON, REASON, by_option, configured, console
from picktune.settings import Settings


@click.command()
@JSON
@configured
def adapters(settings: Settings, as_json: bool) -> None:
    """List the adapter versions, oldest first, and which of them speak."""
    registry = Registry(settings.registry_path)
    aliases, versions, faults = registry.aliases(), registry.versions(), registry.faults()
    if as_json:
        click.echo(msgspec.json.encode({"aliases": aliases, "versions": versions}))
    elif not versions and not faults:
        click.echo("No adapters yet; the base model speaks alone. Train one with: picktune nightly")
    else:
        _print(versions, aliases)
    for fault in faults:
        click.secho(f"damaged: {fault.message}", fg="red", err=True)


@click.command()
@click.argument("name")
@REASON
@by_option
@configured
def promote(settings: Settings, name: str, reason: str, by: str) -> None:
    """Make the adapter NAME the champion.

    Running servers follow within seconds, without a restart.
    """
    promote_by_hand(settings, name, reason, by)


@click.command()
@REASON
@by_option
@configured
def rollback(settings: Settings, reason: str, by: str) -> None:
    """Make the champion before this one champion again.

    Running servers follow within seconds, without a restart. Before the first champion there is the base.
    """
    rollback_by_hand(settings, reason, by)


def promote_by_hand(settings: Settings, name: str, reason: str, by: str) -> None:
    """Promote, note it, and say what was moved."""
    from picktune.gate.keeper import Gate, signed

    signed(by, reason)
    with auditing(settings, "promoted", name, by=by, reason=reason) as told:
        change = Gate(settings).promote(name, by=by, reason=reason)
        told["before"] = change.before or "the base"
    say(change)


def rollback_by_hand(settings: Settings, reason: str, by: str) -> None:
    """Roll back, note it, and say what was moved."""
    from picktune.gate.keeper import Gate, signed

    signed(by, reason)
    with auditing(settings, "rolled_back", by=by, reason=reason) as told:
        change = Gate(settings).rollback(by=by, reason=reason)
        told.update(before=change.before or "the base", after=change.after or "the base")
    say(change)


def say(change: AliasChange) -> None:
    """What a move did to its alias."""
    before, after = change.before or "the base", change.after or "the base"
    if before == after:
        click.echo(f"{after} is the {change.alias} already; nothing was moved.")
    else:
        click.echo(f"The {change.alias} is now {after}; before, it was {before}.")


def _print(versions: list[AdapterVersion], aliases: Aliases) -> None:
    from rich.table import Table

    table = Table("Name", "Speaks as", "Picks", "Accuracy", "Rank", "Base", "Dataset", "Created")
    for column in ("Picks", "Accuracy", "Rank"):
        next(one for one in table.columns if one.header == column).justify = "right"
    for version in versions:
        alias = {aliases.champion: "champion", aliases.challenger: "challenger"}.get(version.name, "")
        accuracy = version.metrics.get("accuracy")
        table.add_row(
            version.name,
            alias,
            f"{version.picks}{' simulated' if version.simulated else ''}",
            "" if accuracy is None else f"{accuracy:.0%}",
            str(version.rank),
            version.base_model.rstrip("/").rsplit("/", 1)[-1],
            version.dataset_id[:12],
            f"{version.created_at:%Y-%m-%d %H:%M}",
            style="bold" if alias else None,
        )
    console().print(table)
