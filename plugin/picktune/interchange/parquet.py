"""Choice sets as a Parquet file: the rows of ``choice``, in columns; needs the extra ``parquet``.

Whatever reads Parquet (pandas, DuckDB, ``datasets``) reads it, and ``picktune import`` takes it as it takes
``choice``: nothing is lost.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from picktune.errors import InvalidInput, MissingExtra
from picktune.interchange.choice import ChoiceRow, rows
from picktune.interchange.exchange import Takes
from picktune.interchange.jsonl import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["START", "SUMMARY", "TAKES", "Writer", "encode", "read", "read_table", "rows"]

SUMMARY = "the same as choice, as a Parquet file (extra 'parquet'); picktune import reads it"
TAKES: Takes = ("decisions",)
START = b""

_GROUP = 500  # rows that are in memory at once


class Writer:
    """A Parquet file that is written row by row; ``write`` gets its bytes as they are ready."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._arrow = _pyarrow()
        self._schema = _schema(self._arrow)
        self._file = self._arrow.parquet.ParquetWriter(_Sink(write), self._schema, compression="zstd")
        self._waiting: list[dict[str, Any]] = []

    def add(self, row: ChoiceRow) -> None:
        """Append a row."""
        self._waiting.append(msgspec.to_builtins(row, builtin_types=(datetime,)))
        if len(self._waiting) >= _GROUP:
            self._flush()

    def close(self) -> None:
        """Write what is left."""
        if self._waiting:
            self._flush()
        self._file.close()

    def _flush(self) -> None:
        self._file.write_table(self._arrow.Table.from_pylist(self._waiting, schema=self._schema))
        self._waiting.clear()


def read(path: Path) -> Iterator[ChoiceRow]:
    """The rows of a file; see ``Exporter``."""
    for number, values in read_table(path):
        try:
            yield msgspec.convert(values, ChoiceRow, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidInput(f"{path}, line {number}: {error}", field="path") from error


def read_table(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of any Parquet file as objects, counted from 1; raises ``InvalidInput``."""
    arrow = _pyarrow()
    try:
        with arrow.parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(batch_size=_GROUP):
                for values in batch.to_pylist():
                    number += 1
                    yield number, values
    except (arrow.ArrowException, OSError) as error:
        raise InvalidInput(f"{path} is no Parquet file that can be read: {error}", field="path") from error


class _Sink(io.RawIOBase):
    """A file for pyarrow that hands on what is written to it."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._on = write

    def writable(self) -> bool:
        return True

    def write(self, data: Sequence[int]) -> int:  # type: ignore[override]
        taken = bytes(data)
        self._on(taken)
        return len(taken)


def _schema(arrow: Any) -> Any:
    text, number, texts = arrow.string(), arrow.int64(), arrow.list_(arrow.string())
    moment = arrow.timestamp("us", tz="UTC")
    message = arrow.struct({"role": text, "content": text})
    reply = arrow.struct(
        {
            "id": text,
            "place": number,
            "arm": text,
            "kind": text,
            "model": text,
            "text": text,
            "position": number,
            "propensity": arrow.float64(),
            "tokens": number,
            "latency": arrow.float64(),
            "finish_reason": text,
            "also": texts,
        }
    )
    special = {
        "messages": arrow.list_(message),
        "replies": arrow.list_(reply),
        "aliases": arrow.struct({"champion": text, "challenger": text, "seen_at": moment}),
        "complete": arrow.bool_(),
        **dict.fromkeys(("reasons", "tags", "failures"), texts),
        **dict.fromkeys(("chosen", "dwell_ms", "seed"), number),
        **dict.fromkeys(("asked_at", "drawn_at", "shown_at", "decided_at"), moment),
    }
    return arrow.schema([(name, special.get(name, text)) for name in ChoiceRow.__struct_fields__])


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra("Parquet", "parquet") from error
    return pyarrow
