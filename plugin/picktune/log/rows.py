"""From records to the values of a row, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from picktune.records import Candidate, Conversation, Exposure, Message, Pick, Reaction, Slate, Turn

Row = Sequence[Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_strings = msgspec.json.Decoder(tuple[str, ...])
_integers = msgspec.json.Decoder(tuple[int, ...])
_messages = msgspec.json.Decoder(tuple[Message, ...])
_values = msgspec.json.Decoder(list[Any])

PICK = (
    "slate_id, annotator, version, key, verdict, candidate_id, edited_text, reasons, comment, role, "
    "dwell_ms, decided_at"
)
REACTION = "slate_id, candidate_id, annotator, key, value, reasons, comment, role, reacted_at"
TURN = "id, conversation_id, messages, user_ref, tags, locale, created_at"
SLATE = "id, turn_id, policy, seed, complete, failures, created_at"
CANDIDATE = (
    "slate_id, place, id, arm, kind, model, text, position, propensity, tokens, latency, finish_reason, also"
)
CONVERSATION = "id, title, locale, scenario, tags, messages, pending, status, source, created_at, updated_at"


def micros(time: datetime) -> int:
    """An aware time as whole microseconds since 1970."""
    return (time - _EPOCH) // _MICROSECOND


def moment(value: int) -> datetime:
    """Microseconds since 1970 as an aware time in UTC."""
    return _EPOCH + timedelta(microseconds=value)


def listed(values: object) -> str:
    """A list of strings, numbers or messages as JSON."""
    return msgspec.json.encode(values).decode()


def strings(value: str) -> tuple[str, ...]:
    """A JSON list of strings."""
    return () if value == "[]" else _strings.decode(value)


def integers(value: str) -> tuple[int, ...]:
    """A JSON list of whole numbers."""
    return _integers.decode(value)


def values(value: str) -> list[Any]:
    """A JSON list of anything."""
    return _values.decode(value)


def messages(value: str) -> tuple[Message, ...]:
    """A JSON list of messages."""
    return _messages.decode(value)


def turn_row(turn: Turn) -> Row:
    """In the order of ``TURN``."""
    return (
        turn.id,
        turn.conversation_id,
        listed(turn.messages),
        turn.user_ref,
        listed(turn.tags),
        turn.locale,
        micros(turn.created_at),
    )


def turn_of(row: Row) -> Turn:
    """From the columns of ``TURN``."""
    return Turn(
        id=row[0],
        conversation_id=row[1],
        messages=messages(row[2]),
        user_ref=row[3],
        tags=strings(row[4]),
        locale=row[5],
        created_at=moment(row[6]),
    )


def slate_row(slate: Slate) -> Row:
    """In the order of ``SLATE``."""
    failures = listed(slate.failures)
    return (
        slate.id,
        slate.turn.id,
        slate.policy,
        slate.seed,
        int(slate.complete),
        failures,
        micros(slate.created_at),
    )


def slate_of(row: Row, turn: Turn, candidates: Iterable[Candidate]) -> Slate:
    """From the columns of ``SLATE``, its turn and its candidates."""
    return Slate(
        id=row[0],
        turn=turn,
        candidates=tuple(candidates),
        policy=row[2],
        seed=row[3],
        complete=bool(row[4]),
        failures=strings(row[5]),
        created_at=moment(row[6]),
    )


def candidate_row(slate_id: str, place: int, candidate: Candidate) -> Row:
    """In the order of ``CANDIDATE``."""
    return (
        slate_id,
        place,
        candidate.id,
        candidate.arm,
        candidate.kind,
        candidate.model,
        candidate.text,
        candidate.position,
        candidate.propensity,
        candidate.tokens,
        candidate.latency,
        candidate.finish_reason,
        listed(candidate.also),
    )


def candidate_of(row: Row) -> Candidate:
    """From the columns of ``CANDIDATE``."""
    return Candidate(
        id=row[2],
        arm=row[3],
        kind=row[4],
        model=row[5],
        text=row[6],
        position=row[7],
        propensity=row[8],
        tokens=row[9],
        latency=row[10],
        finish_reason=row[11],
        also=strings(row[12]),
    )


def exposure_of(row: Row, ids: Sequence[str]) -> Exposure:
    """From slate, viewer, places and time, with the slate's candidate ids by place."""
    return Exposure(
        slate_id=row[0],
        viewer=row[1],
        order=tuple(ids[place] for place in integers(row[2])),
        shown_at=moment(row[3]),
    )


def pick_row(pick: Pick) -> Row:
    """In the order of ``PICK``."""
    return (
        pick.slate_id,
        pick.annotator,
        pick.version,
        pick.key,
        pick.verdict,
        pick.candidate_id,
        pick.edited_text,
        listed(pick.reasons),
        pick.comment,
        pick.role,
        pick.dwell_ms,
        micros(pick.decided_at),
    )


def pick_of(row: Row) -> Pick:
    """From the columns of ``PICK``."""
    return Pick(
        slate_id=row[0],
        annotator=row[1],
        version=row[2],
        key=row[3],
        verdict=row[4],
        candidate_id=row[5],
        edited_text=row[6],
        reasons=strings(row[7]),
        comment=row[8],
        role=row[9],
        dwell_ms=row[10],
        decided_at=moment(row[11]),
    )


def reaction_row(reaction: Reaction, slate_id: str) -> Row:
    """In the order of ``REACTION``."""
    return (
        slate_id,
        reaction.candidate_id,
        reaction.annotator,
        reaction.key,
        reaction.value,
        listed(reaction.reasons),
        reaction.comment,
        reaction.role,
        micros(reaction.reacted_at),
    )


def reaction_of(row: Row) -> Reaction:
    """From the columns of ``REACTION``."""
    return Reaction(
        candidate_id=row[1],
        annotator=row[2],
        key=row[3],
        value=row[4],
        reasons=strings(row[5]),
        comment=row[6],
        role=row[7],
        reacted_at=moment(row[8]),
    )


def conversation_row(conversation: Conversation) -> Row:
    """In the order of ``CONVERSATION``."""
    return (
        conversation.id,
        conversation.title,
        conversation.locale,
        conversation.scenario,
        listed(conversation.tags),
        listed(conversation.messages),
        listed(conversation.pending),
        conversation.status,
        conversation.source,
        micros(conversation.created_at),
        micros(conversation.updated_at),
    )


def conversation_of(row: Row, sent: Sequence[str]) -> Conversation:
    """From the columns of ``CONVERSATION`` and the replies sent since: as it stands now."""
    spoken, pending = list(messages(row[5])), strings(row[6])
    for place, text in enumerate(sent):
        spoken.append(Message(role="assistant", content=text))
        spoken += [Message(role="user", content=then) for then in pending[place : place + 1]]
    return Conversation(
        id=row[0],
        title=row[1],
        locale=row[2],
        scenario=row[3],
        tags=strings(row[4]),
        messages=tuple(spoken),
        pending=pending[len(sent) :],
        status=row[7],
        source=row[8],
        created_at=moment(row[9]),
        updated_at=moment(row[10]),
    )
