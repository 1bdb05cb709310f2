"""PandaLM's test set: two replies to one instruction, and the votes of three annotators.

The form of https://github.com/WeOpenML/PandaLM (``data/testset-v1.json``): one JSON document of objects.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from picktune.interchange.limits import MAX_TEXT
from picktune.records import Candidate, DecidedSlate, Exposure, Message, Pick, Record, Slate, Turn, Verdict

Text = Annotated[str, Meta(max_length=MAX_TEXT)]
# 0 is a tie.
Vote = Literal[0, 1, 2]


class Comparison(Record, frozen=True, kw_only=True):
    """One row; ``cmp_key`` names the two models with an underscore between them.

    A few replies of the published file are JSON booleans: a reply of the one word True, taken for a value.
    """

    idx: int
    motivation_app: Annotated[str, Meta(max_length=200)] = ""
    cmp_key: Annotated[str, Meta(max_length=400)]
    instruction: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
    input: Text = ""
    response1: Text | bool
    response2: Text | bool
    annotator1: Vote
    annotator2: Vote
    annotator3: Vote


def recognises(keys: frozenset[str]) -> bool:
    """Whether a row with these keys is one of PandaLM's."""
    return {"cmp_key", "instruction", "response1", "response2", "annotator1"} <= keys


def decode(data: bytes) -> Comparison:
    """One element of the document; raises ``ValueError``, naming the field."""
    return msgspec.json.decode(data, type=Comparison)


def name(row: Comparison) -> str:
    """The id of the row's slate: a hash of what was compared, for numbers begin anew in each file."""
    said = [row.idx, row.cmp_key, row.instruction, row.input, row.response1, row.response2]
    return "pandalm-" + hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:24]


def to_decided(row: Comparison, *, now: datetime) -> tuple[DecidedSlate, ...]:
    """One slate and its three decisions, as of ``now``; raises ``ValueError`` if the models are unclear.

    Both replies stand under the arm ``base``, with their models' names: they are compared with each other
    and with nothing of ours, so that they train but never count for a support rate.
    """
    models = row.cmp_key.split("_")
    if len(models) != 2 or not all(models):
        raise ValueError(f"cmp_key {row.cmp_key!r} must be two models with one underscore between them")
    slate_id = name(row)
    candidates = tuple(
        Candidate(
            id=f"{slate_id}-{place + 1}",
            arm="base",
            kind="base",
            model=models[place],
            text=str(text),
            position=place,
            propensity=1.0,
            tokens=0,
            latency=0.0,
        )
        for place, text in enumerate((row.response1, row.response2))
    )
    asked = f"{row.instruction}\n\n{row.input}" if row.input.strip() else row.instruction
    turn = Turn(
        id=slate_id,
        conversation_id=slate_id,
        messages=(Message(role="user", content=asked),),
        tags=("pandalm", row.motivation_app) if row.motivation_app else ("pandalm",),
        created_at=now,
    )
    slate = Slate(
        id=slate_id, turn=turn, candidates=candidates, policy="pandalm", seed=0, complete=True, created_at=now
    )
    votes = enumerate((row.annotator1, row.annotator2, row.annotator3), 1)
    return tuple(_decided(slate, f"pandalm-annotator{number}", vote, now) for number, vote in votes)


def _decided(slate: Slate, annotator: str, vote: Vote, now: datetime) -> DecidedSlate:
    order = tuple(one.id for one in slate.candidates)
    verdict: Verdict = "chosen" if vote else "tie"
    return DecidedSlate(
        slate=slate,
        exposure=Exposure(slate_id=slate.id, viewer=annotator, order=order, shown_at=now),
        pick=Pick(
            key="vote",
            slate_id=slate.id,
            verdict=verdict,
            candidate_id=order[vote - 1] if vote else None,
            annotator=annotator,
            role="crowd",
            decided_at=now,
        ),
    )
