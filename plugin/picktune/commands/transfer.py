"""``picktune import``: conversations and picks from elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from picktune.commands.options import configured
from picktune.commands.progress import advancing
from picktune.records import Conversation
from picktune.settings import Settings

if TYPE_CHECKING:
    from picktune.interchange.reader import Decided
    from picktune.interchange.rejects import Rejects

CHUNK = 500
FORMATS = (
    "tickets",
    "abcd",
    "crosswoz",
    "choice",
    "parquet",
    "pandalm",
    "open-webui",
    "tensorzero",
    "langfuse",
    "argilla",
    "label-studio",
    "lmarena",
    "openai-preference",
    "trl-preference",
    "trl-edits",
    "trl-kto",
    "jsonl",
    "csv",
    "xlsx",
)

Advance = Callable[[], None]


@click.command("import")
@click.argument(
    "files", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="[FILE]..."
)
@click.option("--format", "format_", type=click.Choice(FORMATS), help="If the first rows do not tell.")
@click.option("--encoding", help="Of a text that is no Unicode, such as gbk; UTF-8 and UTF-16 are told.")
@click.option("--samples", is_flag=True, help="The sample shop tickets that come with Picktune.")
@click.option("--limit", type=click.IntRange(1), help="At most so many rows of each file.")
@click.option(
    "--rejects",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the rows that do not go in are listed; otherwise FILE.rejects.jsonl beside each file.",
)
@configured
def import_(
    settings: Settings,
    files: tuple[Path, ...],
    format_: str | None,
    encoding: str | None,
    samples: bool,
    limit: int | None,
    rejects: Path | None,
) -> None:
    """Put conversations on the workbench, or picks from elsewhere into the log.

    What is there already stays as it is, so that a file can be imported twice.
    """
    from picktune.interchange.reader import ALSO, DECISIONS, detect, read_conversations, read_decisions
    from picktune.interchange.rejects import Rejects
    from picktune.records import utc_now
    from picktune.tickets import sample_conversations

    if not files and not samples:
        raise click.UsageError("name a file, or say --samples")
    if rejects is not None and len(files) > 1:
        raise click.UsageError("--rejects names one list: import the files one by one, or leave it out")
    if samples:
        total, added = asyncio.run(_add(settings, islice(sample_conversations(now=utc_now()), limit)))
        click.echo(f"samples: {added} new, {total - added} known already")
    for file in files:
        format_of_file = format_ or detect(file, encoding=encoding)
        with (
            Rejects(file, rejects or file.with_name(f"{file.name}.rejects.jsonl"), say=_say) as refused,
            advancing(f"importing {file.name}", None) as advance,
        ):
            if format_of_file in {*DECISIONS, *ALSO}:
                decided = read_decisions(
                    file, format=format_of_file, on_reject=refused.add, encoding=encoding
                )
                total, added = asyncio.run(_decide(settings, islice(decided, limit), refused, advance))
                what = " picks"
            else:
                found = read_conversations(
                    file, format=format_of_file, on_reject=refused.add, encoding=encoding
                )
                total, added = asyncio.run(_add(settings, islice(found, limit), advance))
                what = ""
        where = f", {refused.count} refused{refused.listed}" if refused.count else ""
        click.echo(f"{file}: {added}{what} new, {total - added} known already{where}")


async def _add(
    settings: Settings, conversations: Iterator[Conversation], advance: Advance = lambda: None
) -> tuple[int, int]:
    from picktune.redaction.opening import open_log

    total = added = 0
    async with open_log(settings) as log:
        while chunk := list(islice(conversations, CHUNK)):
            total += len(chunk)
            added += await log.add_conversations(chunk)
            for _ in chunk:
                advance()
    return total, added


async def _decide(
    settings: Settings, rows: Iterator[Decided], rejects: Rejects, advance: Advance
) -> tuple[int, int]:
    """How many decisions went in or were there, and how many of them are new."""
    from picktune.errors import LogUnavailable, PicktuneError
    from picktune.interchange import Reject
    from picktune.interchange.taking import about, take
    from picktune.redaction.opening import open_log

    total = added = 0
    async with open_log(settings) as log:
        while chunk := list(islice(rows, CHUNK)):
            waiting = [(row.line, one) for row in chunk for one in row.decisions]
            outcomes = await asyncio.gather(*(take(log, one) for _, one in waiting), return_exceptions=True)
            for (line, one), outcome in zip(waiting, outcomes, strict=True):
                if isinstance(outcome, PicktuneError) and not isinstance(outcome, LogUnavailable):
                    rejects.add(Reject(line=line, reason=outcome.message, id=about(one)))
                elif isinstance(outcome, BaseException):
                    raise outcome
                else:
                    total += 1
                    added += outcome
            for _ in chunk:
                advance()
    return total, added


def _say(text: str) -> None:
    click.secho(text, fg="yellow", err=True)
