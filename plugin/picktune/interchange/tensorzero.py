"""TensorZero's feedback: the bodies of its ``POST /feedback``, one a line.

An inference is a reply and an episode a slate. The fields of
https://www.tensorzero.com/docs/gateway/api-reference/feedback and of the client tensorzero 2026.6.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from picktune.interchange import jsonl
from picktune.interchange.exchange import Takes
from picktune.interchange.jsonl import encode
from picktune.interchange.votes import Taken, dashed, undashed
from picktune.records import DecidedSlate, Pick, ReactedReply, Reaction

__all__ = ["START", "SUMMARY", "TAKES", "FeedbackRow", "encode", "read", "rows"]

SUMMARY = "TensorZero feedback: the bodies of POST /feedback (metrics, comments, demonstrations)"
TAKES: Takes = ("decisions", "reactions")
START = b""

PICKED = "picked"
THUMB = "thumbs_up"
RULINGS = ("tie", "none_good")
COMMENT = "comment"
DEMONSTRATION = "demonstration"


class FeedbackRow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One feedback: about an inference (a reply) or an episode (a slate), never both."""

    inference_id: str | UnsetType = UNSET
    episode_id: str | UnsetType = UNSET
    metric_name: str
    value: Any
    tags: dict[str, str] = {}


class _Tags(Struct, frozen=True, kw_only=True):
    annotator: str
    key: str
    role: Any = "user"
    at: datetime
    slate_id: str = ""
    comment: str | None = None
    edited_text: str | None = None
    candidate_id: str | None = None
    dwell_ms: int | None = None
    reasons: str = "[]"


def rows(evidence: DecidedSlate | ReactedReply) -> Iterator[FeedbackRow]:
    """``picked`` for each reply that was shown, or ``tie`` or ``none_good`` for the slate; a thumb as it is.

    What was written is there twice: as ``comment`` or ``demonstration``, for TensorZero, and as tags of the
    first row, so that it comes back. A skip gives none.
    """
    if isinstance(evidence, ReactedReply):
        one = evidence.reaction
        tags = _tags(one.annotator, one.key, one.role, one.reacted_at, one.reasons, comment=one.comment)
        inference = dashed(one.candidate_id)
        yield FeedbackRow(inference_id=inference, metric_name=THUMB, value=one.value == "up", tags=tags)
        if one.comment:
            yield FeedbackRow(
                inference_id=inference, metric_name=COMMENT, value=one.comment, tags=_by(one.annotator)
            )
        return
    pick, shown = evidence.pick, evidence.shown
    if pick.verdict == "skip":
        return
    episode, by = dashed(pick.slate_id), _by(pick.annotator)
    tags = _tags(
        pick.annotator,
        pick.key,
        pick.role,
        pick.decided_at,
        pick.reasons,
        slate_id=pick.slate_id,
        comment=pick.comment,
        edited_text=pick.edited_text,
        candidate_id=pick.candidate_id,
        dwell_ms=None if pick.dwell_ms is None else str(pick.dwell_ms),
    )
    if pick.verdict == "chosen":
        for candidate in shown:
            mine = candidate.id == pick.candidate_id
            yield FeedbackRow(
                inference_id=dashed(candidate.id), metric_name=PICKED, value=mine, tags=tags if mine else by
            )
    else:
        yield FeedbackRow(episode_id=episode, metric_name=pick.verdict, value=True, tags=tags)
    if pick.comment:
        yield FeedbackRow(episode_id=episode, metric_name=COMMENT, value=pick.comment, tags=by)
    about = pick.candidate_id or (shown[0].id if shown else None)
    if pick.edited_text is not None and about is not None:
        yield FeedbackRow(
            inference_id=dashed(about), metric_name=DEMONSTRATION, value=pick.edited_text, tags=by
        )


def read(path: Path) -> Iterator[FeedbackRow]:
    """The feedback of a file; see ``Exporter``."""
    return jsonl.read(path, FeedbackRow)


def recognises(keys: frozenset[str]) -> bool:
    """Whether a row with these keys is one of TensorZero's."""
    return {"metric_name", "value"} <= keys and bool(keys & {"inference_id", "episode_id"})


def decode(data: bytes) -> FeedbackRow:
    """One feedback; raises ``ValueError``, naming the field."""
    return msgspec.json.decode(data, type=FeedbackRow)


def name(row: FeedbackRow) -> str:
    """What no two rows of a file share."""
    about = row.inference_id or row.episode_id
    written = row.value if row.metric_name in (COMMENT, DEMONSTRATION) else ""
    return f"{row.metric_name} on {about} {row.tags.get('annotator', '')} {row.tags.get('key', '')}{written}"


def to_decided(row: FeedbackRow, *, now: datetime) -> tuple[Taken, ...]:
    """A decision or a thumb on a slate that the log has; raises ``ValueError``.

    Nothing for what only accompanies one: that a reply was not picked, comments and demonstrations.
    """
    if (row.inference_id is UNSET) == (row.episode_id is UNSET):
        raise ValueError("give either inference_id or episode_id")
    if row.metric_name in (COMMENT, DEMONSTRATION) or (row.metric_name == PICKED and row.value is False):
        return ()
    if row.metric_name not in (PICKED, THUMB, *RULINGS) or not isinstance(row.value, bool):
        known = ", ".join((PICKED, THUMB, *RULINGS, COMMENT, DEMONSTRATION))
        raise ValueError(
            f"metric {row.metric_name!r} with the value {row.value!r} is none of {known} (true or false)"
        )
    tags = msgspec.convert(
        {"at": now, "key": "feedback", "annotator": "tensorzero"} | row.tags, _Tags, strict=False
    )
    reasons = msgspec.json.decode(tags.reasons, type=tuple[str, ...])
    if row.metric_name == THUMB:
        thumb = Reaction(
            key=tags.key,
            candidate_id=undashed(str(row.inference_id)),
            value="up" if row.value else "down",
            reasons=reasons,
            comment=tags.comment,
            annotator=tags.annotator,
            role=tags.role,
            reacted_at=tags.at,
        )
        return (thumb,)
    if row.value is False:
        return ()
    candidate_id = tags.candidate_id
    if row.metric_name == PICKED:
        candidate_id = undashed(str(row.inference_id))
    pick = Pick(
        key=tags.key,
        slate_id=tags.slate_id or ("" if row.episode_id is UNSET else undashed(row.episode_id)),
        verdict="chosen" if row.metric_name == PICKED else row.metric_name,  # type: ignore[arg-type]
        candidate_id=candidate_id,
        edited_text=tags.edited_text,
        reasons=reasons,
        comment=tags.comment,
        annotator=tags.annotator,
        role=tags.role,
        dwell_ms=tags.dwell_ms,
        decided_at=tags.at,
    )
    return (pick,)


def _by(annotator: str) -> dict[str, str]:
    return {"annotator": annotator}


def _tags(
    annotator: str, key: str, role: str, at: datetime, reasons: tuple[str, ...], **more: str | None
) -> dict[str, str]:
    tags = {"annotator": annotator, "key": key, "role": role, "at": at.isoformat()}
    if reasons:
        tags["reasons"] = msgspec.json.encode(reasons).decode()
    return tags | {name: value for name, value in more.items() if value is not None}
