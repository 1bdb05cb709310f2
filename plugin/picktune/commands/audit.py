"""``picktune audit``: who did what to this installation, and when."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import msgspec

from picktune.audit import AuditEntry, AuditLog
from picktune.commands.options import JSON, configured, console
from picktune.settings import Settings


@click.command()
@click.option("--since", type=click.DateTime(), help="Leave out what was done before this moment (UTC).")
@JSON
@configured
def audit(settings: Settings, since: datetime | None, as_json: bool) -> None:
    """List who made keys and links, moved aliases, and handled the log, oldest first."""
    found = list(AuditLog(settings.folder).entries(since=since.replace(tzinfo=UTC) if since else None))
    if as_json:
        click.echo(msgspec.json.encode(found))
    elif not found:
        click.echo(f"Nothing was done since {since:%Y-%m-%d %H:%M}." if since else "Nothing was done yet.")
    else:
        _print(found)


def _print(found: list[AuditEntry]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table("When (UTC)", "Who", "What", "Of", "Details")
    for one in found:
        details = ", ".join(f"{name}: {value}" for name, value in one.details.items())
        row = (f"{one.at:%Y-%m-%d %H:%M:%S}", one.by, one.action.replace("_", " "), one.of, details)
        table.add_row(*map(escape, row))
    console().print(table)
