"""Which choice sets cannot be learned from, and by which rule: looked at one by one."""

from __future__ import annotations

import hashlib
import math

import msgspec
from picktune.records import ChoiceSet, Message
from picktune.redaction.placeholders import PLACEHOLDER

from picktune_retrain.records import DataRecipe


def fault(row: ChoiceSet, recipe: DataRecipe) -> tuple[str, str] | None:
    """The first of the ``RULES`` that the row itself breaks, and what it is about; ``None`` if none."""
    said = [message.content for message in row.messages if message.role != "system"]
    if not any(text.strip() for text in said):
        return "empty_prompt", ""
    if not 0 <= row.chosen < len(row.replies):
        return "bad_choice", f"reply {row.chosen} of {len(row.replies)}"
    if not all(reply.strip() for reply in row.replies):
        return "empty_reply", ""
    if len({" ".join(reply.split()) for reply in row.replies}) < 2:
        return "no_alternative", ""
    if not (math.isfinite(row.weight) and row.weight > 0):
        return "no_weight", f"weight {row.weight:g}"
    longest = max(map(len, row.replies))
    if recipe.longest_reply and longest > recipe.longest_reply:
        return "overlong", f"a reply of {longest} characters"
    length = sum(len(message.content) for message in row.messages)
    if recipe.longest_prompt and length > recipe.longest_prompt:
        return "overlong", f"a prompt of {length} characters"
    if _blank(row.messages) or any(_nothing_left(reply) for reply in row.replies):
        return "redacted", ""
    return None


def content_key(row: ChoiceSet) -> int:
    """A number for the messages and the replies, in whatever order those stood."""
    return _number((row.messages, sorted(row.replies)))


def picked_key(row: ChoiceSet) -> int:
    """A number for the words that were picked."""
    return _number(row.replies[row.chosen])


def _number(what: object) -> int:
    return int.from_bytes(hashlib.sha256(msgspec.json.encode(what)).digest()[:8])


def _blank(messages: tuple[Message, ...]) -> bool:
    texts = [message.content for message in messages if message.role == "user" and message.content.strip()]
    return bool(texts) and all(map(_nothing_left, texts))


def _nothing_left(text: str) -> bool:
    left, count = PLACEHOLDER.subn("", text)
    return count > 0 and not any(letter.isalnum() for letter in left)
