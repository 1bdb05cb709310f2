"""``picktune export``: the picks for whoever trains on them elsewhere."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from picktune.commands.auditing import noting
from picktune.commands.options import configured
from picktune.commands.progress import advancing
from picktune.errors import InvalidInput
from picktune.interchange.exporter import EXPORTERS
from picktune.records import AnnotatorRole
from picktune.settings import Settings

if TYPE_CHECKING:
    from picktune.interchange import DatasetCard
    from picktune.records import Selection

FILE = click.Path(path_type=Path, dir_okay=False)
MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"])


class Formats(click.Command):
    """A command whose help lists the formats."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of formats, last."""
        with formatter.section("Formats"):
            formatter.write_dl([(name, one.SUMMARY) for name, one in EXPORTERS.items()])


@click.command(cls=Formats)
@click.argument("format_", metavar="FORMAT", type=click.Choice(list(EXPORTERS)))
@click.option("--out", type=FILE, help="A file, which appears when it is whole; otherwise stdout.")
@click.option("--card", type=FILE, help="Where the data set's card goes; otherwise FILE.card.json.")
@click.option(
    "--since",
    type=MOMENT,
    metavar="TIME",
    help="Leave out what was decided before, as 2026-11-24T09:00:00 (UTC).",
)
@click.option(
    "--until",
    type=MOMENT,
    metavar="TIME",
    help="Leave out what was decided from then on; a day is enough (UTC).",
)
@click.option("--tag", "tags", multiple=True, help="Only with this tag, or with one of several.")
@click.option("--locale", "locales", multiple=True, help="Only in this language, or in one of several.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(get_args(AnnotatorRole)),
    help="Whose decisions count, instead of the configured ones; may be given several times.",
)
@click.option("--licence", help="What others may do with it, for the card: an SPDX id such as CC-BY-4.0.")
@click.option(
    "--push",
    metavar="URL",
    help="With langfuse: send the scores to this server instead of writing them. Its keys are taken from "
    "LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY.",
)
@click.option("--bom", is_flag=True, help="With csv: begin with a byte order mark, for Excel.")
@configured
def export(
    settings: Settings,
    format_: str,
    out: Path | None,
    card: Path | None,
    since: datetime | None,
    until: datetime | None,
    tags: tuple[str, ...],
    locales: tuple[str, ...],
    roles: tuple[AnnotatorRole, ...],
    licence: str | None,
    push: str | None,
    bom: bool,
) -> None:
    """Write what people decided, in the form that others read.

    Beside a file comes its card, a file of JSON that says what is in it: counts, dates, tags, roles,
    languages, and whether any of it was decided by a simulated picker.
    """
    from picktune.interchange import export_to, export_to_file
    from picktune.interchange.export import amount, redaction_of
    from picktune.interchange.whole import WholeFile
    from picktune.log import SQLiteLogReader
    from picktune.records import Selection

    selection = Selection(
        since=_utc(since), until=_utc(until), roles=roles or settings.roles, tags=tags, locales=locales
    )
    if push is not None:
        if format_ != "langfuse" or out or card or bom:
            raise click.UsageError("--push goes with the format langfuse, and without a file")
        _push(settings, push, selection)
        return
    redaction = redaction_of(settings)
    for path in (out, card):
        if path is not None:
            _refuse_the_log(path, Path(settings.log_path))
    with (
        noting(settings, "exported", str(out.absolute()) if out else "stdout", format=format_),
        SQLiteLogReader(settings.log_path) as reader,
    ):
        total = amount(reader, format_, selection)
        with advancing(f"{format_} export", total, shown=out is not None) as advance:
            if out is not None:
                made = export_to_file(
                    reader,
                    format_,
                    out,
                    selection=selection,
                    card=card,
                    bom=bom,
                    licence=licence,
                    redaction=redaction,
                    advance=advance,
                )
            elif card is None:
                export_to(reader, format_, sys.stdout.buffer.write, selection=selection, bom=bom)
                return
            else:
                with WholeFile(card) as beside:
                    made = export_to(
                        reader,
                        format_,
                        sys.stdout.buffer.write,
                        selection=selection,
                        bom=bom,
                        licence=licence,
                        redaction=redaction,
                    )
                    sys.stdout.buffer.flush()
                    beside.write(made.encode())
                    beside.keep()
    if out is not None:
        click.echo(f"{out}: {_summary(made)}")


def _push(settings: Settings, url: str, selection: Selection) -> None:
    from picktune.interchange.export import amount, rows_of
    from picktune.interchange.langfuse_push import LangfusePush
    from picktune.log import SQLiteLogReader

    server = LangfusePush(url, os.environ)
    with (
        noting(settings, "exported", url, format="langfuse"),
        SQLiteLogReader(settings.log_path) as reader,
        advancing("pushing to Langfuse", amount(reader, "langfuse", selection)) as advance,
    ):
        pushed = server.push(rows_of(reader, "langfuse", selection, advance=advance))
    for reason in pushed.reasons:
        click.secho(f"refused: {reason}", fg="yellow", err=True)
    click.echo(f"{url}: {pushed.accepted} scores taken, {pushed.rejected} refused")
    if pushed.rejected:
        raise click.exceptions.Exit(1)


def _summary(card: DatasetCard) -> str:
    sources = {"decisions": card.decisions, "reactions": card.reactions}
    of = " and ".join(f"{count} {name}" for name, count in sources.items() if count) or "no decisions"
    unused = f"; {card.without_rows} more without a row in this format" if card.without_rows else ""
    simulated = "; simulated picks are among them" if card.simulated else ""
    return f"{card.rows} rows from {of}{unused}{simulated}"


def _refuse_the_log(path: Path, log: Path) -> None:
    """An export takes the place of the file that it names: never that of the log."""
    taken = [log, *(log.with_name(log.name + more) for more in ("-wal", "-shm"))]
    if any(path.resolve() == one.resolve() for one in taken):
        raise InvalidInput(f"{path} is the log itself; name another file", field="path")


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
