"""Which choice sets cannot be learned from, and why."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence

import msgspec
from picktune.records import ChoiceSet

from picktune_retrain.dataset.rows import pick_out


def clean(rows: Sequence[ChoiceSet]) -> tuple[Sequence[ChoiceSet], dict[str, int]]:
    """The rows worth training on, in their order, and how many were dropped for which reason.

    Reasons: ``empty_prompt`` (nobody says anything), ``bad_choice`` (the picked one is not on the slate),
    ``empty_reply``, ``no_alternative`` (fewer than two distinct replies), ``no_weight`` (the annotator's
    weight is nought or no number), ``repeated`` (the same annotator's same pick among the same replies to
    the same messages, as a second import of one file leaves it).
    """
    kept: list[int] = []
    dropped: Counter[str] = Counter()
    seen: set[bytes] = set()
    for place, row in enumerate(rows):
        reason = _fault(row)
        if reason is None:
            key = _key(row)
            reason = "repeated" if key in seen else None
            seen.add(key)
        if reason is None:
            kept.append(place)
        else:
            dropped[reason] += 1
    return pick_out(rows, kept), dict(sorted(dropped.items()))


def _fault(row: ChoiceSet) -> str | None:
    if not any(message.content.strip() for message in row.messages if message.role != "system"):
        return "empty_prompt"
    if not 0 <= row.chosen < len(row.replies):
        return "bad_choice"
    if not all(reply.strip() for reply in row.replies):
        return "empty_reply"
    if len({" ".join(reply.split()) for reply in row.replies}) < 2:
        return "no_alternative"
    if not (math.isfinite(row.weight) and row.weight > 0):
        return "no_weight"
    return None


def _key(row: ChoiceSet) -> bytes:
    same = (row.messages, sorted(row.replies), row.replies[row.chosen], row.annotator, row.role)
    return hashlib.sha256(msgspec.json.encode(same)).digest()
