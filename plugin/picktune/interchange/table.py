"""The records of a table of text: commas, semicolons or tabs between cells, quoted as RFC 4180 says."""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from picktune.errors import InvalidInput
from picktune.interchange.opened import BOM
from picktune.records import Record

SUFFIXES = (".csv", ".tsv", ".tab")
MAX_RECORD = 4 * 1024 * 1024
_DELIMITERS = ",;\t"


class Line(Record, frozen=True, kw_only=True):
    """One record: its first line, counted from 1, and its cells, or why it has none."""

    line: int
    cells: tuple[str, ...] = ()
    problem: str | None = None


def is_table(path: Path, first: bytes) -> bool:
    """Whether a file that is no JSON is a table: by its name, or because its first line is a header."""
    suffixes = [one.lower() for one in path.suffixes if one.lower() != ".gz"]
    if suffixes and suffixes[-1] in SUFFIXES:
        return True
    names = re.split(rb"[,;\t]", first.removeprefix(BOM).strip())
    return len(names) > 1 and all(re.fullmatch(rb'"?[A-Za-z_][\w .-]*"?', name) for name in names)


def records(file: io.BufferedReader) -> Iterator[Line]:
    """The records of a table, the first of which is its header.

    A record that cannot be read is a ``Line`` with its ``problem``; only its first line is given up, so that
    a quote which is never closed takes nothing else along.
    """
    csv.field_size_limit(MAX_RECORD)
    lines, delimiter = _Lines(file), None
    width: int | None = None
    while (first := lines.next()) is not None:
        number, raw = first
        if not raw.strip():
            continue
        if delimiter is None:
            delimiter = _delimiter(raw)
        taken, problem = [raw], None
        size, quotes = len(raw), raw.count(b'"')
        while quotes % 2 and problem is None:
            more = lines.next()
            if more is None or size > MAX_RECORD:
                problem = "a quote in it is not closed, or it is too long"
            if more is not None:
                taken.append(more[1])
                size, quotes = size + len(more[1]), quotes + more[1].count(b'"')
        if len(raw) > MAX_RECORD:
            problem = f"longer than {MAX_RECORD:,} bytes; split it"
        cells: tuple[str, ...] = ()
        if problem is None:
            cells, problem = _cells(taken, delimiter)
        if problem is None and width is not None and len(cells) != width:
            problem = f"{len(cells)} cells instead of {width}"
        if problem is not None:
            lines.give_back(number + 1, taken[1:])
            yield Line(line=number, problem=problem)
            continue
        width = len(cells) if width is None else width
        yield Line(line=number, cells=cells)


class _Lines:
    """Physical lines with their numbers; those that were read too far can be given back."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self._waiting: deque[bytes] = deque()
        self._number = 0

    def next(self) -> tuple[int, bytes] | None:
        if self._waiting:
            line = self._waiting.popleft()
        else:
            line = self._file.readline(MAX_RECORD + 1)
            if len(line) > MAX_RECORD:  # the rest of it is not kept: its length says that it is too long
                while (part := self._file.readline(MAX_RECORD)) and not part.endswith(b"\n"):
                    pass
        if not line:
            return None
        self._number += 1
        return self._number, line.removeprefix(BOM) if self._number == 1 else line

    def give_back(self, number: int, lines: Sequence[bytes]) -> None:
        self._waiting.extendleft(reversed(lines))
        self._number = number - 1


def _cells(lines: Sequence[bytes], delimiter: str) -> tuple[tuple[str, ...], str | None]:
    try:
        text = b"".join(lines).decode()
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        return (), (
            f"not UTF-8 (byte 0x{byte:02x} at {error.start + 1}); save the file as UTF-8, or name its "
            f"encoding"
        )
    try:
        found = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        return (), str(error)
    if len(found) != 1:
        return (), "a line end outside of quotes"
    return tuple(found[0]), None


def _delimiter(header: bytes) -> str:
    return max(_DELIMITERS, key=lambda one: header.count(one.encode()))


def keyed(names: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    """A record by its columns, without what is empty; raises ``InvalidInput`` for a bad header."""
    twice = [name for name in names if name and names.count(name) > 1]
    if twice:
        raise InvalidInput(f"the column {twice[0]!r} is there twice; name each once", field="path")
    return {name: cell for name, cell in zip(names, cells, strict=True) if name and cell != ""}
