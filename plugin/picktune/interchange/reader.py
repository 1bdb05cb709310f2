"""The reader over all formats: it tells them apart, keeps the good rows and reports the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import ModuleType

import msgspec

from picktune.errors import InvalidInput
from picktune.interchange import abcd, crosswoz, tickets
from picktune.interchange.rows import Reject, Row, read_rows
from picktune.records import Conversation, utc_now

# In the order in which they are tried: the most particular first.
FORMATS: dict[str, ModuleType] = {"abcd": abcd, "crosswoz": crosswoz, "tickets": tickets}

_PEEK = 20
_logger = logging.getLogger(__name__)


def read_conversations(
    path: Path | str,
    *,
    format: str | None = None,
    on_reject: Callable[[Reject], None] | None = None,
    now: datetime | None = None,
) -> Iterator[Conversation]:
    """The conversations of a file, one by one; their ids are the file's own, so a second import adds none.

    ``format`` is ``abcd``, ``crosswoz`` or ``tickets``; without it the first rows tell. A row that is
    broken, too large or repeats an id goes to ``on_reject`` (without one, to the log as a warning) and the
    others go in. ``now`` becomes the time at which the conversations were made. Raises ``InvalidInput`` if
    the file cannot be read, is empty, or has no format that is known.
    """
    path = Path(path)
    if format is not None and format not in FORMATS:
        raise InvalidInput(f"no format named {format!r}; choose one of {', '.join(FORMATS)}", field="format")
    module = FORMATS[_detect(path) if format is None else format]
    return _read(path, module, on_reject or _warn, now or utc_now())


def _read(
    path: Path, module: ModuleType, on_reject: Callable[[Reject], None], now: datetime
) -> Iterator[Conversation]:
    seen: dict[str, int] = {}
    for row in read_rows(path):
        if isinstance(row, Reject):
            on_reject(row)
            continue
        try:
            conversation: Conversation = module.to_conversation(module.decode(row.data), now=now)
        except (ValueError, RecursionError) as error:
            on_reject(Reject(line=row.line, reason=str(error) or "nested too deeply"))
            continue
        first = seen.setdefault(conversation.id, row.line)
        if first != row.line:
            reason = f"id {conversation.id!r} again; it was first on line {first}"
            on_reject(Reject(line=row.line, reason=reason, id=conversation.id))
            continue
        yield conversation


def _detect(path: Path) -> str:
    """The first format that recognises one of the first rows that are JSON objects."""
    empty = True
    for number, row in enumerate(read_rows(path)):
        empty = False
        if number >= _PEEK:
            break
        keys = _keys(row)
        for name, module in FORMATS.items():
            if keys and module.recognises(keys):
                return name
    if empty:
        raise InvalidInput(f"{path} is empty; there is nothing to import", field="path")
    raise InvalidInput(
        f"cannot tell the format of {path} from its first rows; name it: {', '.join(FORMATS)}", field="format"
    )


def _keys(row: Row | Reject) -> frozenset[str]:
    if isinstance(row, Reject):
        return frozenset()
    try:
        return frozenset(msgspec.json.decode(row.data, type=dict[str, msgspec.Raw]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return frozenset()


def _warn(reject: Reject) -> None:
    _logger.warning("not imported: %s", reject)
