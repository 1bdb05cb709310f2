"""What a format that picks are written in has to offer, and the table of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from picktune.errors import InvalidInput
from picktune.interchange import (
    argilla,
    choice,
    flat,
    label_studio,
    langfuse,
    lmarena,
    open_webui,
    openai_preference,
    parquet,
    sft,
    spreadsheet,
    tensorzero,
    trl_edits,
    trl_kto,
    trl_preference,
    xlsx,
)
from picktune.interchange.exchange import Takes
from picktune.records import DecidedSlate, ReactedReply

Evidence = DecidedSlate | ReactedReply


class Exporter(Protocol):
    """One format; a module is one if it has these names."""

    SUMMARY: str
    """One line for the help."""
    TAKES: Takes
    """What it makes rows of."""
    START: bytes
    """What a file begins with, before its first row."""

    def rows(self, evidence: Any, /) -> Iterator[Any]:
        """The rows that one decision or reaction gives: none, one or several records."""
        ...

    def encode(self, row: Any, /) -> bytes:
        """One row as it stands in the file, with its line end."""
        ...

    def read(self, path: Path, /) -> Iterator[Any]:
        """The rows of a file that was written so; raises ``InvalidInput``, naming the line."""
        ...


class RowWriter(Protocol):
    """What writes a file that is not simply one row after the other; such a module has it as ``Writer``."""

    def __init__(self, write: Callable[[bytes], object]) -> None: ...

    def add(self, row: Any, /) -> None:
        """Append a row."""
        ...

    def close(self) -> None:
        """Write what is left."""
        ...


class _Plain:
    """One row after the other, or the elements of one array."""

    def __init__(self, exporter: Exporter, write: Callable[[bytes], object]) -> None:
        self._encode, self._write = exporter.encode, write
        self._array = exporter.START == ARRAY
        self._empty = True
        if exporter.START:
            write(exporter.START)

    def add(self, row: Any) -> None:
        data = self._encode(row)
        self._write(b"," + data if self._array and not self._empty else data)
        self._empty = False

    def close(self) -> None:
        if self._array:
            self._write(b"]\n")


def writer_of(exporter: Exporter, write: Callable[[bytes], object]) -> RowWriter:
    """What puts the exporter's rows into a file whose bytes go to ``write``."""
    kind: type[RowWriter] | None = getattr(exporter, "Writer", None)
    return _Plain(exporter, write) if kind is None else kind(write)


EXPORTERS: Mapping[str, Exporter] = {
    "choice": choice,
    "trl-preference": trl_preference,
    "trl-edits": trl_edits,
    "trl-kto": trl_kto,
    "sft": sft,
    "openai-preference": openai_preference,
    "lmarena": lmarena,
    "csv": spreadsheet,
    "jsonl": flat,
    "xlsx": xlsx,
    "parquet": parquet,
    "open-webui": open_webui,
    "tensorzero": tensorzero,
    "langfuse": langfuse,
    "argilla": argilla,
    "label-studio": label_studio,
}
ARRAY = b"[\n"
"""What a format starts with whose rows are the elements of one JSON array."""


def exporter_named(name: str) -> Exporter:
    """The format of that name; raises ``InvalidInput``, naming the known ones."""
    try:
        return EXPORTERS[name]
    except KeyError:
        raise InvalidInput(
            f"no export format named {name!r}; choose one of {', '.join(EXPORTERS)}", field="format"
        ) from None
