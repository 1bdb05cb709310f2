"""CrossWOZ as JSONL: Chinese service dialogues of user and agent.

The dialogues of https://github.com/thu-coai/CrossWOZ in the form ``{id, type, messages: [{role, content}]}``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from picktune.interchange.limits import Id, opening, title_of
from picktune.records import Conversation


class _Message(Struct, frozen=True, kw_only=True):
    role: Literal["user", "agent"]
    content: str


class Dialogue(Struct, frozen=True, kw_only=True):
    """One line; ``type`` is the kind of task, which becomes the scenario."""

    id: Annotated[int, Meta(ge=0)] | Id
    type: Annotated[str, Meta(max_length=200)] | None = None
    messages: tuple[_Message, ...]


def recognises(keys: frozenset[str]) -> bool:
    """Whether a row with these keys is a CrossWOZ dialogue."""
    return keys == {"id", "type", "messages"}


def decode(data: bytes) -> Dialogue:
    """One line; raises ``ValueError``, naming the field."""
    return msgspec.json.decode(data, type=Dialogue)


def to_conversation(dialogue: Dialogue, *, now: datetime) -> Conversation:
    """The dialogue as an open conversation; raises ``ValueError`` if the user says nothing in it."""
    turns = [
        ("user" if message.role == "user" else "assistant", message.content) for message in dialogue.messages
    ]
    messages, pending = opening(turns)
    return Conversation(
        id=f"crosswoz-{dialogue.id}",
        title=title_of(messages),
        locale="zh",
        scenario=dialogue.type or None,
        tags=(dialogue.type,) if dialogue.type else (),
        messages=messages,
        pending=pending,
        source="crosswoz",
        created_at=now,
        updated_at=now,
    )
