"""Whether a record can be stored at all."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, structs

from picktune.errors import InvalidInput

RecordT = TypeVar("RecordT", bound=Struct)


def checked(record: RecordT) -> RecordT:
    """The record, with lists made tuples, if every field is of its type and can be stored.

    Records that were decoded have been validated, but those that were made in Python have not. Raises
    ``InvalidInput``, naming the field.
    """
    kind = type(record).__name__.lower()
    try:
        record = msgspec.json.decode(msgspec.json.encode(record), type=type(record))
    except UnicodeEncodeError:
        where = (_unencodable(record) or "").removeprefix(".")
        raise InvalidInput(
            f"{where} of the {kind} is not valid UTF-8 text (it holds a lone surrogate); decode it properly "
            f"and send it again",
            field=_field(where),
        ) from None
    except (msgspec.ValidationError, TypeError, ValueError, OverflowError, RecursionError) as error:
        where = str(error).partition(" - at `$.")[2].rstrip("`")
        raise InvalidInput(f"the {kind} cannot be stored: {error}", field=_field(where)) from None
    _with_aware_times(record)
    return record


def aware(time: datetime, field: str) -> datetime:
    """The time, if it has a time zone; else ``InvalidInput``."""
    if time.tzinfo is None:
        raise InvalidInput(f"{field} has no time zone; use an aware time in UTC", field=field)
    return time


def _with_aware_times(record: Struct) -> None:
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if isinstance(value, datetime):
            aware(value, name)
        elif isinstance(value, Struct):
            _with_aware_times(value)


def _field(where: str) -> str | None:
    return where.partition("[")[0].partition(".")[0] or None


def _unencodable(value: Any) -> str | None:
    """Where in the value the text is that is not valid UTF-8."""
    if isinstance(value, str):
        return "" if any("\ud800" <= character <= "\udfff" for character in value) else None
    if isinstance(value, Struct):
        parts: Iterable[tuple[str, Any]] = (
            (f".{name}", part) for name, part in structs.asdict(value).items()
        )
    elif isinstance(value, tuple | list):
        parts = ((f"[{index}]", part) for index, part in enumerate(value))
    else:
        return None
    found = ((name, _unencodable(part)) for name, part in parts)
    return next((name + inner for name, inner in found if inner is not None), None)
