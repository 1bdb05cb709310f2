"""Langfuse's scores: on the slate, which is a trace, and on its replies, which are observations.

The body ``CreateScoreRequest`` of ``POST /api/public/scores`` in the client langfuse 5.0.4, which is that of
the event ``score-create`` in ``fern/apis/server/definition/ingestion.yml`` of
https://github.com/langfuse/langfuse (read at 96e70fd) with a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from uuid import NAMESPACE_URL, uuid5

import msgspec
from msgspec import UNSET, Struct, UnsetType

from picktune.interchange import jsonl
from picktune.interchange.exchange import Takes
from picktune.interchange.jsonl import encode
from picktune.interchange.votes import Standing, Taken
from picktune.records import AnnotatorRole, DecidedSlate, Pick, ReactedReply, Reaction

__all__ = ["START", "SUMMARY", "TAKES", "Score", "encode", "read", "rows"]

SUMMARY = "Langfuse scores (JSON lines, or --push URL): verdict, picked and thumbs"
TAKES: Takes = ("decisions", "reactions")
START = b""

VERDICT, PICKED, THUMB = "verdict", "picked", "thumb"


class Score(Struct, frozen=True, kw_only=True, rename="camel"):
    """One score. A boolean's value is 1 or 0, a categorical's a text.

    ``id`` is made of what it is about, and ``timestamp`` is when that was shown, not when it was decided on:
    Langfuse knows a score by both, so that a second push changes nothing, and a changed mind the same score.
    """

    id: str | UnsetType = UNSET
    trace_id: str | UnsetType = UNSET
    session_id: str | UnsetType = UNSET
    observation_id: str | UnsetType = UNSET
    name: str
    value: float | str
    data_type: Literal["NUMERIC", "BOOLEAN", "CATEGORICAL", "TEXT", "CORRECTION"] | UnsetType = UNSET
    comment: str | UnsetType | None = UNSET
    metadata: dict[str, Any] | UnsetType | None = UNSET
    timestamp: datetime | UnsetType = UNSET


class _Meta(Struct, frozen=True, kw_only=True):
    annotator: str = "langfuse"
    role: AnnotatorRole = "expert"
    key: str | None = None
    at: datetime | None = None
    reasons: tuple[str, ...] = ()
    candidate_id: str | None = None
    sent: str | None = None
    dwell_ms: int | None = None


def rows(evidence: DecidedSlate | ReactedReply) -> Iterator[Score]:
    """A decision is a ``verdict`` on the slate and, with a choice, a ``picked`` of 1 or 0 on each reply."""
    if isinstance(evidence, ReactedReply):
        one = evidence.reaction
        yield _score(
            THUMB,
            1 if one.value == "up" else 0,
            evidence.slate.id,
            one.candidate_id,
            one.comment,
            evidence.slate.created_at,
            {"annotator": one.annotator, "role": one.role, "key": one.key, "at": one.reacted_at.isoformat(),
             "reasons": list(one.reasons)},
        )  # fmt: skip
        return
    pick = evidence.pick
    meta = {
        "annotator": pick.annotator,
        "role": pick.role,
        "key": pick.key,
        "at": pick.decided_at.isoformat(),
        "reasons": list(pick.reasons),
        "candidate_id": pick.candidate_id,
        "sent": pick.edited_text,
        "dwell_ms": pick.dwell_ms,
    }
    at = evidence.exposure.shown_at
    yield _score(VERDICT, pick.verdict, pick.slate_id, None, pick.comment, at, meta)
    if pick.verdict == "chosen":
        by = {"annotator": pick.annotator, "role": pick.role, "key": pick.key}
        for shown in evidence.shown:
            value = int(shown.id == pick.candidate_id)
            yield _score(PICKED, value, pick.slate_id, shown.id, None, at, by)


def _score(
    name: str,
    value: int | str,
    slate_id: str,
    candidate_id: str | None,
    comment: str | None,
    timestamp: datetime,
    metadata: dict[str, Any],
) -> Score:
    about = f"picktune:{name}:{slate_id}:{candidate_id}:{metadata['annotator']}"
    return Score(
        id=str(uuid5(NAMESPACE_URL, about)),
        trace_id=slate_id,
        observation_id=UNSET if candidate_id is None else candidate_id,
        name=name,
        value=value,
        data_type="CATEGORICAL" if isinstance(value, str) else "BOOLEAN",
        comment=comment,
        metadata=metadata,
        timestamp=timestamp,
    )


def read(path: Path) -> Iterator[Score]:
    """The scores of a file; see ``Exporter``."""
    return jsonl.read(path, Score)


def recognises(keys: frozenset[str]) -> bool:
    """Whether a row with these keys is one of Langfuse's."""
    return {"name", "value"} <= keys and bool(keys & {"traceId", "observationId"})


def decode(data: bytes) -> Score:
    """One score; raises ``ValueError``, naming the field."""
    return msgspec.json.decode(data, type=Score)


def name(row: Score) -> str:
    """The score's id, or what it is about."""
    return row.id or f"{row.name} on {row.trace_id} {row.observation_id}"


def to_decided(row: Score, *, now: datetime) -> tuple[Taken, ...]:
    """A decision or a thumb on a slate that the log has; raises ``ValueError``.

    Nothing for ``picked``, which goes with a verdict.
    """
    meta = msgspec.convert(row.metadata or {}, _Meta)
    key, at = meta.key or row.id or "score", meta.at or now
    if row.name == PICKED:
        return ()
    if row.name == THUMB:
        if row.value not in (0, 1) or row.observation_id is UNSET:
            raise ValueError(
                f"a thumb is 1 or 0 on an observation (a reply of ours), and this is {row.value!r}"
            )
        thumb = Reaction(
            key=key,
            candidate_id=row.observation_id,
            value="up" if row.value else "down",
            reasons=meta.reasons,
            comment=row.comment or None,
            annotator=meta.annotator,
            role=meta.role,
            reacted_at=at,
        )
        return (thumb,)
    if row.name != VERDICT or row.trace_id is UNSET:
        raise ValueError(f"the score {row.name!r} is none of verdict (on a trace), picked and thumb")
    pick = Pick(
        key=key,
        slate_id=row.trace_id,
        verdict=msgspec.convert(row.value, Standing),
        candidate_id=meta.candidate_id,
        edited_text=meta.sent,
        reasons=meta.reasons,
        comment=row.comment or None,
        annotator=meta.annotator,
        role=meta.role,
        dwell_ms=meta.dwell_ms,
        decided_at=at,
    )
    return (pick,)
