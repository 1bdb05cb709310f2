"""Label Studio's tasks with their annotations: the replies to choose from, and what was chosen.

The JSON of https://labelstud.io/guide/task_format, with the result types ``choices``, ``textarea`` and
``pairwise`` of label-studio-sdk 2.1.2 (``label_interface/control_tags.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from picktune.interchange import jsonl
from picktune.interchange.exchange import Takes
from picktune.interchange.jsonl import encode
from picktune.interchange.votes import Standing, Taken, Text, Vote, named
from picktune.interchange.votes import to_decided as _to_decided
from picktune.records import AnnotatorRole, DecidedSlate, Message

__all__ = ["START", "SUMMARY", "TAKES", "Task", "encode", "read", "rows"]

SUMMARY = (
    "Label Studio tasks with annotations (JSON); what is annotated there comes back with picktune import"
)
TAKES: Takes = ("decisions",)
START = b"[\n"

_OURS = "picktune-"


class Value(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one control holds."""

    choices: tuple[str, ...] | UnsetType = UNSET
    text: tuple[str, ...] | str | UnsetType = UNSET
    selected: str | UnsetType = UNSET


class Result(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One control that was filled in."""

    id: str = ""
    from_name: str
    to_name: str | tuple[str, ...]
    type: str
    value: Value


class Annotation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one annotator said; ``lead_time`` is in seconds, ``was_cancelled`` a skip.

    Ours name nobody in ``completed_by``: Label Studio refuses people whom it does not know.
    """

    id: int | str | UnsetType = UNSET
    completed_by: int | dict[str, Any] | UnsetType | None = UNSET
    result: tuple[Result, ...]
    was_cancelled: bool = False
    created_at: datetime | None = None
    lead_time: float | None = None


class Task(Struct, frozen=True, kw_only=True):
    """One slate; ``data`` holds the conversation, ``reply_1`` and so on, and our own ids, but no arms."""

    data: dict[str, Any]
    annotations: tuple[Annotation, ...]


class _Data(Struct, frozen=True, kw_only=True):
    conversation: tuple[Message, ...] | None = None
    slate_id: str | None = None
    conversation_id: str | None = None
    reply_ids: tuple[str, ...] | None = None
    tags: tuple[str, ...] = ()
    locale: str = "en"
    complete: bool = True
    annotator: str | None = None
    role: AnnotatorRole = "crowd"
    key: str | None = None
    dwell_ms: Annotated[int, Meta(ge=0)] | None = None


def rows(decided: DecidedSlate) -> Iterator[Task]:
    """Every decision is a task of its own with one annotation."""
    slate, pick, shown, picked = decided.slate, decided.pick, decided.shown, decided.picked
    place = None if picked is None else shown.index(picked) + 1
    said = {"chosen": f"reply {place}", "tie": "tie", "none_good": "none good"}.get(pick.verdict)
    results = []
    if said is not None:
        results.append(_choice("pick", said))
    if pick.verdict == "tie" and place is not None:
        results.append(_choice("sent_reply", f"reply {place}"))
    for control, texts in (("sent", pick.edited_text), ("comment", pick.comment), ("reasons", pick.reasons)):
        if texts is not None and texts != ():
            value = Value(text=(texts,) if isinstance(texts, str) else texts)
            results.append(_result(control, "textarea", value))
    yield Task(
        data={
            "conversation": [{"role": one.role, "content": one.content} for one in slate.turn.messages],
            **{f"reply_{number}": one.text for number, one in enumerate(shown, 1)},
            "slate_id": slate.id,
            "conversation_id": slate.turn.conversation_id,
            "reply_ids": [one.id for one in shown],
            "tags": list(slate.turn.tags),
            "locale": slate.turn.locale,
            "complete": slate.complete,
            "annotator": pick.annotator,
            "role": pick.role,
            "key": pick.key,
            "dwell_ms": pick.dwell_ms,
        },
        annotations=(
            Annotation(
                result=tuple(results),
                was_cancelled=pick.verdict == "skip",
                created_at=pick.decided_at,
                lead_time=None if pick.dwell_ms is None else pick.dwell_ms / 1000,
            ),
        ),
    )


def read(path: Path) -> Iterator[Task]:
    """The tasks of a file; see ``Exporter``."""
    return jsonl.read(path, Task)


def recognises(keys: frozenset[str]) -> bool:
    """Whether a row with these keys is a task that was annotated."""
    return {"data", "annotations"} <= keys


def decode(data: bytes) -> Task:
    """One task; raises ``ValueError``, naming the field."""
    return msgspec.json.decode(data, type=Task)


def name(row: Task) -> str:
    """What no two tasks of a file share: what is compared, and whose decision it was."""
    return f"{row.data.get('slate_id') or _slate_id(row)} by {row.data.get('annotator') or 'annotators'}"


def to_decided(row: Task, *, now: datetime) -> tuple[Taken, ...]:
    """One decision for each annotation that says something; raises ``ValueError``."""
    data = msgspec.convert(row.data, _Data)
    texts = _texts(row.data)
    if not texts:
        raise ValueError("the task's data has no 'reply_1' and further ones (or 'text1' and 'text2')")
    slate_id = data.slate_id or _slate_id(row)
    ids = data.reply_ids or tuple(f"{slate_id}-{place + 1}" for place in range(len(texts)))
    if len(ids) != len(texts):
        raise ValueError(f"reply_ids names {len(ids)} replies, but there are {len(texts)}")
    found = []
    for number, one in enumerate(row.annotations, 1):
        ours = data.annotator is not None and all(result.id.startswith(_OURS) for result in one.result)
        ours = ours and (one.result != () or one.completed_by is UNSET)
        verdict, chosen = _verdict(one)
        at = one.created_at or now
        vote = Vote(
            slate_id=slate_id,
            conversation_id=data.conversation_id,
            messages=data.conversation or _asked(row.data),
            replies=tuple(Text(id=id, text=text) for id, text in zip(ids, texts, strict=True)),
            verdict=verdict,
            chosen=chosen,
            edited_text=_text(one, "sent") or None,
            reasons=_list(one, "reasons"),
            comment=_text(one, "comment"),
            annotator=data.annotator if ours and data.annotator else _who(one, number),
            role=data.role if ours else "crowd",
            dwell_ms=data.dwell_ms
            if ours
            else None
            if one.lead_time is None
            else round(one.lead_time * 1000),
            tags=data.tags,
            locale=data.locale,
            complete=data.complete,
            key=data.key if ours and data.key else f"label-studio-{number if one.id is UNSET else one.id}",
            decided_at=at if at.tzinfo else at.replace(tzinfo=UTC),
        )
        found.append(_to_decided(vote, "label-studio"))
    return tuple(found)


def _verdict(annotation: Annotation) -> tuple[Standing, int | None]:
    if annotation.was_cancelled:
        return "skip", None
    said: dict[str, str] = {}
    for result in annotation.result:
        if result.type == "pairwise" and isinstance(result.value.selected, str):
            return "chosen", {"left": 0, "right": 1}.get(result.value.selected)
        if result.type == "choices" and result.value.choices:
            said[result.from_name] = result.value.choices[0]
    pick = said.get("pick")
    if pick is None:
        raise ValueError("an annotation has no result named 'pick' of type choices, nor one of type pairwise")
    if pick == "tie":
        return "tie", _place(said["sent_reply"]) if "sent_reply" in said else None
    if pick == "none good":
        return "none_good", None
    return "chosen", _place(pick)


def _place(said: str) -> int:
    word, _, number = said.partition(" ")
    if word != "reply" or not number.isdigit():
        raise ValueError(f"the choice {said!r} is none of 'reply 1' and so on, 'tie' and 'none good'")
    return int(number) - 1


def _texts(data: dict[str, Any]) -> list[str]:
    for prefix in ("reply_", "text"):
        texts: list[str] = []
        while isinstance(text := data.get(f"{prefix}{len(texts) + 1}"), str):
            texts.append(text)
        if texts:
            return texts
    return []


def _asked(data: dict[str, Any]) -> tuple[Message, ...]:
    asked = data.get("prompt") or data.get("question") or data.get("text")
    return (Message(role="user", content=asked),) if isinstance(asked, str) and asked else ()


def _slate_id(row: Task) -> str:
    return named("label-studio", row.data.get("conversation"), _texts(row.data), row.data.get("prompt"))


def _who(annotation: Annotation, number: int) -> str:
    by = annotation.completed_by
    if isinstance(by, dict):
        return str(by.get("email") or f"label-studio-{by.get('id')}")
    return f"label-studio-annotation-{number}" if by is UNSET or by is None else f"label-studio-{by}"


def _list(annotation: Annotation, control: str) -> tuple[str, ...]:
    for result in annotation.result:
        if result.from_name == control:
            text = result.value.text
            return (text,) if isinstance(text, str) else () if text is UNSET else text
    return ()


def _text(annotation: Annotation, control: str) -> str | None:
    texts = _list(annotation, control)
    return "\n".join(texts) if texts else None


def _choice(control: str, value: str) -> Result:
    return _result(control, "choices", Value(choices=(value,)))


def _result(control: str, type: Literal["choices", "textarea"], value: Value) -> Result:
    return Result(id=f"{_OURS}{control}", from_name=control, to_name="conversation", type=type, value=value)
