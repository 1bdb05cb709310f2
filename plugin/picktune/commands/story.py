"""``picktune why`` and ``picktune trace``: the story of an adapter, and where a pick went."""

from __future__ import annotations

import click
import msgspec

from picktune.commands.adapters import kind_words
from picktune.commands.options import JSON, configured
from picktune.settings import Settings


@click.command()
@click.argument("adapter")
@JSON
@configured
def why(settings: Settings, adapter: str, as_json: bool) -> None:
    """Tell the story of an ADAPTER, from picks to promotion."""
    from picktune.gate.rules import said
    from picktune.gate.story import story_of

    story = story_of(settings, adapter)
    if as_json:
        click.echo(msgspec.json.encode(story))
        return
    version = story.version
    now = story.alias or ("removed" if story.removed else "not in service")
    click.secho(f"{version.name} ({now})", bold=True)
    click.echo(f"  {kind_words(version)}, on {version.base_model}, sha256 {version.sha256[:16]}…")
    for event in story.events:
        by = f" by {event.by}" if event.by else ""
        click.echo(f"{event.at:%Y-%m-%d %H:%M:%S}  {event.what}{by}")
        if event.why:
            click.echo(f"{'':21}{event.why}")
        for name, value in event.figures.items():
            if name != "support" or str(value) not in event.why:
                click.echo(f"{'':21}{name} {value if isinstance(value, str) else format(value, '.4g')}")
    if story.standing is not None:
        simulated = " (simulated)" if story.standing.simulated else ""
        click.echo(f"{'now':21}{said(story.standing)}{simulated}")


@click.command()
@click.argument("pick")
@JSON
@configured
def trace(settings: Settings, pick: str, as_json: bool) -> None:
    """Say which datasets and adapters a PICK went into; it is its number in the log, or its slate's id."""
    from picktune.gate.story import trace_of

    found = trace_of(settings, pick)
    if as_json:
        click.echo(msgspec.json.encode({**msgspec.structs.asdict(found), "learned": found.learned}))
        return
    click.secho(f"slate {found.slate_id}", bold=True)
    for decision in found.decisions:
        click.echo(f"  {decision}")
    if not found.uses:
        click.echo("No dataset holds it.")
    for use in found.uses:
        adapters = ", ".join(use.adapters) or "no adapter was made from it"
        click.echo(f"dataset {use.dataset_id[:12]} ({use.split}): {adapters}")
    if found.learned:
        click.echo(f"learned from it: {', '.join(found.learned)}")
