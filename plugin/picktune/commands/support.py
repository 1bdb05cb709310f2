"""``picktune support``: how often the tuned reply is picked over the base's."""

from __future__ import annotations

from datetime import datetime
from typing import get_args

import click
import msgspec

from picktune.commands.options import JSON, configured, console
from picktune.records import AnnotatorRole
from picktune.settings import Settings

# The names in picktune.support.GROUPS, which needs scipy: help should not wait for it.
BREAKDOWNS = ("arms", "tag", "scenario", "locale", "annotator", "role", "week", "position")


@click.command()
@JSON
@click.option("--csv", "as_csv", is_flag=True, help="Print the breakdowns as CSV, for spreadsheets.")
@click.option(
    "--by", "by", multiple=True, type=click.Choice(BREAKDOWNS), help="Also break the rates down; repeatable."
)
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(get_args(AnnotatorRole)),
    help="Whose decisions count, instead of the configured ones; may be given several times.",
)
@click.option("--since", type=click.DateTime(), help="Leave out decisions before this moment (UTC).")
@click.option("--until", type=click.DateTime(), help="Leave out decisions from this moment on (UTC).")
@click.option("--tag", "tags", multiple=True, help="Only with this tag, or with one of several.")
@click.option("--locale", "locales", multiple=True, help="Only in this language, or in one of several.")
@click.option("--scenario", "scenarios", multiple=True, help="Only of this scenario, or of one of several.")
@click.option("--rank", "ranked", is_flag=True, help="Rank the base and all adapters instead.")
@configured
def support(
    settings: Settings,
    as_json: bool,
    as_csv: bool,
    by: tuple[str, ...],
    roles: tuple[AnnotatorRole, ...],
    since: datetime | None,
    until: datetime | None,
    tags: tuple[str, ...],
    locales: tuple[str, ...],
    scenarios: tuple[str, ...],
    ranked: bool,
) -> None:
    """Show how often each adapter was picked over the base.

    The last row is the base against itself: the floor of noise. Of the decided, complete slates, the rate is
    the share on which the tuned reply was picked; the interval holds at whatever moment one looks. Below the
    table: how many more picks an undecided one takes, and what picks of one conversation or annotator share.
    """
    from datetime import UTC

    from picktune.commands import rankingtable, supporttable
    from picktune.log import SQLiteLogReader
    from picktune.support import compare, only, rank

    if as_json and as_csv:
        raise click.UsageError("choose one of --json and --csv")
    if ranked and (as_csv or by):
        raise click.UsageError("--rank has no breakdowns; leave out --by and --csv")
    with SQLiteLogReader(settings.log_path) as reader:
        decisions = reader.decisions(
            since=since.replace(tzinfo=UTC) if since else None,
            until=until.replace(tzinfo=UTC) if until else None,
            roles=roles or settings.roles,
        )
        mine = only(decisions, tags=tags, locales=locales, scenarios=scenarios)
        if ranked:
            ranking = rank(mine, alpha=settings.alpha, annotator_cap=settings.annotator_cap)
        else:
            found = compare(mine, alpha=settings.alpha, annotator_cap=settings.annotator_cap)
    if ranked:
        if as_json:
            click.echo(msgspec.json.encode(ranking))
        else:
            rankingtable.show(console(), ranking)
    elif as_json:
        click.echo(msgspec.json.encode(found))
    elif as_csv:
        from picktune.supportsheet import sheet

        click.echo(sheet(found, by or BREAKDOWNS), nl=False)
    else:
        supporttable.show(console(), found, by)
