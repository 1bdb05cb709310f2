"""``picktune signals``: what people did beside deciding, in all."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import msgspec

from picktune.commands.options import JSON, configured
from picktune.settings import Settings
from picktune.signals import SignalTallies


@click.command()
@click.option("--since", type=click.DateTime(), help="From this moment on (UTC).")
@click.option("--until", type=click.DateTime(), help="Before this moment (UTC).")
@JSON
@configured
def signals(settings: Settings, since: datetime | None, until: datetime | None, as_json: bool) -> None:
    """Say what people copied, edited, scored, had redrawn and did not look at.

    None of it decides anything. It is told here alone, for figures by adapter would tell whoever has just
    copied or scored a reply who wrote it.
    """
    from picktune.log import SQLiteLogReader

    with SQLiteLogReader(settings.log_path) as reader:
        found = reader.tallies(
            since=since.replace(tzinfo=UTC) if since else None,
            until=until.replace(tzinfo=UTC) if until else None,
        )
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        _print(found)


def _print(found: SignalTallies) -> None:
    click.echo("signals: " + (", ".join(f"{name} {n:,}" for name, n in found.kinds.items()) or "none"))
    if found.seen:
        click.echo(f"chosen without a look at every reply: {found.missed:,} of {found.seen:,}")
    for model, n in found.copied.items():
        click.echo(f"copied from {model or 'the base'}: {n:,}")
    for edit in found.edits:
        who = edit.model or "the base"
        click.echo(f"edited, of {who}: {edit.n:,}, half of them by {edit.median:.0%} of the text or more")
    for score in found.scores:
        click.echo(
            f"{score.scale}, of {score.model or 'the base'}: {score.mean:.2f} on average of {score.n:,}"
        )
