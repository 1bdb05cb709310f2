"""``picktune prune``: old slates that nobody decided on leave the log."""

from __future__ import annotations

import re
from datetime import timedelta

import click

from picktune.commands.auditing import auditing
from picktune.commands.options import configured
from picktune.commands.progress import progress_bar
from picktune.records import utc_now
from picktune.settings import Settings

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def _age(ctx: click.Context, parameter: click.Parameter, value: str) -> timedelta:
    match = re.fullmatch(r"([0-9]{1,5})([hdw])", value)
    if match is None or not int(match[1]):
        raise click.BadParameter(f"{value!r} is no age; give one such as 365d, 8w or 12h")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


@click.command()
@click.option("--older-than", "age", callback=_age, required=True, help="Drawn before then: 365d, 8w or 12h.")
@click.option("--dry-run", is_flag=True, help="Say what would be deleted, and delete nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@configured
def prune(settings: Settings, age: timedelta, dry_run: bool, yes: bool) -> None:
    """Delete old slates that nobody decided on.

    They go with their replies, their turns, and the note of who saw them. Decisions and reactions, and the
    slates that they are about, always stay. The server may go on.
    """
    from picktune.log.prune import prunable
    from picktune.log.prune import prune as pruned

    before = utc_now() - age
    count = prunable(settings.log_path, before)
    what = f"slate{'' if count == 1 else 's'} drawn before {before:%Y-%m-%d %H:%M} UTC and never decided on"
    what = f"{count:,} {what}"
    if dry_run or not count:
        click.echo(f"would delete {what}" if count else f"nothing to delete: there are {what}")
        return
    if not yes:
        click.confirm(f"Delete {what}?", abort=True)
    told = {"older_than": f"{before:%Y-%m-%d %H:%M} UTC", "slates": str(count)}
    with auditing(settings, "pruned", str(settings.log_path), **told), progress_bar() as progress:
        gone = pruned(settings.log_path, before, progress=lambda done: progress("slates", done, count))
    click.echo(
        f"deleted: slates {gone.slates:,}, replies {gone.candidates:,}, turns {gone.turns:,}, "
        f"exposures {gone.exposures:,}"
    )
