"""Reads the sample tickets, which are package data in the house's own ticket format."""

from __future__ import annotations

from datetime import datetime
from importlib.resources import files

from msgspec import structs

from picktune.errors import InvalidInput
from picktune.interchange.tickets import Split, Ticket, decode, to_conversation
from picktune.records import Conversation

LOCALES = ("en", "zh")


def shop_policy(locale: str) -> str:
    """The shop's policy, under 120 tokens: the system prompt of every sample ticket of that language.

    Raises ``InvalidInput`` for a language that has none.
    """
    return _text(locale, f"policy.{locale}.txt").strip()


def sample_tickets(locale: str | None = None, *, split: Split | None = None) -> list[Ticket]:
    """The tickets of one language or of all, in a fixed order; ``split`` keeps one half of the English ones.

    Raises ``InvalidInput`` for a language that has none.
    """
    found: list[Ticket] = []
    for code in LOCALES if locale is None else (locale,):
        policy = shop_policy(code)
        for line in _text(code, f"{code}.jsonl").splitlines():
            found.append(structs.replace(decode(line.encode()), system=policy))
    return [ticket for ticket in found if split is None or ticket.split == split]


def sample_conversations(
    locale: str | None = None, *, now: datetime, split: Split | None = None
) -> list[Conversation]:
    """The tickets as open conversations with stable ids, so that adding them twice changes nothing."""
    return [
        structs.replace(to_conversation(ticket, now=now), source="sample")
        for ticket in sample_tickets(locale, split=split)
    ]


def _text(locale: str, name: str) -> str:
    if locale not in LOCALES:
        raise InvalidInput(
            f"no sample tickets in {locale!r}; choose one of {', '.join(LOCALES)}", field="locale"
        )
    return files("picktune.tickets").joinpath(name).read_text(encoding="utf-8")
