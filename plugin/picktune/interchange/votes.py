"""A vote as formats without arms know it: which reply was picked, but not whose reply it is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from picktune.records import (
    AnnotatorRole,
    Candidate,
    DecidedSlate,
    Exposure,
    Message,
    Pick,
    ReactedReply,
    Reaction,
    Record,
    Slate,
    Turn,
)

IMPORTED = "imported-"
"""What the policy of a slate begins with that was made out of a vote."""

Standing = Literal["chosen", "tie", "none_good", "skip"]
Taken = DecidedSlate | ReactedReply | Reaction | Pick
"""What an imported row can hold; a bare ``Reaction`` or ``Pick`` is about a slate that the log has."""


class Text(Record, frozen=True, kw_only=True):
    """One reply of a vote."""

    id: str
    text: str
    model: str | None = None


class Vote(Record, frozen=True, kw_only=True):
    """One decision; ``replies`` stand as they were shown, and ``chosen`` is an index in them."""

    slate_id: str
    conversation_id: str | None = None
    messages: tuple[Message, ...]
    replies: tuple[Text, ...]
    verdict: Standing
    chosen: int | None
    edited_text: str | None = None
    reasons: tuple[str, ...] = ()
    comment: str | None = None
    annotator: str
    role: AnnotatorRole = "crowd"
    dwell_ms: int | None = None
    tags: tuple[str, ...] = ()
    locale: str = "en"
    complete: bool = True
    key: str = "vote"
    decided_at: datetime


def to_decided(vote: Vote, format: str) -> DecidedSlate:
    """The vote as a decision on a slate of its own; raises ``ValueError`` on a contradiction.

    All replies stand under the arm ``base``: they are compared with each other and with nothing of ours, so
    that they train but never count for a support rate. If the log has the slate itself, see ``adopted``.
    """
    if vote.chosen is not None and not 0 <= vote.chosen < len(vote.replies):
        raise ValueError(f"reply {vote.chosen + 1} was picked, but there are {len(vote.replies)} replies")
    if vote.verdict == "chosen" and vote.chosen is None:
        raise ValueError("the verdict is 'chosen', but no reply is named")
    if vote.verdict in ("none_good", "skip") and vote.chosen is not None:
        raise ValueError(f"the verdict is {vote.verdict!r}, but reply {vote.chosen + 1} is named")
    slate = slate_of(
        vote.slate_id,
        vote.messages,
        vote.replies,
        format,
        vote.decided_at,
        conversation_id=vote.conversation_id,
        tags=vote.tags,
        locale=vote.locale,
        complete=vote.complete,
    )
    ids = tuple(reply.id for reply in vote.replies)
    return DecidedSlate(
        slate=slate,
        exposure=Exposure(slate_id=slate.id, viewer=vote.annotator, order=ids, shown_at=vote.decided_at),
        pick=Pick(
            key=vote.key,
            slate_id=slate.id,
            verdict=vote.verdict,
            candidate_id=None if vote.chosen is None else ids[vote.chosen],
            edited_text=vote.edited_text,
            reasons=vote.reasons,
            comment=vote.comment,
            annotator=vote.annotator,
            role=vote.role,
            dwell_ms=vote.dwell_ms,
            decided_at=vote.decided_at,
        ),
    )


def slate_of(
    slate_id: str,
    messages: Sequence[Message],
    replies: Sequence[Text],
    format: str,
    at: datetime,
    *,
    conversation_id: str | None = None,
    tags: tuple[str, ...] = (),
    locale: str = "en",
    complete: bool = True,
) -> Slate:
    """A slate of replies by nobody that we know."""
    turn = Turn(
        id=f"{slate_id}-turn",
        conversation_id=conversation_id or slate_id,
        messages=tuple(messages),
        tags=tags,
        locale=locale,
        created_at=at,
    )
    candidates = tuple(
        Candidate(
            id=reply.id,
            arm="base",
            kind="base",
            model=reply.model,
            text=reply.text,
            position=place,
            propensity=1.0,
            tokens=0,
            latency=0.0,
        )
        for place, reply in enumerate(replies)
    )
    return Slate(
        id=slate_id,
        turn=turn,
        candidates=candidates,
        policy=IMPORTED + format,
        seed=0,
        complete=complete and bool(candidates),
        created_at=at,
    )


def is_the_same(stored: Slate, other: Slate) -> bool:
    """Whether a vote's slate, which knows no arms, is this one: the same replies under the same ids."""
    mine = {one.id: one.text for one in stored.candidates}
    return other.policy.startswith(IMPORTED) and mine == {one.id: one.text for one in other.candidates}


def named(prefix: str, *said: object) -> str:
    """An id for what has none: a hash of what is said, so that a second import knows it."""
    return f"{prefix}-{hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:24]}"


def pair(prompt: Sequence[Message], better: str, worse: str, format: str, now: datetime) -> DecidedSlate:
    """A preference of which nothing else is known; the place of the better reply is drawn from a hash."""
    slate_id = named(format, [(one.role, one.content) for one in prompt], better, worse)
    place = int(slate_id[-1], 16) % 2
    texts = (better, worse) if place == 0 else (worse, better)
    return to_decided(
        Vote(
            slate_id=slate_id,
            messages=tuple(prompt),
            replies=tuple(Text(id=f"{slate_id}-{at + 1}", text=text) for at, text in enumerate(texts)),
            verdict="chosen",
            chosen=place,
            annotator=format,
            tags=(format,),
            decided_at=now,
        ),
        format,
    )


def dashed(id: str) -> str:
    """One of our ids as a UUID is usually written; others' ids as they are."""
    try:
        return str(UUID(hex=id)) if len(id) == 32 else id
    except ValueError:
        return id


def undashed(id: str) -> str:
    """What ``dashed`` was given."""
    try:
        return UUID(id).hex if len(id) == 36 else id
    except ValueError:
        return id
