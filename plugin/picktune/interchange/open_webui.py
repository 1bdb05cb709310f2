"""Open WebUI's feedback: a rating of one message, with the chat in which it stands.

The JSON that Admin Panel > Evaluations > Feedbacks exports: ``FeedbackModel`` and ``RatingData`` in
``backend/open_webui/models/feedbacks.py`` of https://github.com/open-webui/open-webui (read at 033ac2e).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import msgspec
from msgspec import UNSET, Struct, UnsetType

from picktune.interchange import jsonl
from picktune.interchange.exchange import Takes
from picktune.interchange.jsonl import encode
from picktune.interchange.limits import title_of
from picktune.interchange.votes import Taken, Text, Vote, named, slate_of
from picktune.interchange.votes import to_decided as _to_decided
from picktune.records import AnnotatorRole, Candidate, DecidedSlate, Message, ReactedReply, Reaction, Slate

__all__ = ["START", "SUMMARY", "TAKES", "Feedback", "encode", "read", "rows"]

SUMMARY = "Open WebUI feedback (JSON): ratings with model_id, sibling_model_ids and the chat"
TAKES: Takes = ("decisions", "reactions")
START = b"[\n"
BASE = "base"


class Rating(Struct, frozen=True, kw_only=True):
    """``rating`` is 1 or -1; with siblings it says that this model's reply was picked over theirs."""

    rating: int | str | None = None
    model_id: str | None = None
    sibling_model_ids: tuple[str, ...] | None = None
    reason: str | None = None
    comment: str | None = None
    tags: tuple[str, ...] | None = ()


class Where(Struct, frozen=True, kw_only=True):
    """``message_id`` is the reply that was rated. What begins with ``slate_id`` is ours."""

    arena: bool | None = None
    chat_id: str | None = None
    message_id: str | None = None
    message_index: int | None = None
    model_id: str | None = None
    tags: tuple[str, ...] | None = ()
    slate_id: str | UnsetType = UNSET
    key: str | UnsetType = UNSET
    role: AnnotatorRole | UnsetType = UNSET
    locale: str | UnsetType = UNSET
    sent: str | UnsetType = UNSET
    complete: bool | UnsetType = UNSET
    dwell_ms: int | UnsetType = UNSET
    reasons: tuple[str, ...] | UnsetType = UNSET
    at: datetime | UnsetType = UNSET
    verdict: str | UnsetType = UNSET


class Said(Struct, frozen=True, kw_only=True, rename="camel"):
    """One message of a chat's history, which is a tree."""

    id: str
    parent_id: str | None = None
    children_ids: tuple[str, ...] = ()
    role: str
    content: str | None = None
    model: str | None = None


class History(Struct, frozen=True, kw_only=True, rename="camel"):
    """All messages of a chat by their ids."""

    messages: dict[str, Said] = {}
    current_id: str | None = None


class Inner(Struct, frozen=True, kw_only=True):
    """The chat itself."""

    title: str = ""
    models: tuple[str, ...] = ()
    history: History = History()


class Chat(Struct, frozen=True, kw_only=True):
    """The chat as it is stored."""

    id: str = ""
    title: str | None = ""
    chat: Inner = Inner()


class Snapshot(Struct, frozen=True, kw_only=True):
    """The chat when the rating was given."""

    chat: Chat | None = None


class Feedback(Struct, frozen=True, kw_only=True):
    """One rating; times are in seconds since 1970."""

    id: str
    user_id: str
    version: int = 0
    type: str = "rating"
    data: Rating | None = None
    meta: Where | None = None
    snapshot: Snapshot | None = None
    created_at: int
    updated_at: int


def rows(evidence: DecidedSlate | ReactedReply) -> Iterator[Feedback]:
    """A choice is a rating of 1 with the others as siblings; "none good" a rating of -1 for each reply.

    A tie and a skip give none: Open WebUI knows neither.
    """
    if isinstance(evidence, ReactedReply):
        one = evidence.reaction
        rating = 1 if one.value == "up" else -1
        extra: dict[str, Any] = {
            "key": one.key,
            "role": one.role,
            "reasons": one.reasons,
            "at": one.reacted_at,
        }
        replies = evidence.slate.candidates
        yield _feedback(
            evidence.slate, replies, evidence.candidate, one.annotator, one.comment, rating, extra
        )
        return
    pick = evidence.pick
    extra = {
        "key": pick.key,
        "role": pick.role,
        "reasons": pick.reasons,
        "at": pick.decided_at,
        "verdict": pick.verdict,
        "sent": UNSET if pick.edited_text is None else pick.edited_text,
        "dwell_ms": UNSET if pick.dwell_ms is None else pick.dwell_ms,
    }
    rated = [evidence.picked] if pick.verdict == "chosen" else []
    rated = list(evidence.shown) if pick.verdict == "none_good" else rated
    for candidate in rated:
        if candidate is not None:
            rating = 1 if pick.verdict == "chosen" else -1
            yield _feedback(
                evidence.slate, evidence.shown, candidate, pick.annotator, pick.comment, rating, extra
            )


def _feedback(
    slate: Slate,
    replies: tuple[Candidate, ...],
    rated: Candidate,
    annotator: str,
    comment: str | None,
    rating: int,
    extra: dict[str, Any],
) -> Feedback:
    turn = slate.turn
    decided = extra.get("verdict") == "chosen"
    title = title_of(turn.messages)
    said = [
        Said(id=f"{turn.id}-{place}", role=message.role, content=message.content)
        for place, message in enumerate(turn.messages)
    ]
    last = said[-1].id if said else None
    tree = [
        Said(
            id=one.id,
            parent_id=said[place - 1].id if place else None,
            children_ids=tuple(reply.id for reply in replies) if one.id == last else (said[place + 1].id,),
            role=one.role,
            content=one.content,
        )
        for place, one in enumerate(said)
    ]
    tree += [
        Said(id=one.id, parent_id=last, role="assistant", content=one.text, model=_model(one))
        for one in replies
    ]
    reasons = extra["reasons"]
    at = int(extra["at"].timestamp())
    return Feedback(
        id=str(uuid5(NAMESPACE_URL, f"picktune:{rated.id}:{annotator}:{extra['key']}")),
        user_id=annotator,
        data=Rating(
            rating=rating,
            model_id=_model(rated),
            sibling_model_ids=tuple(_model(one) for one in replies if one.id != rated.id)
            if decided
            else None,
            reason=", ".join(reasons) or None,
            comment=comment,
            tags=turn.tags,
        ),
        meta=Where(
            arena=decided,
            chat_id=turn.conversation_id,
            message_id=rated.id,
            message_index=len(turn.messages) + 1,
            model_id=_model(rated),
            tags=turn.tags,
            slate_id=slate.id,
            locale=turn.locale,
            complete=slate.complete,
            **extra,
        ),
        snapshot=Snapshot(
            chat=Chat(
                id=turn.conversation_id,
                title=title,
                chat=Inner(
                    title=title,
                    models=tuple(dict.fromkeys(_model(one) for one in replies)),
                    history=History(messages={one.id: one for one in tree}, current_id=rated.id),
                ),
            )
        ),
        created_at=at,
        updated_at=at,
    )


def read(path: Path) -> Iterator[Feedback]:
    """The ratings of a file; see ``Exporter``."""
    return jsonl.read(path, Feedback)


def recognises(keys: frozenset[str]) -> bool:
    """Whether a row with these keys is one of Open WebUI's."""
    return {"user_id", "type", "data", "meta"} <= keys


def decode(data: bytes) -> Feedback:
    """One rating; raises ``ValueError``, naming the field."""
    return msgspec.json.decode(data, type=Feedback)


def name(row: Feedback) -> str:
    """The rating's id."""
    return row.id


def to_decided(row: Feedback, *, now: datetime) -> tuple[Taken, ...]:
    """A choice among siblings, or a thumb; raises ``ValueError`` if the chat is not in it."""
    data, meta = row.data or Rating(), row.meta or Where()
    if str(data.rating) not in ("1", "-1"):
        raise ValueError(f"the rating is {data.rating!r}, which says neither yes (1) nor no (-1)")
    history = row.snapshot.chat.chat.history.messages if row.snapshot and row.snapshot.chat else {}
    rated = history.get(meta.message_id or "")
    if rated is None:
        raise ValueError(
            "the chat with the rated message is not in it; export the feedback in the Admin Panel, under "
            "Evaluations > Feedbacks"
        )
    siblings = [history[one] for one in _children(history, rated) if one in history]
    messages = _messages(history, rated)
    at = datetime.fromtimestamp(row.updated_at, UTC) if meta.at is UNSET else meta.at
    ours = meta.slate_id is not UNSET
    slate_id = str(meta.slate_id) if ours else named("open-webui", meta.chat_id, [one.id for one in siblings])
    replies = tuple(
        Text(id=one.id if ours else f"{slate_id}-{place}", text=one.content or "", model=one.model)
        for place, one in enumerate(siblings, 1)
    )
    place = next(place for place, one in enumerate(siblings) if one.id == rated.id)
    reasons = (
        (data.reason,) if data.reason and not ours else meta.reasons if meta.reasons is not UNSET else ()
    )
    role: AnnotatorRole = "user" if meta.role is UNSET else meta.role
    key = row.id if meta.key is UNSET else meta.key
    tags = tuple(data.tags or meta.tags or ())
    locale = "en" if meta.locale is UNSET else meta.locale
    complete = True if meta.complete is UNSET else meta.complete
    verdict = "chosen" if data.sibling_model_ids and str(data.rating) == "1" and len(replies) > 1 else "thumb"
    if meta.verdict == "none_good":
        verdict = "none_good"
    if verdict == "thumb":
        slate = slate_of(
            slate_id, messages, replies, "open-webui", at, conversation_id=meta.chat_id, tags=tags,
            locale=locale, complete=complete,
        )  # fmt: skip
        return (
            ReactedReply(
                slate=slate,
                reaction=Reaction(
                    key=key,
                    candidate_id=replies[place].id,
                    value="up" if str(data.rating) == "1" else "down",
                    reasons=reasons,
                    comment=data.comment,
                    annotator=row.user_id,
                    role=role,
                    reacted_at=at,
                ),
            ),
        )
    vote = Vote(
        slate_id=slate_id,
        conversation_id=meta.chat_id,
        messages=messages,
        replies=replies,
        verdict="chosen" if verdict == "chosen" else "none_good",
        chosen=place if verdict == "chosen" else None,
        edited_text=None if meta.sent is UNSET else meta.sent,
        reasons=reasons,
        comment=data.comment,
        annotator=row.user_id,
        role=role,
        dwell_ms=None if meta.dwell_ms is UNSET else meta.dwell_ms,
        tags=tags,
        locale=locale,
        complete=complete,
        key=key,
        decided_at=at,
    )
    return (_to_decided(vote, "open-webui"),)


def _children(history: dict[str, Said], rated: Said) -> tuple[str, ...]:
    parent = history.get(rated.parent_id or "")
    if parent is None or rated.id not in parent.children_ids:
        found = [one.id for one in history.values() if one.parent_id == rated.parent_id]
        return tuple(one for one in found if history[one].role == "assistant")
    return parent.children_ids


def _messages(history: dict[str, Said], rated: Said) -> tuple[Message, ...]:
    path: list[Said] = []
    seen = {rated.id}
    one = history.get(rated.parent_id or "")
    while one is not None and one.id not in seen:
        seen.add(one.id)
        path.append(one)
        one = history.get(one.parent_id or "")
    return tuple(
        msgspec.convert({"role": one.role, "content": one.content or ""}, Message) for one in reversed(path)
    )


def _model(candidate: Candidate) -> str:
    return candidate.model or BASE
