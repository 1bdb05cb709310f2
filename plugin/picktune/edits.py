"""Edits: how far a reply was changed before it was sent, and the preference that this is."""

from __future__ import annotations

from datetime import datetime

from picktune.records import AnnotatorRole, Message, Record


class EditPreference(Record, frozen=True, kw_only=True):
    """A person's edit of a reply (``chosen``) over the reply as it was drawn (``rejected``).

    ``edits`` is their Levenshtein distance in characters, and ``distance`` that over the longer one's length:
    0 is the same text, 1 another one. ``arms`` said the reply, ``model`` is the adapter (``None``: the base).
    """

    slate_id: str
    conversation_id: str
    messages: tuple[Message, ...]
    chosen: str
    rejected: str
    edits: int
    distance: float
    arms: tuple[str, ...]
    model: str | None
    annotator: str
    role: AnnotatorRole
    tags: tuple[str, ...] = ()
    locale: str = "en"
    decided_at: datetime


def edit_distance(before: str, after: str) -> tuple[int, float]:
    """The Levenshtein distance of two texts in characters, and its share of the longer one (0 to 1)."""
    from rapidfuzz.distance import Levenshtein

    edits = int(Levenshtein.distance(before, after))
    return edits, edits / max(len(before), len(after), 1)
