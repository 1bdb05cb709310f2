"""``picktune verify``: whether a log, or a backup of one, is still what was written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from picktune.commands.auditing import noting
from picktune.commands.options import JSON, configured
from picktune.commands.progress import progress_bar
from picktune.settings import Settings

if TYPE_CHECKING:
    from picktune.log.verify import Verification

ADVICE = """\
What to do: stop the server and keep this file as it is, as evidence. Look for the newest backup that is sound
(picktune verify BACKUP) and put it in place. Until then do not act on the rows that are named here."""


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--expect", metavar="HEAD", help="The end of a chain as printed earlier; it must still be there."
)
@JSON
@configured
@click.pass_context
def verify(
    ctx: click.Context, settings: Settings, file: Path | None, expect: str | None, as_json: bool
) -> None:
    """Check that nothing in the log was changed, removed or slipped in.

    FILE is a backup; otherwise the log in use is checked, and the server may go on. The exit code is 0 if the
    log is sound, and 1 if not.
    """
    from picktune.log.verify import verify as verified

    path = file or settings.log_path
    with noting(settings, "verified", str(path.absolute())) as noted, progress_bar() as progress:
        found = verified(path, expect=expect, progress=progress)
        noted["sound"] = "yes" if found.sound else "no"
    if as_json:
        told = {"file": str(path), "sound": found.sound, **msgspec.to_builtins(found)}
        click.echo(msgspec.json.encode(told))
    else:
        _tell(path, found)
    if not found.sound:
        ctx.exit(1)


def counted(found: Verification) -> str:
    """What a log holds, in a line."""
    erased = sum(found.erased.values())
    parts = [f"{count:,} {table}" for table, count in found.rows.items()]
    return ", ".join(parts) + (f"; {erased:,} with erased parts" if erased else "")


def _tell(path: Path, found: Verification) -> None:
    click.echo(f"{path}: {counted(found)}" if found.rows else f"{path}")
    for one in found.findings:
        click.secho(f"  {one.kind}: {one.message}", fg="red")
    if found.more:
        click.secho(f"  … and {found.more:,} more", fg="red")
    if found.sound:
        for head in found.heads.values():
            click.echo(f"  {head}")
        click.secho("sound", fg="green")
    else:
        click.secho("NOT SOUND", fg="red", bold=True)
        click.echo(ADVICE)
