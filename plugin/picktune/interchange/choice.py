"""Our own format: a decision with everything that led to it, which another log takes in as it was.

One JSON object a line. The replies stand in the order in which the annotator saw them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, cast

import msgspec
from msgspec import Meta

from picktune.interchange import jsonl
from picktune.interchange.exchange import Takes
from picktune.interchange.jsonl import encode
from picktune.records import (
    AliasesSeen,
    AnnotatorRole,
    ArmKind,
    Candidate,
    DecidedSlate,
    Exposure,
    Message,
    Pick,
    Record,
    Slate,
    Turn,
)

__all__ = ["START", "SUMMARY", "TAKES", "ChoiceRow", "Reply", "encode", "read", "recognises", "rows"]

SUMMARY = "everything: each decision with all K replies, their arms and order; picktune import reads it"
TAKES: Takes = ("decisions",)
START = b""

Id = Annotated[str, Meta(min_length=1)]
# A standing decision is never undone.
Standing = Literal["chosen", "tie", "none_good", "skip"]
Index = Annotated[int, Meta(ge=0)]


class Reply(Record, frozen=True, kw_only=True):
    """One reply that was shown; ``place`` is where it stands in the slate as it was drawn, from 0."""

    id: Id
    place: Index
    arm: Id
    kind: ArmKind
    model: str | None
    text: str
    position: Index
    propensity: Annotated[float, Meta(ge=0.0, le=1.0)]
    tokens: Index
    latency: Annotated[float, Meta(ge=0.0)]
    finish_reason: str = "stop"
    also: tuple[str, ...] = ()


class ChoiceRow(Record, frozen=True, kw_only=True):
    """One standing decision.

    ``chosen`` is the index in ``replies`` of the reply that the decision names: the picked one, or with a
    tie the one that was sent. ``key`` is the decision's own, by which a second import knows it.
    """

    slate_id: Id
    conversation_id: Id
    turn_id: Id
    messages: tuple[Message, ...]
    replies: tuple[Reply, ...]
    verdict: Standing
    chosen: Index | None
    edited_text: str | None
    reasons: tuple[str, ...]
    comment: str | None
    annotator: Id
    role: AnnotatorRole
    dwell_ms: int | None
    tags: tuple[str, ...]
    locale: str
    policy: str
    seed: int
    complete: bool
    failures: tuple[str, ...]
    aliases: AliasesSeen | None
    asked_at: datetime
    drawn_at: datetime
    shown_at: datetime
    decided_at: datetime
    key: Id


def rows(decided: DecidedSlate) -> Iterator[ChoiceRow]:
    """Every standing decision is one row, whatever its verdict. For whom the slate was drawn is left out."""
    slate, turn, pick, shown = decided.slate, decided.slate.turn, decided.pick, decided.shown
    yield ChoiceRow(
        slate_id=slate.id,
        conversation_id=turn.conversation_id,
        turn_id=turn.id,
        messages=turn.messages,
        replies=tuple(
            Reply(
                id=one.id,
                place=slate.candidates.index(one),
                arm=one.arm,
                kind=one.kind,
                model=one.model,
                text=one.text,
                position=one.position,
                propensity=one.propensity,
                tokens=one.tokens,
                latency=one.latency,
                finish_reason=one.finish_reason,
                also=one.also,
            )
            for one in shown
        ),
        verdict=cast(Standing, pick.verdict),
        chosen=None if decided.picked is None else shown.index(decided.picked),
        edited_text=pick.edited_text,
        reasons=pick.reasons,
        comment=pick.comment,
        annotator=pick.annotator,
        role=pick.role,
        dwell_ms=pick.dwell_ms,
        tags=turn.tags,
        locale=turn.locale,
        policy=slate.policy,
        seed=slate.seed,
        complete=slate.complete,
        failures=slate.failures,
        aliases=decided.aliases,
        asked_at=turn.created_at,
        drawn_at=slate.created_at,
        shown_at=decided.exposure.shown_at,
        decided_at=pick.decided_at,
        key=pick.key,
    )


def read(path: Path) -> Iterator[ChoiceRow]:
    """The decisions of a file; see ``Exporter``."""
    return jsonl.read(path, ChoiceRow)


def recognises(keys: frozenset[str]) -> bool:
    """Whether a row with these keys is one of ours."""
    return {"slate_id", "replies", "verdict", "chosen"} <= keys


def decode(data: bytes) -> ChoiceRow:
    """One line; raises ``ValueError``, naming the field."""
    return _decoder.decode(data)


_decoder = msgspec.json.Decoder(ChoiceRow)


def name(row: ChoiceRow) -> str:
    """What no two rows of a file share: an annotator decides on a slate once."""
    return f"{row.slate_id} by {row.annotator}"


def to_decided(row: ChoiceRow, *, now: datetime) -> tuple[DecidedSlate, ...]:
    """The decision as it was in the log that it comes from; raises ``ValueError`` on a contradiction."""
    by_place = {reply.place: reply for reply in row.replies}
    if sorted(by_place) != list(range(len(row.replies))):
        raise ValueError(f"the places of the replies must be 0 to {len(row.replies) - 1}, each once")
    if row.chosen is not None and row.chosen >= len(row.replies):
        raise ValueError(f"chosen is {row.chosen}, but there are only {len(row.replies)} replies, from 0")
    turn = Turn(
        id=row.turn_id,
        conversation_id=row.conversation_id,
        messages=row.messages,
        tags=row.tags,
        locale=row.locale,
        created_at=row.asked_at,
    )
    slate = Slate(
        id=row.slate_id,
        turn=turn,
        candidates=tuple(_candidate(by_place[place]) for place in range(len(by_place))),
        policy=row.policy,
        seed=row.seed,
        complete=row.complete,
        failures=row.failures,
        created_at=row.drawn_at,
    )
    exposure = Exposure(
        slate_id=row.slate_id,
        viewer=row.annotator,
        order=tuple(reply.id for reply in row.replies),
        shown_at=row.shown_at,
    )
    pick = Pick(
        key=row.key,
        slate_id=row.slate_id,
        verdict=row.verdict,
        candidate_id=None if row.chosen is None else row.replies[row.chosen].id,
        edited_text=row.edited_text,
        reasons=row.reasons,
        comment=row.comment,
        annotator=row.annotator,
        role=row.role,
        dwell_ms=row.dwell_ms,
        decided_at=row.decided_at,
    )
    return (DecidedSlate(slate=slate, exposure=exposure, pick=pick, aliases=row.aliases),)


def _candidate(reply: Reply) -> Candidate:
    return Candidate(
        id=reply.id,
        arm=reply.arm,
        kind=reply.kind,
        model=reply.model,
        text=reply.text,
        position=reply.position,
        propensity=reply.propensity,
        tokens=reply.tokens,
        latency=reply.latency,
        finish_reason=reply.finish_reason,
        also=reply.also,
    )
