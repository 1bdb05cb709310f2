"""LMArena's battles: two models, two conversations, and who won.

The columns of the data set ``lmsys/chatbot_arena_conversations``, without its moderation, so that what rates
models from arena battles (Elo, Bradley-Terry) reads them as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Literal

from picktune.interchange import jsonl
from picktune.interchange.exchange import Takes, said
from picktune.interchange.jsonl import encode
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


def _winner(decided: DecidedSlate, a: Candidate, b: Candidate) -> Winner | None:
    verdict, picked = decided.pick.verdict, decided.picked
    if verdict == "chosen" and picked in (a, b):
        return "model_a" if picked == a else "model_b"
    if verdict == "tie":
        return "tie"
    return "tie (bothbad)" if verdict == "none_good" else None


def _model(candidate: Candidate) -> str:
    return candidate.model or BASE
