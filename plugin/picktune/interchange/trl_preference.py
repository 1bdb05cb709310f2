"""TRL's preference rows: a prompt, the picked reply and one that was shown beside it, as messages.

The conversational preference format with an explicit prompt of https://huggingface.co/docs/trl/dataset_formats,
which ``DPOTrainer`` takes as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from picktune.interchange import jsonl
from picktune.interchange.exchange import Said, Takes, answerable, pairs, said
from picktune.interchange.jsonl import encode
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
