"""``picktune prune``: what is old and no evidence leaves the log."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from picktune.commands.auditing import auditing
from picktune.commands.options import an_age, configured
from picktune.commands.progress import progress_bar
from picktune.records import utc_now
from picktune.settings import Settings

if TYPE_CHECKING:
    from picktune.log.retention import Kind


@click.command()
@click.option(
    "--older-than", "age", callback=an_age, required=True, help="From before then: 365d, 8w or 12h."
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(["slates", "exposures", "conversations", "aliases"]),
    help="What may go, instead of slates; may be given several times.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be deleted, and delete nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@configured
def prune(settings: Settings, age: timedelta, kinds: tuple[Kind, ...], dry_run: bool, yes: bool) -> None:
    """Delete what is old and no evidence, such as slates that nobody decided on.

    Slates go with their replies, their turns, and the note of who saw them; exposures are such notes alone,
    of people who did nothing with the slate; conversations are closed ones; aliases are what they once named.
    Decisions and reactions, and the slates that they are about, always stay. The server may go on.
    """
    from picktune.log.retention import expire, expired

    before = utc_now() - age
    kinds = tuple(dict.fromkeys(kinds)) or ("slates",)
    counts = expired(settings.log_path, before, kinds)
    what = ", ".join(_told(kind, counts[kind], before) for kind in kinds)
    if dry_run or not any(counts.values()):
        click.echo(f"would delete {what}" if any(counts.values()) else f"nothing to delete: there are {what}")
        return
    if not yes:
        click.confirm(f"Delete {what}?", abort=True)
    told = {"older_than": f"{before:%Y-%m-%d %H:%M} UTC"} | {kind: str(counts[kind]) for kind in kinds}
    with auditing(settings, "pruned", str(settings.log_path), **told), progress_bar() as progress:

        def tell(kind: str, done: int) -> None:
            progress(kind, done, counts[kind])  # type: ignore[index]

        gone = expire(settings.log_path, before, kinds, progress=tell)
    click.echo("deleted: " + ", ".join(f"{name} {count:,}" for name, count in gone.items()))


def _told(kind: Kind, count: int, before: datetime) -> str:
    s = "" if count == 1 else "s"
    names = {
        "slates": f"slate{s} drawn before {before:%Y-%m-%d %H:%M} UTC and never decided on",
        "exposures": f"exposure{s} from before {before:%Y-%m-%d %H:%M} UTC to people who did nothing",
        "conversations": f"conversation{s} closed before {before:%Y-%m-%d %H:%M} UTC",
        "aliases": f"change{s} of the aliases from before {before:%Y-%m-%d %H:%M} UTC that no decision needs",
    }
    return f"{count:,} {names[kind]}"
