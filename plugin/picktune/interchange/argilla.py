"""Argilla's records with their responses, as ``Dataset.records.to_json`` and ``from_json`` of argilla 2.8.0
write and read them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from uuid import NAMESPACE_URL, uuid5

import msgspec
from msgspec import Struct

from picktune.interchange import jsonl
from picktune.interchange.exchange import Takes
from picktune.interchange.jsonl import encode
from picktune.interchange.votes import Standing, Taken, Text, Vote, named
from picktune.interchange.votes import to_decided as _to_decided
from picktune.records import AnnotatorRole, DecidedSlate, Message

__all__ = ["START", "SUMMARY", "TAKES", "ArgillaRecord", "encode", "read", "rows"]

SUMMARY = "Argilla records with responses (JSON for from_json); responses come back with picktune import"
TAKES: Takes = ("decisions",)
START = b"[\n"


class Response(Struct, frozen=True, kw_only=True):
    """One user's answer to one question; ``user_id`` is a UUID."""

    value: Any
    user_id: str
    status: str | None = "submitted"


class _Metadata(Struct, frozen=True, kw_only=True):
    slate_id: str | None = None
    conversation_id: str | None = None
    reply_ids: tuple[str, ...] | None = None
    reasons: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    locale: str = "en"
    complete: str = "yes"
    annotator: str | None = None
    role: AnnotatorRole = "crowd"
    key: str | None = None
    dwell_ms: int | None = None
    decided_at: datetime | None = None


class ArgillaRecord(Struct, frozen=True, kw_only=True):
    """One slate: the fields ``chat``, ``reply_1`` and so on; questions ``pick``, ``sent``, ``comment``."""

    id: str
    fields: dict[str, Any]
    metadata: dict[str, Any] = {}
    suggestions: dict[str, Any] = {}
    responses: dict[str, tuple[Response, ...]] = {}
    vectors: dict[str, Any] = {}


def rows(decided: DecidedSlate) -> Iterator[ArgillaRecord]:
    """Every decision is a record of its own with the responses of one user. No arms: it is blind."""
    slate, pick, shown, picked = decided.slate, decided.pick, decided.shown, decided.picked
    place = None if picked is None else shown.index(picked) + 1
    answers: dict[str, str | None] = {
        "pick": f"reply_{place}" if pick.verdict == "chosen" else pick.verdict,
        "sent_reply": f"reply_{place}" if pick.verdict == "tie" and place is not None else None,
        "sent": pick.edited_text,
        "comment": pick.comment,
    }
    metadata = {
        "slate_id": slate.id,
        "conversation_id": slate.turn.conversation_id,
        "reply_ids": [one.id for one in shown],
        "reasons": list(pick.reasons),
        "tags": list(slate.turn.tags),
        "locale": slate.turn.locale,
        "complete": "yes" if slate.complete else "no",
        "annotator": pick.annotator,
        "role": pick.role,
        "key": pick.key,
        "dwell_ms": pick.dwell_ms,
        "decided_at": pick.decided_at.isoformat(),
    }
    user = user_id(pick.annotator)
    yield ArgillaRecord(
        id=named("pick", slate.id, pick.annotator),
        fields={
            "chat": [{"role": one.role, "content": one.content} for one in slate.turn.messages],
            **{f"reply_{number}": one.text for number, one in enumerate(shown, 1)},
        },
        # Argilla knows no empty values.
        metadata={key: value for key, value in metadata.items() if value not in (None, [])},
        responses={
            question: (Response(value=value, user_id=user),)
            for question, value in answers.items()
            if value is not None
        },
    )


def user_id(annotator: str) -> str:
    """The UUID under which an annotator stands in Argilla's records."""
    return str(uuid5(NAMESPACE_URL, f"picktune:annotator:{annotator}"))


def read(path: Path) -> Iterator[ArgillaRecord]:
    """The records of a file; see ``Exporter``."""
    return jsonl.read(path, ArgillaRecord)


def recognises(keys: frozenset[str]) -> bool:
    """Whether a row with these keys is one of Argilla's."""
    return {"fields", "responses"} <= keys


def decode(data: bytes) -> ArgillaRecord:
    """One record; raises ``ValueError``, naming the field."""
    return msgspec.json.decode(data, type=ArgillaRecord)


def name(row: ArgillaRecord) -> str:
    """The record's id."""
    return row.id


def to_decided(row: ArgillaRecord, *, now: datetime) -> tuple[Taken, ...]:
    """One decision for each user who answered ``pick``; raises ``ValueError``."""
    data = msgspec.convert(row.metadata, _Metadata)
    texts: list[str] = []
    while isinstance(text := row.fields.get(f"reply_{len(texts) + 1}"), str):
        texts.append(text)
    if not texts:
        raise ValueError("the record's fields have no 'reply_1' and further ones")
    slate_id = data.slate_id or named("argilla", row.fields)
    ids = data.reply_ids or tuple(f"{slate_id}-{place + 1}" for place in range(len(texts)))
    if len(ids) != len(texts):
        raise ValueError(f"reply_ids names {len(ids)} replies, but there are {len(texts)}")
    ours = None if data.annotator is None else user_id(data.annotator)
    found: list[Taken] = []
    for pick in row.responses.get("pick", ()):
        if pick.status == "draft":
            continue
        mine = pick.user_id == ours
        said = {
            question: next((str(one.value) for one in answers if one.user_id == pick.user_id), None)
            for question, answers in row.responses.items()
        }
        verdict, chosen = _verdict(pick, said.get("sent_reply"))
        vote = Vote(
            slate_id=slate_id,
            conversation_id=data.conversation_id,
            messages=_messages(row.fields),
            replies=tuple(Text(id=id, text=text) for id, text in zip(ids, texts, strict=True)),
            verdict=verdict,
            chosen=chosen,
            edited_text=said.get("sent"),
            reasons=data.reasons if mine else (),
            comment=said.get("comment"),
            annotator=data.annotator if mine and data.annotator else f"argilla-{pick.user_id}",
            role=data.role if mine else "crowd",
            dwell_ms=data.dwell_ms if mine else None,
            tags=data.tags,
            locale=data.locale,
            complete=data.complete != "no",
            key=data.key if mine and data.key else "argilla",
            decided_at=data.decided_at if mine and data.decided_at else now,
        )
        found.append(_to_decided(vote, "argilla"))
    return tuple(found)


def _verdict(pick: Response, sent: str | None) -> tuple[Standing, int | None]:
    if pick.status == "discarded" or pick.value == "skip":
        return "skip", None
    if pick.value in ("tie", "none_good"):
        return cast(Standing, pick.value), None if sent is None else _place(sent)
    return "chosen", _place(str(pick.value))


def _place(said: str) -> int:
    number = said.removeprefix("reply_")
    if number == said or not number.isdigit():
        raise ValueError(f"the answer {said!r} is none of 'reply_1' and so on, 'tie', 'none_good' and 'skip'")
    return int(number) - 1


def _messages(fields: dict[str, Any]) -> tuple[Message, ...]:
    chat = fields.get("chat")
    if isinstance(chat, list):
        return msgspec.convert(chat, tuple[Message, ...])
    asked = fields.get("prompt") or fields.get("text") or chat
    return (Message(role="user", content=asked),) if isinstance(asked, str) and asked else ()
