"""Flat picks for a spreadsheet: CSV that Excel and LibreOffice open rightly and run nothing of.

RFC 4180: every cell quoted, lines end with CR LF. What a spreadsheet would take for a formula gets an
apostrophe before it (OWASP, "CSV Injection"), and so does a text that begins with one, so that reading back
takes exactly those away.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import structs

from picktune.errors import InvalidInput
from picktune.interchange.exchange import Takes
from picktune.records import DecidedSlate, Record

__all__ = ["BOM", "START", "SUMMARY", "TAKES", "SheetRow", "encode", "read", "rows"]

SUMMARY = "a table of the picks for a spreadsheet; --bom lets Excel see that it is UTF-8"
TAKES: Takes = ("decisions",)
BOM = b"\xef\xbb\xbf"
COLUMNS = 4

# A formula begins with one of these, also after what nobody sees, and in their full-width forms, which a
# spreadsheet in Chinese or Japanese takes for the same.
_FORMULA = tuple("=+-@＝＋－＠")
_UNSEEN = "ZC"  # the Unicode categories of spaces and of controls
_QUOTE = "'"
_FIRST = ("\t", "\r", "\n", _QUOTE)


class SheetRow(Record, frozen=True, kw_only=True):
    """One decision; every cell is text.

    ``position`` counts from 1, ``replies`` how many were shown. ``sent`` is the reply as it was edited or
    written by hand. Replies beyond the fourth stand in ``more_replies`` as a JSON list.
    """

    decided_at: str
    annotator: str
    role: str
    simulated: str
    verdict: str
    position: str
    picked: str
    sent: str
    arm: str
    model: str
    asked: str
    replies: str
    reply_1: str
    reply_2: str
    reply_3: str
    reply_4: str
    more_replies: str
    reasons: str
    comment: str
    tags: str
    locale: str
    complete: str
    dwell_seconds: str
    conversation_id: str
    slate_id: str


def rows(decided: DecidedSlate) -> Iterator[SheetRow]:
    """Every decision is one row, whatever its verdict."""
    slate, pick, shown, picked = decided.slate, decided.pick, decided.shown, decided.picked
    texts = [candidate.text for candidate in shown]
    first = [*texts[:COLUMNS], *[""] * (COLUMNS - len(texts))]
    asked = [message.content for message in slate.turn.messages if message.role == "user"]
    yield SheetRow(
        decided_at=pick.decided_at.isoformat(),
        annotator=pick.annotator,
        role=pick.role,
        simulated=_yes(pick.role == "model"),
        verdict=pick.verdict,
        position="" if picked is None else str(shown.index(picked) + 1),
        picked="" if picked is None else picked.text,
        sent=pick.edited_text or "",
        arm="" if picked is None else picked.arm,
        model="" if picked is None else picked.model or "",
        asked=asked[-1] if asked else "",
        replies=str(len(texts)),
        reply_1=first[0],
        reply_2=first[1],
        reply_3=first[2],
        reply_4=first[3],
        more_replies=msgspec.json.encode(texts[COLUMNS:]).decode() if texts[COLUMNS:] else "",
        reasons=", ".join(pick.reasons),
        comment=pick.comment or "",
        tags=", ".join(slate.turn.tags),
        locale=slate.turn.locale,
        complete=_yes(slate.complete),
        dwell_seconds="" if pick.dwell_ms is None else f"{pick.dwell_ms / 1000:.3f}",
        conversation_id=slate.turn.conversation_id,
        slate_id=slate.id,
    )


def encode(row: SheetRow) -> bytes:
    """One row as its line, which is several if a text has line ends."""
    return _line([harmless(cell) for cell in structs.astuple(row)])


def read(path: Path) -> Iterator[SheetRow]:
    """The rows of a file, with or without a byte order mark; see ``Exporter``.

    A cell is at most 131,072 characters long, the limit of Python's own reader.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        found = csv.reader(file, strict=True)
        try:
            names = next(found, [])
            if tuple(names) != SheetRow.__struct_fields__:
                raise InvalidInput(f"{path} has other columns than a picktune export", field="path")
            for cells in found:
                if len(cells) != len(names):
                    raise InvalidInput(
                        f"{path}, line {found.line_num}: {len(cells)} cells instead of {len(names)}",
                        field="path",
                    )
                yield SheetRow(**dict(zip(names, map(as_it_was, cells), strict=True)))
        except (csv.Error, UnicodeDecodeError) as error:
            raise InvalidInput(f"{path}, line {found.line_num}: {error}", field="path") from error


def harmless(cell: str) -> str:
    """The cell, with an apostrophe before it if a spreadsheet could take it for anything but text."""
    seen = next((one for one in cell if unicodedata.category(one)[0] not in _UNSEEN), "")
    return _QUOTE + cell if seen in _FORMULA or cell.startswith(_FIRST) else cell


def as_it_was(cell: str) -> str:
    """What ``harmless`` was given."""
    return cell.removeprefix(_QUOTE)


def _line(cells: list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow(cells)
    return text.getvalue().encode()


def _yes(value: bool) -> str:
    return "yes" if value else "no"


START = _line(list(SheetRow.__struct_fields__))
