"""Writing picks out: streamed from the log, into a file that is whole or not there, with a card beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from picktune.errors import InvalidInput
from picktune.interchange.card import DatasetCard, Tally
from picktune.interchange.exporter import Evidence, Exporter, exporter_named, writer_of
from picktune.interchange.whole import WholeFile
from picktune.records import Selection, utc_now

if TYPE_CHECKING:
    from picktune.log import LogReader
    from picktune.settings import Settings

Advance = Callable[[], None]


def export_to_file(
    reader: LogReader,
    format: str,
    path: Path,
    *,
    selection: Selection | None = None,
    card: Path | None = None,
    bom: bool = False,
    licence: str | None = None,
    redaction: str | None = None,
    now: datetime | None = None,
    advance: Advance | None = None,
) -> DatasetCard:
    """Write what is selected to ``path`` and its card beside it (``path`` with ``.card.json``, or ``card``).

    One row at a time is in memory. Either both files appear, whole and durable, or neither does; the card
    comes last and holds the file's hash, by which it is told from another file's. ``bom`` begins a CSV file
    with a byte order mark. ``licence`` and ``redaction`` are for the card. ``advance`` is called
    after each decision and reaction. Raises ``InvalidInput``.
    """
    card_path = path.with_name(f"{path.name}.card.json") if card is None else card
    if card_path.resolve() == path.resolve():
        raise InvalidInput(f"{path} cannot hold the rows and their card; name two files", field="card")
    with WholeFile(path) as file, WholeFile(card_path) as beside:
        tally = _write(reader, format, selection or Selection(), file.write, bom=bom, advance=advance)
        made = tally.card(
            format=format,
            file=path.name,
            sha256=file.sha256,
            size=file.size,
            selection=selection or Selection(),
            licence=licence,
            redaction=redaction,
            now=now or utc_now(),
        )
        beside.write(made.encode())
        beside.sync()
        file.keep()
        beside.keep()
    return made


def export_to(
    reader: LogReader,
    format: str,
    write: Callable[[bytes], object],
    *,
    selection: Selection | None = None,
    bom: bool = False,
    licence: str | None = None,
    redaction: str | None = None,
    now: datetime | None = None,
    advance: Advance | None = None,
) -> DatasetCard:
    """Hand what is selected to ``write``, row by row; see ``export_to_file``. The card is returned only."""
    digest, size = hashlib.sha256(), 0

    def through(data: bytes) -> None:
        nonlocal size
        write(data)
        digest.update(data)
        size += len(data)

    tally = _write(reader, format, selection or Selection(), through, bom=bom, advance=advance)
    return tally.card(
        format=format,
        file=None,
        sha256=digest.hexdigest(),
        size=size,
        selection=selection or Selection(),
        licence=licence,
        redaction=redaction,
        now=now or utc_now(),
    )


def rows_of(
    reader: LogReader, format: str, selection: Selection, *, advance: Advance | None = None
) -> Iterator[Any]:
    """The rows that an export would write, for whoever sends them somewhere else."""
    exporter = exporter_named(format)
    for evidence in _evidence(reader, exporter, selection):
        yield from exporter.rows(evidence)
        if advance is not None:
            advance()


def amount(reader: LogReader, format: str, selection: Selection) -> int:
    """How many decisions and reactions an export goes through: what a progress bar ends at."""
    decisions, reactions = reader.count_selected(selection)
    takes = exporter_named(format).TAKES
    return decisions * ("decisions" in takes) + reactions * ("reactions" in takes)


def redaction_of(settings: Settings) -> str | None:
    """What the installation does about personal data before it stores a turn, for the card."""
    now = settings.redaction
    if not now.on:
        return None
    return f"on, in {', '.join(now.locales)}: {', '.join(now.kinds)}"


def _write(
    reader: LogReader,
    format: str,
    selection: Selection,
    write: Callable[[bytes], object],
    *,
    bom: bool,
    advance: Advance | None,
) -> Tally:
    exporter, tally = exporter_named(format), Tally()
    if bom:
        if format != "csv":
            raise InvalidInput(
                f"only csv may begin with a byte order mark; leave it out for {format}", field="bom"
            )
        from picktune.interchange.spreadsheet import BOM

        write(BOM)
    writer = writer_of(exporter, write)
    for evidence in _evidence(reader, exporter, selection):
        count = 0
        for row in exporter.rows(evidence):
            writer.add(row)
            count += 1
        tally.add(evidence, count)
        if advance is not None:
            advance()
    writer.close()
    return tally


def _evidence(reader: LogReader, exporter: Exporter, selection: Selection) -> Iterator[Evidence]:
    if "decisions" in exporter.TAKES:
        yield from reader.decided_slates(selection)
    if "reactions" in exporter.TAKES:
        yield from reader.reacted_replies(selection)
