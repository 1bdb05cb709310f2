"""``picktune repair``: what can still be read of a damaged log, in a new file."""

from __future__ import annotations

from pathlib import Path

import click

from picktune.commands.auditing import noting
from picktune.commands.options import configured
from picktune.commands.progress import progress_bar
from picktune.settings import Settings

ADVICE = """\
What to do: compare it with your newest sound backup. To use it, stop the server, move the damaged file with
its -wal and -shm away, put the new file in its place, and run picktune verify: it names what is missing."""


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="The new file.")
@configured
def repair(settings: Settings, file: Path | None, out: Path | None) -> None:
    """Save what can be read of a damaged log into a new file.

    FILE is the damaged one; otherwise the log of the home, and then the server must be stopped. It is left
    as it is. The new file lies beside it, named -repaired, unless --out says where. A sound backup is better.
    """
    from picktune.log.repair import repair as repaired
    from picktune.log.repair import repaired_name

    source = file or settings.log_path
    target = out or repaired_name(source)
    with noting(settings, "repaired", str(target.absolute())), progress_bar() as progress:
        found = repaired(source, target, progress=progress)
    click.echo(
        f"{target}: " + ", ".join(f"{count:,} {table}" for table, count in found.rows.items() if count)
    )
    for table in found.damaged:
        click.secho(f"  {table} could not be read to the end: rows are missing", fg="red")
    for table, count in found.orphans.items():
        click.secho(f"  {count:,} {table} left out: what they refer to is gone", fg="red")
    click.echo(ADVICE if found.damaged or found.orphans else "every table was read to its end")
