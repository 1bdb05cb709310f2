"""``picktune import`` and ``export``: conversations in, preference data out."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click
import msgspec

from picktune.commands.options import configured
from picktune.records import AnnotatorRole, Conversation, Record
from picktune.settings import Settings

if TYPE_CHECKING:
    from picktune.interchange import Reject

T = TypeVar("T")

CHUNK = 500
FORMATS = ("tickets", "abcd", "crosswoz")


@click.command("import")
@click.argument(
    "files", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="[FILE]..."
)
@click.option("--format", "format_", type=click.Choice(FORMATS), help="If the first rows do not tell.")
@click.option("--samples", is_flag=True, help="The sample shop tickets that come with Picktune.")
@click.option("--limit", type=click.IntRange(1), help="At most so many of each file.")
@configured
def import_(
    settings: Settings, files: tuple[Path, ...], format_: str | None, samples: bool, limit: int | None
) -> None:
    """Put conversations on the workbench.

    Those that are there already stay as they are, so that a file can be imported twice.
    """
    from picktune.interchange import read_conversations
    from picktune.records import utc_now
    from picktune.tickets import sample_conversations

    if not files and not samples:
        raise click.UsageError("name a file, or say --samples")
    rejects: Counter[str] = Counter()
    sources: list[tuple[str, Iterator[Conversation]]] = []
    if samples:
        sources.append(("samples", iter(sample_conversations(now=utc_now()))))
    for file in files:
        found = read_conversations(file, format=format_, on_reject=_rejecting(str(file), rejects))
        sources.append((str(file), found))
    for name, conversations in sources:
        total, added = asyncio.run(_add(settings, islice(conversations, limit)))
        refused = f", {rejects[name]} refused" if rejects[name] else ""
        click.echo(f"{name}: {added} new, {total - added} known already{refused}")


@click.command()
@click.argument("what", type=click.Choice(["choices", "preferences", "demonstrations"]))
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="A file; otherwise stdout.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(get_args(AnnotatorRole)),
    help="Whose decisions count, instead of the configured ones; may be given several times.",
)
@click.option("--until", type=click.DateTime(), help="Leave out decisions from this moment on (UTC).")
@configured
def export(
    settings: Settings,
    what: str,
    output: Path | None,
    roles: tuple[AnnotatorRole, ...],
    until: datetime | None,
) -> None:
    """Write preference data as JSON lines.

    choices: what was picked, with all that was shown. preferences: the same as pairs. demonstrations: edited
    and hand-written replies.
    """
    from picktune.log import SQLiteLogReader

    with SQLiteLogReader(settings.log_path) as reader:
        read: dict[str, Callable[..., Iterator[Any]]] = {
            "choices": reader.choice_sets,
            "preferences": reader.preferences,
            "demonstrations": reader.demonstrations,
        }
        rows = read[what](until=until.replace(tzinfo=UTC) if until else None, roles=roles or settings.roles)
        count = _write(rows, output)
    if output is not None:
        click.echo(f"{output}: {count} {what}")


def _write(rows: Iterable[Record], output: Path | None) -> int:
    if output is None:
        return _lines(rows, sys.stdout.buffer.write)
    # Beside its place first: half an export must not look like a whole one.
    temporary = output.with_name(f".{output.name}.part")
    try:
        with temporary.open("wb") as file:
            count = _lines(rows, file.write)
        temporary.replace(output)
    finally:
        temporary.unlink(missing_ok=True)
    return count


def _lines(rows: Iterable[Record], write: Callable[[bytes], int]) -> int:
    count = 0
    for row in rows:
        write(msgspec.json.encode(row) + b"\n")
        count += 1
    return count


async def _add(settings: Settings, conversations: Iterator[Conversation]) -> tuple[int, int]:
    from picktune.log import SQLiteLog

    total = added = 0
    async with SQLiteLog.open(settings.log_path) as log:
        while chunk := list(islice(conversations, CHUNK)):
            total += len(chunk)
            added += await log.add_conversations(chunk)
    return total, added


def _rejecting(name: str, rejects: Counter[str]) -> Callable[[Reject], None]:
    def on_reject(reject: Reject) -> None:
        rejects[name] += 1
        click.secho(f"{name}: {reject}", fg="yellow", err=True)

    return on_reject
