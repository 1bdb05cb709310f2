"""The rows of a file with their numbers: lines of JSONL, elements of a JSON document, records of a table."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from picktune.errors import InvalidInput
from picktune.interchange.cells import are_ours, as_it_was
from picktune.interchange.opened import BOM, Content, content, opened
from picktune.interchange.table import is_table, keyed, records
from picktune.records import Record

MAX_ROW = 4 * 1024 * 1024
MAX_DOCUMENT = 512 * 1024 * 1024
TOO_LONG = f"longer than {MAX_ROW:,} bytes; split the conversation"


class Row(Record, frozen=True, kw_only=True):
    """One row, not yet understood: its first line, counted from 1, and its bytes, which are UTF-8."""

    line: int
    data: bytes


class Reject(Record, frozen=True, kw_only=True):
    """A row that did not go in, and why; ``id`` is the row's own where it got far enough to have one."""

    line: int
    reason: str
    id: str | None = None

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


def read_rows(path: Path, *, encoding: str | None = None, tables: bool = True) -> Iterator[Row | Reject]:
    """The rows of ``path`` in order, each at most 4 MiB; a row that cannot be read is a ``Reject``.

    A file that starts with ``[``, and a ``.json`` file that is one object, is a JSON document: its rows are
    the elements of its array, or of the arrays under its keys. A table (CSV with commas, semicolons or tabs,
    an .xlsx workbook, Parquet) gives an object a row, by the names of its columns; in the first two every
    value is text, and an empty one is left out. With ``tables`` false there is none of those. Anything else
    is JSONL, read as a stream. A text may be gzip, and in UTF-16 with its mark or in ``encoding``. Raises
    ``InvalidInput`` if the file cannot be opened or is a broken JSON document.
    """
    with opened(path, encoding) as file:
        kind = content(path, file)
        if kind != "text":
            yield from _tables(path, kind)
            return
        start = file.peek(4096)
        text = start.removeprefix(BOM).lstrip()
        if text.startswith(b"[") or (text.startswith(b"{") and _is_document(path, encoding)):
            yield from _elements(path, file)
        elif tables and not text.startswith(b"{") and is_table(path, start.split(b"\n", 1)[0]):
            yield from _records(file)
        else:
            yield from _lines(file)


def _is_document(path: Path, encoding: str | None) -> bool:
    """Whether a ``.json`` file is what its name says, rather than one object a line."""
    if ".json" not in path.suffixes:
        return False
    with opened(path, encoding) as file:
        first = file.readline(MAX_ROW + 1).removeprefix(BOM)
        more = bool(file.read(65536).strip())
    try:
        msgspec.json.decode(first)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return True
    return not more


def _tables(path: Path, kind: Content) -> Iterator[Row | Reject]:
    if kind == "parquet":
        from picktune.interchange.parquet import read_table

        found = read_table(path)
    else:
        from picktune.interchange.workbook import read_sheet

        found = read_sheet(path)
    for line, values in found:
        data = msgspec.json.encode(values)
        if len(data) > MAX_ROW:
            yield Reject(line=line, reason=TOO_LONG)
        else:
            yield Row(line=line, data=data)


def _records(file: io.BufferedReader) -> Iterator[Row | Reject]:
    names: tuple[str, ...] | None = None
    ours = False
    for record in records(file):
        if record.problem is not None:
            yield Reject(line=record.line, reason=record.problem)
        elif names is None:
            names = tuple(name.strip() for name in record.cells)
            ours = are_ours(names)
        else:
            cells = tuple(map(as_it_was, record.cells)) if ours else record.cells
            yield Row(line=record.line, data=msgspec.json.encode(keyed(names, cells)))


def _lines(file: io.BufferedReader) -> Iterator[Row | Reject]:
    number = 0
    while line := file.readline(MAX_ROW + 1):
        number += 1
        if number == 1:
            line = line.removeprefix(BOM)
        if len(line) > MAX_ROW and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_ROW)
            yield Reject(line=number, reason=TOO_LONG)
        elif line.strip():
            yield _checked(number, line.strip())


def _elements(path: Path, file: io.BufferedReader) -> Iterator[Row | Reject]:
    whole = file.read(MAX_DOCUMENT + 1).removeprefix(BOM)
    if len(whole) > MAX_DOCUMENT:
        raise InvalidInput(
            f"{path} is a JSON document over {MAX_DOCUMENT:,} bytes; save it as JSONL, one row a line",
            field="path",
        )
    try:
        whole.decode()
        # Everything is decoded once, so that a document that breaks off half-way puts no half of it in.
        msgspec.json.decode(whole)
        found = _arrays(whole)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"{path} is no JSON document: {error}; mend it there", field="path") from error
    offset, line = 0, 1
    for element in found:
        at = whole.index(element, offset)
        line += whole.count(b"\n", offset, at)
        offset = at
        if len(element) > MAX_ROW:
            yield Reject(line=line, reason=TOO_LONG)
        else:
            yield Row(line=line, data=element)
        line += whole.count(b"\n", offset, offset + len(element))
        offset += len(element)


def _arrays(whole: bytes) -> Sequence[bytes]:
    if whole.lstrip().startswith(b"["):
        return [bytes(raw) for raw in msgspec.json.decode(whole, type=list[msgspec.Raw])]
    parts = msgspec.json.decode(whole, type=dict[str, msgspec.Raw])
    if not all(bytes(part).startswith(b"[") for part in parts.values()):
        return [whole.strip()]
    return [
        bytes(raw) for part in parts.values() for raw in msgspec.json.decode(part, type=list[msgspec.Raw])
    ]


def _checked(number: int, line: bytes) -> Row | Reject:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        byte = line[error.start]
        return Reject(
            line=number, reason=f"not UTF-8 (byte 0x{byte:02x} at {error.start + 1}); save the file as UTF-8"
        )
    return Row(line=number, data=line)
