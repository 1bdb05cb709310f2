"""``picktune forget`` and ``picktune held``: a person's right to be forgotten, and to know what is held."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from picktune.commands.auditing import auditing, noting
from picktune.commands.options import JSON, by_option, configured
from picktune.commands.progress import progress_bar
from picktune.log.privacy import Scope
from picktune.records import utc_now
from picktune.settings import Settings

if TYPE_CHECKING:
    from picktune.forget import Forgetting

USER = click.argument("user", required=False)
CONVERSATION = click.option("--conversation", metavar="ID", help="One conversation instead of a user.")


@click.command()
@USER
@CONVERSATION
@click.option("--dry-run", is_flag=True, help="Say what would be erased, and erase nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--vacuum/--no-vacuum", default=None, help="Write the log's file anew; else if it is small.")
@JSON
@by_option
@configured
def forget(
    settings: Settings,
    user: str | None,
    conversation: str | None,
    dry_run: bool,
    yes: bool,
    vacuum: bool | None,
    as_json: bool,
    by: str,
) -> None:
    """Erase all that was said by and about USER, by the user_ref that slates were drawn with.

    What was decided about which arm stays, without words and name. Adapters that learned from them are named,
    and have to be judged by you. Killed half-way, it can be run again. The server may go on.
    """
    from picktune.forget import forget as forgotten
    from picktune.forget import look

    scope, ref = _whose(user, conversation)
    found = look(settings, scope, ref)
    nothing = not (found.conversations or found.slates or found.decided_elsewhere)
    if not as_json:
        _tell(found, "would erase" if dry_run or nothing else "will erase")
    if dry_run:
        if as_json:
            click.echo(msgspec.json.encode(found))
        return
    if not yes and not nothing:
        click.confirm("Erase this for good?", abort=True)
    told = {"adapters": ", ".join(found.adapters), "datasets": str(len(found.datasets))}
    with (
        auditing(settings, "forgotten", f"a {scope}", by=by, **told) as noted,
        progress_bar() as progress,
    ):
        done = forgotten(settings, scope, ref, now=utc_now(), vacuum=vacuum, progress=progress)
        noted |= {"conversations": str(done.conversations), "slates": str(done.slates)}
        noted["elsewhere"] = str(done.decided_elsewhere)
    if as_json:
        click.echo(msgspec.json.encode(done))
        return
    click.secho("erased", fg="green")
    if done.left_in:
        click.secho(
            f"bytes are left in {', '.join(done.left_in)}: run it again with --vacuum when it is quiet",
            fg="yellow",
        )


@click.command()
@USER
@CONVERSATION
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="A file; otherwise stdout.")
@configured
def held(settings: Settings, user: str | None, conversation: str | None, out: Path | None) -> None:
    """Export all that is held on USER as one JSON document.

    It holds what they said as it was said: keep it as safe as the log, and hand it to nobody else.
    """
    from picktune.held import document
    from picktune.interchange.whole import WholeFile

    scope, ref = _whose(user, conversation)
    with noting(settings, "held_exported", f"a {scope}"):
        pieces = document(settings, scope, ref, utc_now())
        if out is None:
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            return
        with WholeFile(out) as file:
            for piece in pieces:
                file.write(piece)
            file.keep()
    click.echo(f"{out}", err=True)


def _whose(user: str | None, conversation: str | None) -> tuple[Scope, str]:
    if bool(user) == bool(conversation):
        raise click.UsageError("name a USER or a --conversation")
    return ("user", user) if user else ("conversation", conversation or "")


def _tell(found: Forgetting, verb: str) -> None:
    if not (found.conversations or found.slates or found.decided_elsewhere):
        click.echo("nothing is known of them")
    else:
        click.echo(
            f"{verb}: conversations {found.conversations:,}, slates {found.slates:,}, decided on elsewhere "
            f"{found.decided_elsewhere:,}, in the vault {found.vault_entries:,}"
        )
    for dataset in found.datasets:
        click.echo(f"  dataset {dataset[:12]}…: goes, with its rows")
    for report in found.reports:
        click.echo(f"  report {report}: goes, for it quotes rows")
    for adapter in found.adapters:
        click.secho(f"  adapter {adapter} learned from them: train it anew, or roll back", fg="yellow")
    for backup in found.backups:
        click.secho(
            f"  backup {backup} keeps what it has: delete it, or forget again after restoring", fg="yellow"
        )
    click.echo("  exports that left this installation are not in our hands: tell whoever has them")
