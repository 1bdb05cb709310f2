"""TRL's preference rows: a prompt, the picked reply and one that was shown beside it, as messages.

The conversational preference format with an explicit prompt of https://huggingface.co/docs/trl/dataset_formats,
which ``DPOTrainer`` takes as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from picktune.interchange import jsonl
from picktune.interchange.exchange import Said, Takes, answerable, as_messages, pairs, reply_of, said
from picktune.interchange.jsonl import encode
from picktune.interchange.votes import Taken, pair
from picktune.records import DecidedSlate, Message, Record

__all__ = ["START", "SUMMARY", "TAKES", "PreferenceRow", "encode", "read", "rows"]

SUMMARY = "TRL preference pairs (DPOTrainer): prompt, chosen and rejected; K replies give K - 1 pairs"
TAKES: Takes = ("decisions",)
START = b""


class PreferenceRow(Record, frozen=True, kw_only=True):
    """One pair; the columns are those that TRL knows and no others."""

    prompt: tuple[Message, ...]
    chosen: Said
    rejected: Said


def rows(decided: DecidedSlate) -> Iterator[PreferenceRow]:
    """The picked reply with each other that was shown; nothing where nobody was preferred."""
    prompt = decided.slate.turn.messages
    if answerable(prompt):
        for chosen, rejected in pairs(decided):
            yield PreferenceRow(prompt=prompt, chosen=said(chosen), rejected=said(rejected))


def read(path: Path) -> Iterator[PreferenceRow]:
    """The pairs of a file; see ``Exporter``."""
    return jsonl.read(path, PreferenceRow)


class _Pair(Struct, frozen=True, kw_only=True):
    prompt: str | tuple[Message, ...] = ()
    chosen: str | tuple[Message, ...]
    rejected: str | tuple[Message, ...]


def recognises(keys: frozenset[str]) -> bool:
    """Whether a row with these keys is a preference, of messages or of plain texts."""
    return {"chosen", "rejected"} <= keys


def decode(data: bytes) -> _Pair:
    """One pair; raises ``ValueError``, naming the field."""
    return msgspec.json.decode(data, type=_Pair)


def name(row: _Pair) -> str:
    """The id of the pair's slate: a hash of what is said."""
    return _decided(row, datetime.min.replace(tzinfo=UTC)).slate.id


def to_decided(row: _Pair, *, now: datetime) -> tuple[Taken, ...]:
    """A choice between two replies; raises ``ValueError`` if there is nothing to compare."""
    return (_decided(row, now),)


def _decided(row: _Pair, now: datetime) -> DecidedSlate:
    prompt, (chosen, better), (rejected, worse) = (
        as_messages(row.prompt, "user"),
        reply_of(row.chosen),
        reply_of(row.rejected),
    )
    if not prompt:  # TRL's implicit prompt: what both begin with
        prompt = tuple(one for one, other in zip(chosen, rejected, strict=False) if one == other)
    return pair(prompt, better, worse, "trl-preference", now)
