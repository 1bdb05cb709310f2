"""ABCD, the Action-Based Conversations Dataset: English retail dialogues of agent, customer and actions.

The form of https://github.com/asappresearch/abcd (``abcd_sample.json``, ``abcd_v1.1.json``): one JSON
document of dialogues. Actions, and the lower-cased copy with its candidates, are not read.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import Struct

from picktune.interchange.limits import opening, title_of
from picktune.records import Conversation


class _Scenario(Struct, frozen=True, kw_only=True):
    flow: str | None = None
    subflow: str | None = None


class Dialogue(Struct, frozen=True, kw_only=True):
    """The parts of a dialogue that are read; ``original`` is pairs of speaker and text."""

    convo_id: int
    scenario: _Scenario = _Scenario()
    original: tuple[tuple[str, str], ...]


def recognises(keys: frozenset[str]) -> bool:
    """Whether a row with these keys is an ABCD dialogue."""
    return {"convo_id", "original"} <= keys


def decode(data: bytes) -> Dialogue:
    """One element of the document; raises ``ValueError``, naming the field."""
    return msgspec.json.decode(data, type=Dialogue)


def to_conversation(dialogue: Dialogue, *, now: datetime) -> Conversation:
    """The dialogue as an open conversation, tagged with its flow; raises ``ValueError`` if it is unusable."""
    speakers = {"agent": "assistant", "customer": "user"}
    unknown = {speaker for speaker, _ in dialogue.original} - {*speakers, "action"}
    if unknown:
        raise ValueError(f"unknown speaker {min(unknown)!r}; expected agent, customer or action")
    turns = [(speakers[speaker], text) for speaker, text in dialogue.original if speaker in speakers]
    messages, pending = opening(turns)
    flow, subflow = dialogue.scenario.flow, dialogue.scenario.subflow
    return Conversation(
        id=f"abcd-{dialogue.convo_id}",
        title=(subflow or flow or "").replace("_", " ").capitalize() or title_of(messages),
        locale="en",
        scenario=flow,
        tags=tuple(tag for tag in (flow, subflow) if tag),
        messages=messages,
        pending=pending,
        source="abcd",
        created_at=now,
        updated_at=now,
    )
