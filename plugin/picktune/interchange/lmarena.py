"""LMArena's battles: two models, two conversations, and who won.

The columns of the data set ``lmsys/chatbot_arena_conversations``, without its moderation, so that what rates
models from arena battles (Elo, Bradley-Terry) reads them as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from picktune.interchange import jsonl
from picktune.interchange.exchange import Takes, said
from picktune.interchange.jsonl import encode
from picktune.interchange.votes import Taken, Text, Vote
from picktune.interchange.votes import to_decided as _to_decided
from picktune.records import Candidate, DecidedSlate, Message, Record

__all__ = ["START", "SUMMARY", "TAKES", "Battle", "encode", "read", "rows"]

SUMMARY = "LMArena battles: model_a, model_b, winner, conversation_a, conversation_b"
TAKES: Takes = ("decisions",)
START = b""
BASE = "base"

Winner = Literal["model_a", "model_b", "tie", "tie (bothbad)"]


class Battle(Record, frozen=True, kw_only=True):
    """One pair of replies by different models; ``a`` is the one that was shown further up.

    ``turn`` counts the customer's messages, ``tstamp`` is in seconds since 1970, and ``anony`` is always
    true: the slate was blind.
    """

    question_id: str
    model_a: str
    model_b: str
    winner: Winner
    judge: str
    conversation_a: tuple[Message, ...]
    conversation_b: tuple[Message, ...]
    turn: int
    anony: bool = True
    language: str
    tstamp: float


def rows(decided: DecidedSlate) -> Iterator[Battle]:
    """The picked reply against each by another model; with a tie or ``none_good``, each against each.

    Two replies by one model are no battle, nor is one that both arms said in the same words.
    """
    slate, pick = decided.slate, decided.pick
    messages = slate.turn.messages
    shown = list(enumerate(decided.shown, 1))
    for (place_a, a), (place_b, b) in combinations(shown, 2):
        winner = _winner(decided, a, b)
        if winner is None or a.also or b.also or _model(a) == _model(b):
            continue
        yield Battle(
            question_id=f"{slate.id}-{place_a}-{place_b}",
            model_a=_model(a),
            model_b=_model(b),
            winner=winner,
            judge=pick.annotator,
            conversation_a=messages + said(a.text),
            conversation_b=messages + said(b.text),
            turn=sum(message.role == "user" for message in messages),
            language=language(slate.turn.locale),
            tstamp=pick.decided_at.timestamp(),
        )


def language(locale: str) -> str:
    """The English name of a locale's language, as the arena has it; the locale itself if nobody knows it."""
    from babel import Locale, UnknownLocaleError

    try:
        return Locale(locale.replace("_", "-").partition("-")[0]).english_name or locale
    except (UnknownLocaleError, ValueError):
        return locale


def read(path: Path) -> Iterator[Battle]:
    """The battles of a file; see ``Exporter``."""
    return jsonl.read(path, Battle)


class _Battle(Struct, frozen=True, kw_only=True):
    question_id: str
    model_a: str
    model_b: str
    winner: Winner
    judge: str = "lmarena"
    conversation_a: tuple[Message, ...]
    conversation_b: tuple[Message, ...]
    language: str = ""
    tstamp: float | None = None


def recognises(keys: frozenset[str]) -> bool:
    """Whether a row with these keys is a battle."""
    return {"model_a", "model_b", "winner", "conversation_a"} <= keys


def decode(data: bytes) -> _Battle:
    """One battle; raises ``ValueError``, naming the field."""
    return msgspec.json.decode(data, type=_Battle)


def name(row: _Battle) -> str:
    """What no two battles of a file share."""
    return f"{row.question_id} by {row.judge}"


def to_decided(row: _Battle, *, now: datetime) -> tuple[Taken, ...]:
    """A choice between the last replies of both; raises ``ValueError`` if they answer different things.

    Of conversations of several turns, ``a``'s is what was asked, as long as the last question is one.
    """
    said_a, said_b = row.conversation_a, row.conversation_b
    if not (len(said_a) > 1 and len(said_b) > 1 and said_a[-2] == said_b[-2]):
        raise ValueError("the two conversations do not end with replies to one question")
    slate_id = f"lmarena-{row.question_id}"
    replies = ((row.model_a, said_a[-1].content), (row.model_b, said_b[-1].content))
    vote = Vote(
        slate_id=slate_id,
        messages=said_a[:-1],
        replies=tuple(
            Text(id=f"{slate_id}-{letter}", text=text, model=model)
            for letter, (model, text) in zip("ab", replies, strict=True)
        ),
        verdict={"tie": "tie", "tie (bothbad)": "none_good"}.get(row.winner, "chosen"),  # type: ignore[arg-type]
        chosen={"model_a": 0, "model_b": 1}.get(row.winner),
        annotator=row.judge,
        tags=("lmarena",),
        locale=_locale(row.language),
        decided_at=now if row.tstamp is None else datetime.fromtimestamp(row.tstamp, UTC),
    )
    return (_to_decided(vote, "lmarena"),)


def _locale(language: str) -> str:
    from babel import Locale

    if not language:
        return "en"
    names = Locale("en").languages
    return next((code for code, name in names.items() if name == language), language)


def _winner(decided: DecidedSlate, a: Candidate, b: Candidate) -> Winner | None:
    verdict, picked = decided.pick.verdict, decided.picked
    if verdict == "chosen" and picked in (a, b):
        return "model_a" if picked == a else "model_b"
    if verdict == "tie":
        return "tie"
    return "tie (bothbad)" if verdict == "none_good" else None


def _model(candidate: Candidate) -> str:
    return candidate.model or BASE
