"""Placeholders: how they look, which one a value gets, and putting them in and taking them out again.

``[PHONE_1]`` is the first phone number of a conversation. The same number in another spelling is
``[PHONE_1.2]``: a model sees that it is the same one, and what was said comes back as it was said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from picktune.records import Record
from picktune.redaction.base import Found
from picktune.redaction.words import COMMON

PLACEHOLDER = re.compile(r"\[([A-Z]{2,12})_([0-9]{1,9})(?:\.([0-9]{1,9}))?\]")
LITERAL = "literal"
"""The kind of what looks like a placeholder where a person wrote it."""

_SHORTEST = 4
_SHORTEST_NAME = 3
_UNMISTAKABLE = 7
"""Characters of a value with digits that is found inside a longer word, too."""


class Entry(Record, frozen=True, kw_only=True):
    """What a placeholder stands for."""

    kind: str
    value: str


def placeholder_for(kind: str, value: str, known: Mapping[str, Entry]) -> str:
    """A new placeholder for a value that has none yet."""
    number = variant = 0
    same = _canonical(kind, value)
    highest = 0
    for placeholder, entry in known.items():
        match = PLACEHOLDER.fullmatch(placeholder)
        if match is None or entry.kind != kind:
            continue
        highest = max(highest, int(match[2]))
        if _canonical(kind, entry.value) == same and kind != LITERAL:
            number, variant = int(match[2]), max(variant, int(match[3] or 1))
    if number:
        return f"[{kind.upper()}_{number}.{variant + 1}]"
    return f"[{kind.upper()}_{highest + 1}]"


def replaced(text: str, found: Sequence[Found], entries: Mapping[str, Entry]) -> str:
    """The text with a placeholder for each span; every span's value has an entry."""
    by_value = {entry.value: placeholder for placeholder, entry in entries.items()}
    parts, at = [], 0
    for one in found:
        parts += [text[at : one.start], by_value[text[one.start : one.end]]]
        at = one.end
    return "".join((*parts, text[at:]))


def restored(text: str, entries: Mapping[str, Entry]) -> str:
    """The text with what the placeholders stand for; one that stands for nothing stays."""

    def original(match: re.Match[str]) -> str:
        entry = entries.get(match[0])
        return match[0] if entry is None else entry.value

    return PLACEHOLDER.sub(original, text)


def known_in(text: str, entries: Mapping[str, Entry]) -> list[tuple[int, int, str]]:
    """Where values that were seen before stand in the text: start, end and kind."""
    kinds: dict[str, str] = {}
    for entry in entries.values():
        if _worth_finding(entry):
            # As it is, too: some letters grow when their case is folded, and are then found in neither form.
            kinds |= {entry.value: entry.kind, entry.value.casefold(): entry.kind}
    if not kinds:
        return []
    pattern = _pattern(tuple(sorted(kinds, key=lambda value: (-len(value), value))))
    return [
        (match.start(), match.end(), kinds.get(match[0]) or kinds.get(match[0].casefold(), "name"))
        for match in pattern.finditer(text)
    ]


def _worth_finding(entry: Entry) -> bool:
    if entry.kind == LITERAL:
        return False
    if entry.kind == "name":
        han = any("\u4e00" <= letter <= "\u9fff" for letter in entry.value)
        long = len(entry.value) >= (2 if han else _SHORTEST_NAME)
        return long and entry.value.casefold() not in COMMON
    return len(entry.value) >= _SHORTEST


@lru_cache(maxsize=256)
def _pattern(values: tuple[str, ...]) -> re.Pattern[str]:
    parts = []
    for value in values:
        if len(value) >= _UNMISTAKABLE and any(letter.isdigit() for letter in value):
            parts.append(re.escape(value))
            continue
        before, after = _alike(value[0]), _alike(value[-1])
        parts.append(f"(?<!{before}){re.escape(value)}(?!{after})")
    return re.compile("|".join(parts), re.IGNORECASE)


def _alike(letter: str) -> str:
    """What must not go on beside it: a word ends where a number begins."""
    if not letter.isascii() or not letter.isalnum():
        return r"[^\s\S]"
    return "[0-9]" if letter.isdigit() else "[A-Za-z]"


def _canonical(kind: str, value: str) -> str:
    if kind in ("name", "address", "secret", LITERAL):
        return " ".join(value.casefold().split())
    return "".join(letter for letter in value.casefold() if letter.isalnum())
