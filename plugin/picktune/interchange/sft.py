"""TRL's prompt and completion rows, out of the replies that people wrote or edited themselves.

The conversational prompt-completion format of https://huggingface.co/docs/trl/dataset_formats, which
``SFTTrainer`` takes as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from picktune.interchange import jsonl
from picktune.interchange.exchange import Said, Takes, answerable, said
from picktune.interchange.jsonl import encode
from picktune.records import DecidedSlate, Message, Record

__all__ = ["START", "SUMMARY", "TAKES", "DemonstrationRow", "encode", "read", "rows"]

SUMMARY = "TRL prompt and completion (SFTTrainer), from edited and hand-written replies"
TAKES: Takes = ("decisions",)
START = b""


class DemonstrationRow(Record, frozen=True, kw_only=True):
    """One demonstration: what was asked, and the reply as a person wrote it."""

    prompt: tuple[Message, ...]
    completion: Said


def rows(decided: DecidedSlate) -> Iterator[DemonstrationRow]:
    """The edited or hand-written reply; an edit that left the reply as it was is none."""
    prompt, text = decided.slate.turn.messages, decided.pick.edited_text
    picked = decided.picked
    if text is not None and (picked is None or picked.text != text) and answerable(prompt):
        yield DemonstrationRow(prompt=prompt, completion=said(text))


def read(path: Path) -> Iterator[DemonstrationRow]:
    """The rows of a file; see ``Exporter``."""
    return jsonl.read(path, DemonstrationRow)
