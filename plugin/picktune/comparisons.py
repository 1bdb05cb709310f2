"""Comparisons of whole conversations: which was answered best, from the first reply to the last."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from msgspec import Meta

from picktune.records import AnnotatorRole, Decision, Message, Record, Verdict

MOST_SIDES = 4
Sides = Annotated[int, Meta(ge=2, le=MOST_SIDES)]


class Side(Record, frozen=True, kw_only=True):
    """One of the conversations, as it was when the comparison was made.

    ``arm`` answered all of it, and ``model`` is its adapter (``None``: the base). Without an arm nobody
    knows, and the comparison says nothing of adapters.
    """

    id: str
    messages: tuple[Message, ...]
    arm: str | None = None
    model: str | None = None
    conversation_id: str | None = None


class Comparison(Record, frozen=True, kw_only=True):
    """Two to four conversations that are judged side by side, blind, each viewer in an order of their own."""

    id: str
    title: str = ""
    sides: tuple[Side, ...]
    tags: tuple[str, ...] = ()
    locale: str = "en"
    seed: int
    created_at: datetime


class Judgement(Record, frozen=True, kw_only=True):
    """A decision on a comparison; ``side_id`` is the chosen one. Keys and versions are as those of picks."""

    key: str
    comparison_id: str
    verdict: Verdict
    side_id: str | None = None
    reasons: tuple[str, ...] = ()
    comment: str | None = None
    annotator: str
    role: AnnotatorRole = "agent"
    dwell_ms: int | None = None
    decided_at: datetime
    version: int = 1


class Judged(Record, frozen=True, kw_only=True):
    """A judgement that stands, with its comparison and the order in which the annotator saw the sides."""

    comparison: Comparison
    order: tuple[str, ...]
    judgement: Judgement


def order_of(comparison: Comparison, viewer: str) -> tuple[str, ...]:
    """The ids of the sides in this viewer's own order, drawn uniformly."""
    ids = [side.id for side in comparison.sides]
    random.Random(f"{comparison.seed}:viewer:{viewer}").shuffle(ids)  # noqa: S311 - the seed is a secret
    return tuple(ids)


def decision_of(judged: Judged) -> Decision | None:
    """The judgement as the support rate counts one; ``None`` if nobody knows who answered a side."""
    by_id = {side.id: side for side in judged.comparison.sides}
    sides = [by_id[one] for one in judged.order]
    arms = [side.arm for side in sides if side.arm is not None]
    if len(arms) < len(sides):
        return None
    tuned = next((side for side in sides if side.arm != "base"), None)
    judgement = judged.judgement
    chosen = judgement.verdict == "chosen"
    position = next((at for at, side in enumerate(sides) if chosen and side.id == judgement.side_id), None)
    return Decision(
        slate_id=judged.comparison.id,
        conversation_id=sides[0].conversation_id or judged.comparison.id,
        annotator=judgement.annotator,
        role=judgement.role,
        verdict=judgement.verdict,
        picked=() if position is None else (arms[position],),
        position=position,
        arms=tuple(arms),
        tuned=None if tuned is None else tuned.arm,
        model=None if tuned is None else tuned.model,
        complete=True,
        tags=judged.comparison.tags,
        locale=judged.comparison.locale,
        decided_at=judgement.decided_at,
    )


def opening_and_rest(messages: Sequence[Message], pending: Sequence[str]) -> tuple[list[Message], list[str]]:
    """What a conversation begins with, up to the customer's first message, and what they say then."""
    first = next(at for at, message in enumerate(messages) if message.role == "user")
    said = [message.content for message in messages[first + 1 :] if message.role == "user"]
    return list(messages[: first + 1]), [*said, *pending]
