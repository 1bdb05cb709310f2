"""Flat picks for a spreadsheet: CSV that Excel and LibreOffice open rightly and run nothing of.

RFC 4180: every cell quoted, lines end with CR LF. ``picktune import`` reads it back, and any table that has
the columns ``asked``, ``reply_1``, ``reply_2`` and ``position`` or ``picked``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import structs

from picktune.errors import InvalidInput
from picktune.interchange.cells import as_it_was, harmless
from picktune.interchange.exchange import Takes
from picktune.interchange.opened import BOM, opened
from picktune.interchange.table import records
from picktune.interchange.votes import Taken, Text, Vote, named
from picktune.interchange.votes import to_decided as _to_decided
from picktune.records import DecidedSlate, Message, Record

__all__ = ["BOM", "START", "SUMMARY", "TAKES", "SheetRow", "encode", "read", "rows"]

SUMMARY = "a table of the picks for a spreadsheet; --bom lets Excel see that it is UTF-8"
TAKES: Takes = ("decisions",)
COLUMNS = 4

T = TypeVar("T")


class SheetRow(Record, frozen=True, kw_only=True):
    """One decision; every cell is text.

    ``position`` counts from 1, ``replies`` how many were shown. ``sent`` is the reply as it was edited or
    written by hand. Replies beyond the fourth stand in ``more_replies`` as a JSON list; ``messages`` is the
    conversation as one, where it is more than what was ``asked``, and ``reply_ids`` the ids of the replies.
    """

    decided_at: str = ""
    annotator: str = ""
    role: str = ""
    simulated: str = ""
    verdict: str = ""
    position: str = ""
    picked: str = ""
    sent: str = ""
    arm: str = ""
    model: str = ""
    asked: str = ""
    replies: str = ""
    reply_1: str = ""
    reply_2: str = ""
    reply_3: str = ""
    reply_4: str = ""
    more_replies: str = ""
    reasons: str = ""
    comment: str = ""
    tags: str = ""
    locale: str = ""
    complete: str = ""
    dwell_seconds: str = ""
    conversation_id: str = ""
    slate_id: str = ""
    messages: str = ""
    reply_ids: str = ""
    key: str = ""


NAMES = SheetRow.__struct_fields__


def rows(decided: DecidedSlate) -> Iterator[SheetRow]:
    """Every decision is one row, whatever its verdict."""
    slate, pick, shown, picked = decided.slate, decided.pick, decided.shown, decided.picked
    texts = [candidate.text for candidate in shown]
    first = [*texts[:COLUMNS], *[""] * (COLUMNS - len(texts))]
    said = slate.turn.messages
    asked = [message.content for message in said if message.role == "user"]
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
        more_replies=_json(texts[COLUMNS:]) if texts[COLUMNS:] else "",
        reasons=", ".join(pick.reasons),
        comment=pick.comment or "",
        tags=", ".join(slate.turn.tags),
        locale=slate.turn.locale,
        complete=_yes(slate.complete),
        dwell_seconds="" if pick.dwell_ms is None else f"{pick.dwell_ms / 1000:.3f}",
        conversation_id=slate.turn.conversation_id,
        slate_id=slate.id,
        messages="" if len(said) == len(asked) == 1 else _json(said),
        reply_ids=_json([candidate.id for candidate in shown]),
        key=pick.key,
    )


def encode(row: SheetRow) -> bytes:
    """One row as its line, which is several if a text has line ends."""
    return _line(map(harmless, structs.astuple(row)))


def read(path: Path) -> Iterator[SheetRow]:
    """The rows of a file, with or without a byte order mark; see ``Exporter``."""
    header = None
    with opened(path) as file:
        for record in records(file):
            if record.problem is not None:
                raise InvalidInput(f"{path}, line {record.line}: {record.problem}", field="path")
            if header is None:
                header = record.cells
                if header != NAMES:
                    raise InvalidInput(f"{path} has other columns than a picktune export", field="path")
                continue
            yield SheetRow(**dict(zip(NAMES, map(as_it_was, record.cells), strict=True)))
    if header is None:
        raise InvalidInput(f"{path} is empty: there is not even a header", field="path")


def recognises(keys: frozenset[str]) -> bool:
    """Whether a row with these keys holds a vote on replies in columns."""
    return bool(keys & {"reply_1", "reply_ids"}) and bool(keys & {"verdict", "position", "picked"})


def decode(data: bytes) -> dict[str, str]:
    """One row by its columns; raises ``ValueError``."""
    return msgspec.json.decode(data, type=dict[str, str])


def left_out(row: dict[str, str]) -> Iterable[str]:
    """The columns that mean nothing here."""
    return row.keys() - set(NAMES)


def name(row: dict[str, str]) -> str:
    """What no two rows of a file share."""
    sheet = _sheet(row)
    return f"{_slate_id(sheet)} by {sheet.annotator or 'csv'}"


def to_decided(row: dict[str, str], *, now: datetime) -> tuple[Taken, ...]:
    """The decision; whose replies they were is taken from the log's own slate, if it has it.

    Raises ``ValueError``, naming the column. Without ``verdict``, a position or a picked text is a choice.
    """
    sheet = _sheet(row)
    slate_id = _slate_id(sheet)
    texts = _texts(sheet)
    ids = _decode(sheet.reply_ids, list[str], "reply_ids") if sheet.reply_ids else None
    if ids is None:
        ids = [f"{slate_id}-{place + 1}" for place in range(len(texts))]
    if len(ids) != len(texts):
        raise ValueError(f"reply_ids names {len(ids)} replies, but there are {len(texts)}")
    chosen = _chosen(sheet, texts)
    values = {
        "slate_id": slate_id,
        "conversation_id": sheet.conversation_id or None,
        "messages": _messages(sheet),
        "replies": [
            Text(id=id, text=text, model=sheet.model or None if place == chosen else None)
            for place, (id, text) in enumerate(zip(ids, texts, strict=True))
        ],
        "verdict": sheet.verdict or ("skip" if chosen is None else "chosen"),
        "chosen": chosen,
        "edited_text": sheet.sent or None,
        "reasons": tuple(sheet.reasons.split(", ")) if sheet.reasons else (),
        "comment": sheet.comment or None,
        "annotator": sheet.annotator or "csv",
        "role": sheet.role or "crowd",
        "dwell_ms": round(_number(sheet.dwell_seconds) * 1000) if sheet.dwell_seconds else None,
        "tags": tuple(sheet.tags.split(", ")) if sheet.tags else (),
        "locale": sheet.locale or "en",
        "complete": sheet.complete != "no",
        "key": sheet.key or "vote",
        "decided_at": _moment(sheet.decided_at) if sheet.decided_at else now,
    }
    return (_to_decided(msgspec.convert(values, Vote), "csv"),)


def _sheet(row: dict[str, str]) -> SheetRow:
    return SheetRow(**{name: row[name] for name in NAMES if name in row})


def _slate_id(sheet: SheetRow) -> str:
    return sheet.slate_id or named("csv", sheet.asked, sheet.messages, _texts(sheet))


def _texts(sheet: SheetRow) -> list[str]:
    texts = [sheet.reply_1, sheet.reply_2, sheet.reply_3, sheet.reply_4]
    more = _decode(sheet.more_replies, list[str], "more_replies") if sheet.more_replies else []
    if sheet.replies:
        count = int(_number(sheet.replies))
        if not 0 <= count <= COLUMNS + len(more):
            raise ValueError(f"replies says {count}, but there are {COLUMNS + len(more)} columns of them")
        return (texts + more)[:count]
    while texts and not more and texts[-1] == "":
        texts.pop()
    return texts + more


def _chosen(sheet: SheetRow, texts: list[str]) -> int | None:
    if sheet.position:
        return int(_number(sheet.position)) - 1
    if sheet.picked and sheet.picked not in texts:
        raise ValueError("the picked text is none of the replies")
    return texts.index(sheet.picked) if sheet.picked else None


def _messages(sheet: SheetRow) -> tuple[Message, ...]:
    if sheet.messages:
        return _decode(sheet.messages, tuple[Message, ...], "messages")
    return (Message(role="user", content=sheet.asked),)


def _decode(cell: str, kind: type[T], column: str) -> T:
    try:
        return msgspec.json.decode(cell, type=kind)
    except ValueError as error:
        raise ValueError(f"column {column!r}: {error}") from None


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise ValueError(f"{cell!r} is no number") from None


def _moment(cell: str) -> datetime:
    try:
        at = datetime.fromisoformat(cell)
    except ValueError:
        raise ValueError(f"decided_at {cell!r} is no time such as 2026-11-24T09:00:00+00:00") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _line(cells: Iterable[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow(cells)
    return text.getvalue().encode()


def _yes(value: bool) -> str:
    return "yes" if value else "no"


START = _line(NAMES)
