"""TRL's unpaired preference rows: a prompt, one reply, and whether it was wanted.

The conversational format with ``label`` of https://huggingface.co/docs/trl/dataset_formats, which
``KTOTrainer`` takes as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from picktune.interchange import jsonl
from picktune.interchange.exchange import Said, Takes, answerable, said
from picktune.interchange.jsonl import encode
from picktune.records import DecidedSlate, Message, ReactedReply, Record

__all__ = ["START", "SUMMARY", "TAKES", "LabelledRow", "encode", "read", "rows"]

SUMMARY = "TRL unpaired rows (KTOTrainer): prompt, completion and label, from thumbs and 'none good'"
TAKES: Takes = ("decisions", "reactions")
START = b""


class LabelledRow(Record, frozen=True, kw_only=True):
    """One reply; ``label`` is whether it was wanted."""

    prompt: tuple[Message, ...]
    completion: Said
    label: bool


def rows(evidence: DecidedSlate | ReactedReply) -> Iterator[LabelledRow]:
    """A thumb gives its reply; ``none_good`` gives every reply that was shown, as unwanted.

    A reply to which the same annotator also gave a thumb is left to the thumb, which is about it alone.
    """
    prompt = evidence.slate.turn.messages
    if not answerable(prompt):
        return
    if isinstance(evidence, ReactedReply):
        up = evidence.reaction.value == "up"
        yield LabelledRow(prompt=prompt, completion=said(evidence.candidate.text), label=up)
    elif evidence.pick.verdict == "none_good":
        for candidate in evidence.shown:
            if candidate.id not in evidence.reacted:
                yield LabelledRow(prompt=prompt, completion=said(candidate.text), label=False)


def read(path: Path) -> Iterator[LabelledRow]:
    """The rows of a file; see ``Exporter``."""
    return jsonl.read(path, LabelledRow)
