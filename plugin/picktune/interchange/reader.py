"""The readers over all formats: they tell them apart, keep the good rows and report the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import msgspec

from picktune.errors import InvalidInput
from picktune.interchange import (
    abcd,
    argilla,
    choice,
    crosswoz,
    flat,
    label_studio,
    langfuse,
    lmarena,
    open_webui,
    openai_preference,
    pandalm,
    spreadsheet,
    tensorzero,
    tickets,
    trl_kto,
    trl_preference,
)
from picktune.interchange.rows import Reject, Row, read_rows
from picktune.interchange.votes import Taken
from picktune.records import Conversation, Record, utc_now

T = TypeVar("T")
OnReject = Callable[[Reject], None]

# In the order in which they are tried: the most particular first.
FORMATS: dict[str, ModuleType] = {"abcd": abcd, "crosswoz": crosswoz, "tickets": tickets}
DECISIONS: dict[str, ModuleType] = {
    "choice": choice,
    "pandalm": pandalm,
    "open-webui": open_webui,
    "tensorzero": tensorzero,
    "label-studio": label_studio,
    "argilla": argilla,
    "lmarena": lmarena,
    "openai-preference": openai_preference,
    "trl-preference": trl_preference,
    "trl-kto": trl_kto,
    "jsonl": flat,
    "csv": spreadsheet,
    "langfuse": langfuse,
}
# The same rows in another kind of file, which is told by its first bytes, or with another meaning.
ALSO = {"xlsx": "csv", "parquet": "choice", "trl-edits": "trl-preference"}

_PEEK = 20
_logger = logging.getLogger(__name__)


class Decided(Record, frozen=True, kw_only=True):
    """The decisions and thumbs that one row holds; ``line`` is its first. See ``taking.take``."""

    line: int
    decisions: tuple[Taken, ...]


def read_conversations(
    path: Path | str,
    *,
    format: str | None = None,
    on_reject: OnReject | None = None,
    now: datetime | None = None,
    encoding: str | None = None,
) -> Iterator[Conversation]:
    """The conversations of a file, one by one; their ids are the file's own, so a second import adds none.

    ``format`` is ``abcd``, ``crosswoz`` or ``tickets``; without it the first rows tell. A row that is
    broken, too large or repeats an id goes to ``on_reject`` (without one, to the log as a warning) and the
    others go in. ``now`` becomes the time at which the conversations were made; ``encoding`` is that of a
    text that is no Unicode. Raises ``InvalidInput`` if the file cannot be read, is empty, or has no format
    that is known.
    """
    path, at = Path(path), now or utc_now()
    module = _module(path, format, FORMATS, encoding)

    def read(line: int, data: bytes) -> tuple[str, Conversation]:
        conversation: Conversation = module.to_conversation(module.decode(data), now=at)
        return conversation.id, conversation

    return (found for _, found in _each(path, read, on_reject or _warn, encoding))


def read_decisions(
    path: Path | str,
    *,
    format: str | None = None,
    on_reject: OnReject | None = None,
    now: datetime | None = None,
    encoding: str | None = None,
) -> Iterator[Decided]:
    """The decisions and thumbs of a file, row by row, as ``taking.take`` takes them.

    ``format`` is one of ``DECISIONS``; everything else is as with ``read_conversations``. ``now`` is when
    decisions were taken of which the file does not say it. A column that means nothing is reported once.
    """
    path, at, report = Path(path), now or utc_now(), on_reject or _warn
    module = _module(path, format, DECISIONS, encoding)
    left_out = getattr(module, "left_out", lambda row: ())
    unknown = set[str]()

    def read(line: int, data: bytes) -> tuple[str, tuple[Taken, ...]]:
        row = module.decode(data)
        for column in sorted(set(left_out(row)) - unknown):
            unknown.add(column)
            report(Reject(line=line, reason=f"the column {column!r} is not known here, and is left out"))
        return module.name(row), module.to_decided(row, now=at)

    found = _each(path, read, report, encoding)
    return (Decided(line=line, decisions=decisions) for line, decisions in found)


def detect(path: Path, among: Mapping[str, ModuleType] | None = None, *, encoding: str | None = None) -> str:
    """The first format that recognises one of the first rows that are JSON objects.

    Of all formats, unless ``among`` names fewer. Raises ``InvalidInput`` if there is none.
    """
    formats = FORMATS | DECISIONS if among is None else among
    empty = True
    for number, row in enumerate(read_rows(path, encoding=encoding)):
        empty = False
        if number >= _PEEK:
            break
        keys = _keys(row)
        for name, module in formats.items():
            if keys and module.recognises(keys):
                return name
    if empty:
        raise InvalidInput(f"{path} is empty; there is nothing to import", field="path")
    raise InvalidInput(
        f"cannot tell the format of {path} from its first rows; name it: {', '.join(formats)}", field="format"
    )


def _module(
    path: Path, format: str | None, formats: dict[str, ModuleType], encoding: str | None
) -> ModuleType:
    format = ALSO.get(format, format) if format is not None and formats is DECISIONS else format
    if format is not None and format not in formats:
        raise InvalidInput(f"no format named {format!r}; choose one of {', '.join(formats)}", field="format")
    return formats[detect(path, formats, encoding=encoding) if format is None else format]


def _each(
    path: Path, read: Callable[[int, bytes], tuple[str, T]], on_reject: OnReject, encoding: str | None
) -> Iterator[tuple[int, T]]:
    """What ``read`` makes of each row, with its line; ``read`` also names it, and no name comes twice."""
    seen: dict[str, int] = {}
    for row in read_rows(path, encoding=encoding):
        if isinstance(row, Reject):
            on_reject(row)
            continue
        try:
            name, found = read(row.line, row.data)
        except (ValueError, RecursionError) as error:
            on_reject(Reject(line=row.line, reason=str(error) or "nested too deeply"))
            continue
        if name in seen:
            reason = f"id {name!r} again; it was first on line {seen[name]}"
            on_reject(Reject(line=row.line, reason=reason, id=name))
            continue
        seen[name] = row.line
        yield row.line, found


def _keys(row: Row | Reject) -> frozenset[str]:
    if isinstance(row, Reject):
        return frozenset()
    try:
        return frozenset(msgspec.json.decode(row.data, type=dict[str, msgspec.Raw]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return frozenset()


def _warn(reject: Reject) -> None:
    _logger.warning("not imported: %s", reject)
