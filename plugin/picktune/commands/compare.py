"""``picktune compare``: put whole conversations side by side, to be judged on the page."""

from __future__ import annotations

import asyncio

import click
import msgspec

from picktune.commands.options import JSON, configured
from picktune.commands.progress import progress_bar
from picktune.comparisons import Comparison
from picktune.settings import Settings


@click.command()
@click.argument("conversations", nargs=-1)
@click.option("--play", is_flag=True, help="Let each arm answer each conversation anew, from end to end.")
@click.option("--support", is_flag=True, help="Say what people found, instead of adding a comparison.")
@JSON
@configured
def compare(
    settings: Settings, conversations: tuple[str, ...], play: bool, support: bool, as_json: bool
) -> None:
    """Compare whole CONVERSATIONS: two to four stored ones, or with --play each of them with itself."""
    if support:
        _print_support(settings, as_json)
        return
    if not conversations:
        raise click.UsageError("name the conversations, as GET /v1/conversations lists them")
    made = asyncio.run(_made(settings, conversations, play=play))
    if as_json:
        click.echo(msgspec.json.encode([one.id for one in made]))
    else:
        click.echo(
            f"added: {len(made):,} comparison{'' if len(made) == 1 else 's'}, to be judged at /compare"
        )


async def _made(settings: Settings, conversations: tuple[str, ...], *, play: bool) -> list[Comparison]:
    from picktune.service import create_service

    service = create_service(settings)
    try:
        if not play:
            return [await service.compare_stored(conversations)]
        await service.until_ready()
        made = list[Comparison]()
        with progress_bar() as progress:
            for one in conversations:
                made.append(await service.play(one))
                progress("conversations", len(made), len(conversations))
        return made
    finally:
        await service.close()


def _print_support(settings: Settings, as_json: bool) -> None:
    from picktune.comparison_service import supports_of_wholes
    from picktune.log import SQLiteLogReader

    with SQLiteLogReader(settings.log_path) as reader:
        found = supports_of_wholes(
            reader, settings.roles, alpha=settings.alpha, annotator_cap=settings.annotator_cap
        )
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    for one in found:
        who = one.model or "the base against itself"
        rate = "no choice yet" if one.rate is None else f"{one.rate:.0%} ({one.low:.0%} to {one.high:.0%})"
        beside = f"{one.ties} ties, {one.none_good} none good"
        click.echo(f"{who}: {rate}, {one.wins} of {one.n} conversations, {beside}: {one.verdict}")
