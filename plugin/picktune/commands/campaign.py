"""``picktune campaign``: collect picks for one scenario on purpose."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import click
import msgspec

from picktune.campaigns import Campaign, CampaignProgress, CampaignSelection
from picktune.commands.auditing import auditing
from picktune.commands.options import JSON, REASON, by_option, configured, console
from picktune.errors import InvalidInput
from picktune.records import utc_now
from picktune.settings import Settings
from picktune.signals import Scale, parse_scale


@click.group()
def campaign() -> None:
    """Collect picks for one scenario on purpose: on which conversations, how many, until when."""


@campaign.command()
@click.argument("name")
@click.option("--wanted", type=click.IntRange(min=1), required=True, help="How many picks are wanted.")
@click.option("--until", type=click.DateTime(), help="Until when (UTC).")
@click.option("--title", default="", help="What the workbench calls it.")
@click.option("--purpose", default="", help="What it is for.")
@click.option("--tag", "tags", multiple=True, help="Conversations with this tag; may be repeated.")
@click.option("--locale", "locales", multiple=True, help="Conversations in this language; may be repeated.")
@click.option("--scenario", "scenarios", multiple=True, help="Conversations of this scenario.")
@click.option("--source", "sources", multiple=True, help="Conversations from this source.")
@click.option("--conversation", "conversations", multiple=True, help="The conversation of this id.")
@click.option("--policy", help="Which replies its slates hold, instead of the setting policy.")
@click.option("--per-annotator", type=click.IntRange(min=1), help="How many picks one person may give.")
@click.option("--annotator", "annotators", multiple=True, help="Who takes part; without any, everybody.")
@click.option("--scale", help="A further scale for experts, such as tone:0-10.")
@click.option("--rubric", default="", help="What the marks of that scale mean.")
@by_option
@configured
def create(settings: Settings, name: str, scale: str | None, rubric: str, by: str, **options: object) -> None:
    """Open the campaign NAME; the workbench offers its conversations first."""
    from picktune.campaign_service import checked_campaign

    now = utc_now()
    until = options["until"]
    fields = {
        "name": name,
        "title": options["title"],
        "purpose": options["purpose"],
        "selection": {field: options[field] for field in CampaignSelection.__struct_fields__},
        "policy": options["policy"],
        "wanted": options["wanted"],
        "until": until.replace(tzinfo=UTC) if isinstance(until, datetime) else None,
        "per_annotator": options["per_annotator"],
        "annotators": options["annotators"],
        "scale": _scale(scale, rubric),
        "created_at": now,
        "created_by": by,
    }
    try:
        new = checked_campaign(msgspec.convert(fields, Campaign), now)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"campaign {name!r} cannot be opened: {error}", field="name") from None

    async def add() -> Campaign:
        from picktune.log import SQLiteLog

        async with SQLiteLog.open(settings.log_path) as log:
            return await log.add_campaign(new)

    with auditing(settings, "campaign_created", name, by=by, wanted=str(new.wanted)):
        asyncio.run(add())
    click.echo(f"opened: {name}, {new.wanted:,} picks wanted")


@campaign.command(name="list")
@click.option("--open", "only_open", is_flag=True, help="Leave out those that are full, over or closed.")
@JSON
@configured
def list_(settings: Settings, only_open: bool, as_json: bool) -> None:
    """List the campaigns with their progress."""
    found = _read(settings)
    if only_open:
        found = [one for one in found if one.status == "open"]
    if as_json:
        click.echo(msgspec.json.encode(found))
    elif not found:
        click.echo("There is no campaign yet; open one with: picktune campaign create NAME --wanted 200")
    else:
        _print(found)


@campaign.command()
@click.argument("name")
@JSON
@configured
def show(settings: Settings, name: str, as_json: bool) -> None:
    """Show one campaign: what it wants, what it has, and from whom."""
    from picktune.campaign_service import progress
    from picktune.log import SQLiteLogReader

    with SQLiteLogReader(settings.log_path) as reader:
        one = progress(reader, reader.campaign(name), settings.roles, utc_now())
    if as_json:
        click.echo(msgspec.json.encode(one))
        return
    made = one.campaign
    click.echo(f"{made.name}: {one.status}, {one.have:,} of {made.wanted:,} picks")
    lines = {
        "title": made.title,
        "purpose": made.purpose,
        "until": f"{made.until:%Y-%m-%d %H:%M} UTC" if made.until else "",
        "policy": made.policy,
        "per annotator": made.per_annotator,
        "takes part": ", ".join(made.annotators),
        "scale": str(made.scale) if made.scale else "",
        **{name: ", ".join(getattr(made.selection, name)) for name in made.selection.__struct_fields__},
        "waiting": f"{one.waiting:,} conversations" if one.status == "open" else "",
        "opened": f"{made.created_at:%Y-%m-%d %H:%M} UTC by {made.created_by or 'unknown'}",
        "closed": f"{made.closed_at:%Y-%m-%d %H:%M} UTC: {made.closed_why}" if made.closed_at else "",
    }
    for label, value in lines.items():
        if value:
            click.echo(f"  {label}: {value}")
    for annotator, count in one.by_annotator.items():
        click.echo(f"  {count:>6,}  {annotator}")


@campaign.command()
@click.argument("name")
@REASON
@by_option
@configured
def close(settings: Settings, name: str, reason: str, by: str) -> None:
    """Close a campaign for good; its picks stay."""

    async def end() -> Campaign:
        from picktune.log import SQLiteLog

        async with SQLiteLog.open(settings.log_path) as log:
            return await log.close_campaign(name, at=utc_now(), by=by, why=reason)

    with auditing(settings, "campaign_closed", name, by=by, reason=reason):
        closed = asyncio.run(end())
    click.echo(f"closed: {name}, {closed.closed_why}")


def _scale(scale: str | None, rubric: str) -> Scale | None:
    if scale is None:
        return None
    parsed = parse_scale(scale)
    return Scale(name=parsed.name, low=parsed.low, high=parsed.high, rubric=rubric)


def _read(settings: Settings) -> list[CampaignProgress]:
    from picktune.campaign_service import progress_of
    from picktune.log import SQLiteLogReader

    with SQLiteLogReader(settings.log_path) as reader:
        return progress_of(reader, settings.roles, utc_now())


def _print(found: list[CampaignProgress]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table("Campaign", "Status", "Picks", "Wanted", "Until (UTC)", "Waiting", "Title")
    for one in found:
        made = one.campaign
        until = f"{made.until:%Y-%m-%d %H:%M}" if made.until else ""
        row = (
            made.name,
            one.status,
            f"{one.have:,}",
            f"{made.wanted:,}",
            until,
            f"{one.waiting:,}",
            made.title,
        )
        table.add_row(*map(escape, row))
    console().print(table)
