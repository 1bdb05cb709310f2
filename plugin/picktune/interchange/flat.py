"""Decisions as flat objects, one JSON line each: for whoever loads a table of them into a notebook."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, cast

import msgspec
from msgspec import Meta

from picktune.interchange import jsonl
from picktune.interchange.exchange import Takes
from picktune.interchange.jsonl import encode
from picktune.interchange.votes import Standing, Taken, Text, Vote
from picktune.interchange.votes import to_decided as _to_decided
from picktune.records import AnnotatorRole, DecidedSlate, Message, Record

__all__ = ["START", "SUMMARY", "TAKES", "FlatRow", "encode", "read", "rows"]

SUMMARY = "one flat JSON object a decision: texts, arms and models of the replies as lists"
TAKES: Takes = ("decisions",)
START = b""

Id = Annotated[str, Meta(min_length=1)]


class FlatRow(Record, frozen=True, kw_only=True):
    """One decision; the lists of ids, texts, arms and models stand in the order shown.

    ``position`` counts from 1. ``sent`` is the reply as it was edited or written by hand.
    """

    decided_at: datetime
    annotator: Id
    role: AnnotatorRole
    verdict: Standing
    position: Annotated[int, Meta(ge=1)] | None
    sent: str | None
    messages: tuple[Message, ...]
    reply_ids: tuple[Id, ...]
    texts: tuple[str, ...]
    arms: tuple[str, ...]
    models: tuple[str | None, ...]
    reasons: tuple[str, ...]
    comment: str | None
    tags: tuple[str, ...]
    locale: str
    complete: bool
    dwell_ms: int | None
    conversation_id: Id
    slate_id: Id
    key: Id


def rows(decided: DecidedSlate) -> Iterator[FlatRow]:
    """Every decision is one row, whatever its verdict."""
    slate, pick, shown, picked = decided.slate, decided.pick, decided.shown, decided.picked
    yield FlatRow(
        decided_at=pick.decided_at,
        annotator=pick.annotator,
        role=pick.role,
        verdict=cast(Standing, pick.verdict),
        position=None if picked is None else shown.index(picked) + 1,
        sent=pick.edited_text,
        messages=slate.turn.messages,
        reply_ids=tuple(one.id for one in shown),
        texts=tuple(one.text for one in shown),
        arms=tuple(one.arm for one in shown),
        models=tuple(one.model for one in shown),
        reasons=pick.reasons,
        comment=pick.comment,
        tags=slate.turn.tags,
        locale=slate.turn.locale,
        complete=slate.complete,
        dwell_ms=pick.dwell_ms,
        conversation_id=slate.turn.conversation_id,
        slate_id=slate.id,
        key=pick.key,
    )


def read(path: Path) -> Iterator[FlatRow]:
    """The rows of a file; see ``Exporter``."""
    return jsonl.read(path, FlatRow)


def recognises(keys: frozenset[str]) -> bool:
    """Whether a row with these keys is one of these."""
    return {"slate_id", "reply_ids", "texts", "verdict"} <= keys


def decode(data: bytes) -> FlatRow:
    """One line; raises ``ValueError``, naming the field."""
    return msgspec.json.decode(data, type=FlatRow)


def name(row: FlatRow) -> str:
    """What no two rows of a file share: an annotator decides on a slate once."""
    return f"{row.slate_id} by {row.annotator}"


def to_decided(row: FlatRow, *, now: datetime) -> tuple[Taken, ...]:
    """The decision; whose replies they were is taken from the log's own slate, if it has it."""
    if not len(row.reply_ids) == len(row.texts) == len(row.models):
        raise ValueError("reply_ids, texts and models must be of one length")
    vote = Vote(
        slate_id=row.slate_id,
        conversation_id=row.conversation_id,
        messages=row.messages,
        replies=tuple(
            Text(id=id, text=text, model=model)
            for id, text, model in zip(row.reply_ids, row.texts, row.models, strict=True)
        ),
        verdict=row.verdict,
        chosen=None if row.position is None else row.position - 1,
        edited_text=row.sent,
        reasons=row.reasons,
        comment=row.comment,
        annotator=row.annotator,
        role=row.role,
        dwell_ms=row.dwell_ms,
        tags=row.tags,
        locale=row.locale,
        complete=row.complete,
        key=row.key,
        decided_at=row.decided_at,
    )
    return (_to_decided(vote, "jsonl"),)
