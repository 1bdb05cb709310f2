"""OpenAI's preference fine-tuning rows: an input, a preferred and a non-preferred output.

The form of https://developers.openai.com/api/docs/guides/direct-preference-optimization.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from picktune.interchange import jsonl
from picktune.interchange.exchange import Said, Takes, answerable, pairs, reply_of, said
from picktune.interchange.jsonl import encode
from picktune.interchange.votes import Taken, pair
from picktune.records import DecidedSlate, Message, Record

__all__ = ["START", "SUMMARY", "TAKES", "FineTuningRow", "encode", "read", "rows"]

SUMMARY = "OpenAI preference fine-tuning: input, preferred_output, non_preferred_output; K - 1 rows a choice"
TAKES: Takes = ("decisions",)
START = b""


class Input(Record, frozen=True, kw_only=True):
    """What was asked; no tools are offered."""

    messages: tuple[Message, ...]
    tools: tuple[str, ...] = ()
    parallel_tool_calls: bool = True


class FineTuningRow(Record, frozen=True, kw_only=True):
    """One pair, each output as the one message of an assistant."""

    input: Input
    preferred_output: Said
    non_preferred_output: Said


def rows(decided: DecidedSlate) -> Iterator[FineTuningRow]:
    """The picked reply with each other that was shown.

    Nothing for a conversation with a tool's answer: the call that it answers is not kept, and without it
    the row would be refused.
    """
    messages = decided.slate.turn.messages
    if not answerable(messages) or any(message.role == "tool" for message in messages):
        return
    for preferred, other in pairs(decided):
        yield FineTuningRow(
            input=Input(messages=messages), preferred_output=said(preferred), non_preferred_output=said(other)
        )


def read(path: Path) -> Iterator[FineTuningRow]:
    """The rows of a file; see ``Exporter``."""
    return jsonl.read(path, FineTuningRow)


class _Asked(Struct, frozen=True, kw_only=True):
    messages: tuple[Message, ...]


class _Pair(Struct, frozen=True, kw_only=True):
    input: _Asked
    preferred_output: Said
    non_preferred_output: Said


def recognises(keys: frozenset[str]) -> bool:
    """Whether a row with these keys is one of OpenAI's preferences."""
    return {"preferred_output", "non_preferred_output"} <= keys


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
    better, worse = reply_of(row.preferred_output)[1], reply_of(row.non_preferred_output)[1]
    return pair(row.input.messages, better, worse, "openai-preference", now)
