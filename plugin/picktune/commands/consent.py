"""``picktune consent``: what a user agrees to."""

from __future__ import annotations

import asyncio
from typing import get_args

import click

from picktune.commands.auditing import auditing
from picktune.commands.options import configured
from picktune.records import Consent, utc_now
from picktune.settings import Settings


@click.command()
@click.argument("level", type=click.Choice(get_args(Consent)))
@click.option("--user", help="By the user_ref that slates were drawn with.")
@click.option("--conversation", help="Or for one conversation, by its id.")
@configured
def consent(settings: Settings, level: Consent, user: str | None, conversation: str | None) -> None:
    """Record what a user, or a conversation's, agrees to from now on.

    With none, nothing is kept; with log, it counts for the support rate and is never learned from; with
    train, it is. Less than train keeps all that is in the log out of the training too, for good.
    """
    from picktune.log import SQLiteLog

    if (user is None) == (conversation is None):
        raise click.UsageError("name a --user or a --conversation")

    async def change() -> int:
        async with SQLiteLog.open(settings.log_path) as log:
            scope = "conversation" if user is None else "user"
            return await log.set_consent(scope, user or conversation or "", level, utc_now())  # type: ignore[arg-type]

    of = "a conversation" if user is None else "a user"
    with auditing(settings, "consent_changed", of, consent=level):
        turns = asyncio.run(change())
    click.echo(f"{level}; {turns:,} earlier turns left the training")
