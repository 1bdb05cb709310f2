"""``picktune backup``: a checked copy of the log, made while the server goes on."""

from __future__ import annotations

from pathlib import Path

import click

from picktune.commands.auditing import noting
from picktune.commands.options import configured
from picktune.commands.progress import progress_bar
from picktune.commands.verify import counted
from picktune.records import utc_now
from picktune.settings import Settings


@click.command()
@click.argument("target", required=False, type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace a file that is there already.")
@click.option(
    "--keep", type=click.IntRange(1), help="Then delete the oldest, so that so many are left in the home."
)
@configured
def backup(settings: Settings, target: Path | None, force: bool, keep: int | None) -> None:
    """Copy the log, check the copy, and only then give it its name.

    TARGET is a file, or a folder to make one in; otherwise a file named by the time is made in the folder
    backups of the home. The server may go on writing.
    """
    from picktune.log.backup import back_up, backup_name, thin_out

    if target is not None and keep is not None:
        raise click.UsageError("--keep is for backups in the home: leave it out, or name no target")
    folder = settings.folder / "backups"
    if target is None:
        target = folder / backup_name(utc_now())
    elif target.is_dir():
        target = target / backup_name(utc_now())
    with noting(settings, "backed_up", str(target.absolute())), progress_bar() as progress:
        found = back_up(settings.log_path, target, force=force, progress=progress)
    size = target.stat().st_size / 1_000_000
    click.echo(f"{target}: {size:,.1f} MB, {counted(found) if found.rows else 'sound'}")
    if not found.chained:
        click.echo(
            "  of an older version, which has no hash chain yet: the file was checked, and its references"
        )
    for head in found.heads.values():
        click.echo(f"  {head}")
    if keep is not None:
        for gone in thin_out(folder, keep, newest=target):
            click.echo(f"  deleted {gone.name}")
