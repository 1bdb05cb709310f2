"""Messages as a server may have them: nothing in them is a control token, and they fit its context."""

from __future__ import annotations

import re

from msgspec import structs

from picktune.engines.chat import well_formed
from picktune.records import Message

TOO_LONG = re.compile(r"context length|max_model_len|too long|longer than", re.IGNORECASE)
# Control tokens as the common chat templates write them.
_CONTROL = re.compile(
    r"<(?=\|[^\s<>|]{1,60}\|>|/?s>|(?:start|end)_of_turn>|bos>|eos>)|\[(?=/?INST\]|/?SYSTEM_PROMPT\])"
)


def defused(text: str) -> str:
    """The text, with what looks like a control token broken by a zero-width space.

    A server tokenises the rendered prompt, so a control token that somebody types would become one.
    """
    return _CONTROL.sub(lambda found: f"{found[0]}\u200b", well_formed(text))


def shorter(messages: list[Message]) -> list[Message]:
    """Without the older half of what is between system and last message, or of the last message's text."""
    head = 1 if messages[0].role == "system" and len(messages) > 1 else 0
    middle = messages[head:-1]
    if middle:
        return [*messages[:head], *middle[(len(middle) + 1) // 2 :], messages[-1]]
    last = messages[-1]
    if not last.content:
        return messages
    return [*messages[:head], structs.replace(last, content=last.content[(len(last.content) + 1) // 2 :])]
