"""What the formats of prompt and reply share: pairs, replies as messages, prompts that can be answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from picktune.records import DecidedSlate, Message, Role

Said = tuple[Message, ...]
Takes = tuple[Literal["decisions", "reactions"], ...]
"""What a format makes rows of."""


def said(text: str) -> Said:
    """A reply as the one message of an assistant."""
    return (Message(role="assistant", content=text),)


def answerable(messages: Sequence[Message]) -> bool:
    """Whether a reply can follow: chat templates refuse a prompt that is empty or ends with the system's."""
    return bool(messages) and messages[-1].role != "system"


def pairs(decided: DecidedSlate) -> Iterator[tuple[str, str]]:
    """The texts of the picked reply and of each other, in the order shown.

    A reply in the same words as the picked one is not rejected, so it makes no pair.
    """
    picked = decided.picked
    if decided.pick.verdict != "chosen" or picked is None:
        return
    for other in decided.shown:
        if other.text != picked.text:
            yield picked.text, other.text


def as_messages(said: str | Said, role: Role) -> Said:
    """What a format gives as a text or as messages, as messages."""
    return (Message(role=role, content=said),) if isinstance(said, str) else said


def reply_of(said: str | Said) -> tuple[Said, str]:
    """What goes before a reply, and its text; raises ``ValueError`` if there is none."""
    messages = as_messages(said, "assistant")
    if not messages or messages[-1].role != "assistant":
        raise ValueError("a reply must end with a message of the assistant")
    return messages[:-1], messages[-1].content
