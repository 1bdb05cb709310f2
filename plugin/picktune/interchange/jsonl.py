"""Rows as lines of JSON, written and read back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from picktune.errors import InvalidInput
from picktune.interchange.rows import Reject, read_rows

_encoder = msgspec.json.Encoder()

RowT = TypeVar("RowT", bound=Struct)


def encode(row: Struct) -> bytes:
    """One row as its line: UTF-8, one line end, whatever the texts hold."""
    return _encoder.encode(row) + b"\n"


def read(path: Path, kind: type[RowT]) -> Iterator[RowT]:
    """The rows of a file; the first that is broken, or is no ``kind``, raises ``InvalidInput``."""
    decoder = msgspec.json.Decoder(kind)
    for row in read_rows(path, tables=False):
        if isinstance(row, Reject):
            raise InvalidInput(f"{path}, {row}", field="path")
        try:
            decoded = decoder.decode(row.data)
        except (ValueError, RecursionError) as error:
            reason = str(error) or "nested too deeply"
            raise InvalidInput(f"{path}, line {row.line}: {reason}", field="path") from error
        yield decoded
