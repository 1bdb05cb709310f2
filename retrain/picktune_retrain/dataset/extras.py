"""What a dataset holds beside choice sets: liked and disliked replies, demonstrations, ties, scenarios."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
from picktune.log.base import LogReader
from picktune.records import AnnotatorRole, DecidedSlate, Message, ReactedReply, Selection

from picktune_retrain.records import Dropped, Extra, ExtraKind, Labelled, Scenario, Tie, Written

Row = Labelled | Written | Tie


def read_extras(
    reader: LogReader, kinds: Collection[ExtraKind], chosen: Selection
) -> tuple[list[Row], list[Dropped]]:
    """The rows of these kinds by time, and those that nothing can be learned from.

    A thumb gives its reply; ``none_good`` every reply that was shown, as disliked, but not those to which the
    same annotator gave a thumb. An edit or a hand-written reply counts if it is among the log's
    demonstrations, so that whatever keeps a row out of those keeps it out of here. What a user did not
    agree to have trained on is left out.
    """
    found: list[Row] = []
    if set(kinds) & {"labelled", "written", "tie"}:
        taught = set()
        if "written" in kinds:
            demonstrations = reader.demonstrations(until=chosen.until, roles=chosen.roles)
            taught = {(one.slate_id, _digest(one.completion)) for one in demonstrations}
        for decided in reader.decided_slates(chosen):
            if decided.slate.turn.consent != "train":
                continue
            found += [row for row in _of_decision(decided, taught) if row.__struct_config__.tag in kinds]
    if "labelled" in kinds:
        found += [
            _of_reaction(reacted)
            for reacted in reader.reacted_replies(chosen)
            if reacted.slate.turn.consent == "train"
        ]
    kept: list[Row] = []
    dropped: list[Dropped] = []
    seen: set[bytes] = set()
    for row in sorted(found, key=_order):
        reason = _fault(row)
        if reason is None and (key := _key(row)) in seen:
            reason = "repeated"
        if reason is None:
            seen.add(key)
            kept.append(row)
        else:
            kind = row.__struct_config__.tag
            dropped.append(
                Dropped(slate_id=row.slate_id, decided_at=row.decided_at, rule=reason, detail=str(kind))
            )
    return kept, dropped


def read_scenarios(reader: LogReader, *, until: datetime, roles: Sequence[AnnotatorRole]) -> dict[str, str]:
    """The scenario of each slate that has one."""
    decisions = reader.decisions(until=until, roles=tuple(roles))
    return {one.slate_id: one.scenario for one in decisions if one.scenario is not None}


def scenario_rows(rows: Iterable[object], scenarios: dict[str, str]) -> list[Scenario]:
    """A row for each slate among these whose scenario is known."""
    slates = sorted({str(getattr(row, "slate_id")) for row in rows})  # noqa: B009 - records of several kinds
    return [Scenario(slate_id=one, scenario=scenarios[one]) for one in slates if one in scenarios]


def encode_extra(row: Extra) -> bytes:
    """A row as its line of JSON, with its kind as ``type``."""
    return msgspec.json.encode(row, order="deterministic") + b"\n"


def _of_decision(decided: DecidedSlate, taught: set[tuple[str, str]]) -> Iterator[Row]:
    pick, turn = decided.pick, decided.slate.turn
    shown = tuple(candidate.text for candidate in decided.shown)
    common: dict[str, Any] = {
        "slate_id": decided.slate.id,
        "conversation_id": turn.conversation_id,
        "messages": turn.messages,
        "annotator": pick.annotator,
        "role": pick.role,
        "tags": turn.tags,
        "locale": turn.locale,
        "decided_at": pick.decided_at,
    }
    if pick.edited_text is not None and (decided.slate.id, _digest(pick.edited_text)) in taught:
        yield Written(completion=pick.edited_text, shown=shown, **common)
    if pick.verdict == "tie":
        yield Tie(replies=shown, **common)
    if pick.verdict == "none_good":
        for candidate in decided.shown:
            if candidate.id not in decided.reacted:
                yield Labelled(reply=candidate.text, desirable=False, source="none_good", **common)


def _of_reaction(reacted: ReactedReply) -> Labelled:
    reaction, turn = reacted.reaction, reacted.slate.turn
    return Labelled(
        slate_id=reacted.slate.id,
        conversation_id=turn.conversation_id,
        messages=turn.messages,
        reply=reacted.candidate.text,
        desirable=reaction.value == "up",
        source="thumb",
        annotator=reaction.annotator,
        role=reaction.role,
        tags=turn.tags,
        locale=turn.locale,
        decided_at=reaction.reacted_at,
    )


def _fault(row: Row) -> str | None:
    if not any(message.content.strip() for message in row.messages if message.role != "system"):
        return "empty_prompt"
    taught = row.completion if isinstance(row, Written) else None
    if not all(reply.strip() for reply in (_replies(row) if taught is None else (taught,))):
        return "empty_reply"
    if isinstance(row, Tie) and len({" ".join(reply.split()) for reply in row.replies}) < 2:
        return "no_alternative"
    return None


def _replies(row: Row) -> tuple[str, ...]:
    if isinstance(row, Labelled):
        return (row.reply,)
    return row.replies if isinstance(row, Tie) else (row.completion, *row.shown)


def _key(row: Row) -> bytes:
    """What makes two rows the same one, as a second import of one file leaves it."""
    label = row.desirable if isinstance(row, Labelled) else None
    messages: tuple[Message, ...] = row.messages
    kind = row.__struct_config__.tag
    first, *others = _replies(row)
    if isinstance(row, Tie):
        first, others = "", sorted(row.replies)
    same = (kind, messages, first, sorted(others), label, row.annotator, row.role)
    return hashlib.sha256(msgspec.json.encode(same)).digest()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _order(row: Row) -> tuple[datetime, str, str, bytes]:
    return row.decided_at, row.slate_id, row.annotator, encode_extra(row)
