"""``picktune vacuum``: the room of what was deleted goes back to the disk."""

from __future__ import annotations

import click

from picktune.commands.auditing import auditing
from picktune.commands.options import configured
from picktune.commands.progress import progress_bar
from picktune.settings import Settings


@click.command()
@click.option("--dry-run", is_flag=True, help="Say how much would be freed, and change nothing.")
@configured
def vacuum(settings: Settings, dry_run: bool) -> None:
    """Write the log's file anew, without the room of what was deleted.

    The server must be stopped, for the file is locked meanwhile. It needs twice as much room as the log has.
    """
    from picktune.log.vacuum import reclaimable
    from picktune.log.vacuum import vacuum as vacuumed

    free, size = reclaimable(settings.log_path)
    if dry_run:
        click.echo(f"{settings.log_path}: {free / 1e6:,.1f} of {size / 1e6:,.1f} MB are not in use")
        return
    with auditing(settings, "vacuumed", str(settings.log_path)) as told, progress_bar() as progress:
        found = vacuumed(settings.log_path, progress=lambda: progress("vacuum", 0, None))
        told["before"], told["after"] = str(found.before), str(found.after)
    click.echo(f"{settings.log_path}: {found.before / 1e6:,.1f} MB before, {found.after / 1e6:,.1f} MB now")
