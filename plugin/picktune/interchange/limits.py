"""What an imported conversation may hold, whatever its format: sizes, ids and titles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from picktune.records import Message

MAX_TEXT = 20_000
MAX_MESSAGES = 1000
_TITLE = 60

# An id becomes part of an address, so it keeps to characters that need no quoting there.
Id = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$")]
Text = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
Pending = Annotated[tuple[Text, ...], Meta(max_length=MAX_MESSAGES)]


def check_size(messages: Sequence[Message]) -> None:
    """Raise ``ValueError`` if there are too many messages, or one is empty or too long."""
    if len(messages) > MAX_MESSAGES:
        raise ValueError(f"{len(messages)} messages; at most {MAX_MESSAGES} are taken")
    for number, message in enumerate(messages, 1):
        if not message.content.strip():
            raise ValueError(f"message {number} is empty")
        if len(message.content) > MAX_TEXT:
            raise ValueError(
                f"message {number} has {len(message.content):,} characters; at most {MAX_TEXT:,} are taken"
            )


def title_of(messages: Sequence[Message]) -> str:
    """The customer's first words, as a title of at most 60 characters."""
    first = next((message.content for message in messages if message.role == "user"), "")
    words = " ".join(first.split())
    return words if len(words) <= _TITLE else words[: _TITLE - 1].rstrip() + "…"


def merge(turns: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Successive messages of one speaker as one, on lines of their own; empty ones are left out."""
    merged: list[tuple[str, str]] = []
    for speaker, text in turns:
        if not text.strip():
            continue
        if merged and merged[-1][0] == speaker:
            merged[-1] = (speaker, f"{merged[-1][1]}\n{text}")
        else:
            merged.append((speaker, text))
    return merged


def opening(turns: Sequence[tuple[str, str]]) -> tuple[tuple[Message, ...], tuple[str, ...]]:
    """A finished dialogue of ``user`` and ``assistant`` as one that can be held again.

    What was said up to the customer's first words stands; the customer's further words are still to come.
    What the agent answered then is left out: the slates answer now. Raises ``ValueError`` if the customer
    says nothing.
    """
    merged = merge(turns)
    first = next((i for i, (speaker, _) in enumerate(merged) if speaker == "user"), None)
    if first is None:
        raise ValueError("the customer says nothing in it")
    messages = tuple(
        Message(role="user" if speaker == "user" else "assistant", content=text)
        for speaker, text in merged[: first + 1]
    )
    pending = tuple(text for speaker, text in merged[first + 1 :] if speaker == "user")
    check_size([*messages, *(Message(role="user", content=text) for text in pending)])
    return messages, pending
