"""TRL's unpaired preference rows: a prompt, one reply, and whether it was wanted.

The conversational format with ``label`` of https://huggingface.co/docs/trl/dataset_formats, which
``KTOTrainer`` takes as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from picktune.interchange import jsonl
from picktune.interchange.exchange import Said, Takes, answerable, as_messages, reply_of, said
from picktune.interchange.jsonl import encode
from picktune.interchange.votes import Taken, Text, named, slate_of
from picktune.records import DecidedSlate, Message, ReactedReply, Reaction, Record

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


class _Labelled(Struct, frozen=True, kw_only=True):
    prompt: str | tuple[Message, ...]
    completion: str | tuple[Message, ...]
    label: bool


def recognises(keys: frozenset[str]) -> bool:
    """Whether a row with these keys is a labelled reply."""
    return {"prompt", "completion", "label"} <= keys


def decode(data: bytes) -> _Labelled:
    """One row; raises ``ValueError``, naming the field."""
    return msgspec.json.decode(data, type=_Labelled)


def name(row: _Labelled) -> str:
    """The id of the row's slate: a hash of what is said."""
    return named("trl-kto", row.prompt, row.completion)


def to_decided(row: _Labelled, *, now: datetime) -> tuple[Taken, ...]:
    """A thumb on a reply of its own; raises ``ValueError`` if there is no reply."""
    slate_id, (_, text) = name(row), reply_of(row.completion)
    reply = Text(id=f"{slate_id}-1", text=text)
    slate = slate_of(slate_id, as_messages(row.prompt, "user"), [reply], "trl-kto", now, tags=("trl-kto",))
    thumb = Reaction(
        key="label",
        candidate_id=reply.id,
        value="up" if row.label else "down",
        annotator="trl-kto",
        role="crowd",
        reacted_at=now,
    )
    return (ReactedReply(slate=slate, reaction=thumb),)
