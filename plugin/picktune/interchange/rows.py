"""The rows of a file: lines of JSONL, or the elements of one JSON document, each with its line number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from picktune.errors import InvalidInput
from picktune.records import Record

MAX_ROW = 4 * 1024 * 1024
MAX_DOCUMENT = 512 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


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


def read_rows(path: Path) -> Iterator[Row | Reject]:
    """The rows of ``path`` in order, each at most 4 MiB; a row that cannot be read is a ``Reject``.

    A file that starts with ``[``, and a ``.json`` file that is one object, is a JSON document: its rows are
    the elements of its array, or of the arrays under its keys. Anything else is JSONL, read as a stream.
    Raises ``InvalidInput`` if the file cannot be opened, is UTF-16, or is a broken JSON document.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4096)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidInput(f"cannot read {path}: {reason}; check the path", field="path") from error
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InvalidInput(f"{path} is UTF-16; save it as UTF-8 and import it again", field="path")
    text = start.removeprefix(_BOM).lstrip()
    if text.startswith(b"[") or (text.startswith(b"{") and _is_document(path)):
        yield from _elements(path)
    else:
        yield from _lines(path)


def _is_document(path: Path) -> bool:
    """Whether a ``.json`` file is what its name says, rather than one object a line."""
    if path.suffix != ".json":
        return False
    with path.open("rb") as file:
        first = file.readline(MAX_ROW + 1).removeprefix(_BOM)
        more = bool(file.read(65536).strip())
    try:
        msgspec.json.decode(first)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return True
    return not more


def _lines(path: Path) -> Iterator[Row | Reject]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_ROW + 1):
            number += 1
            if number == 1:
                line = line.removeprefix(_BOM)
            if len(line) > MAX_ROW and not line.endswith(b"\n"):
                while line and not line.endswith(b"\n"):
                    line = file.readline(MAX_ROW)
                yield Reject(line=number, reason=f"longer than {MAX_ROW:,} bytes; split the conversation")
            elif line.strip():
                yield _checked(number, line.strip())


def _elements(path: Path) -> Iterator[Row | Reject]:
    if path.stat().st_size > MAX_DOCUMENT:
        raise InvalidInput(
            f"{path} is a JSON document over {MAX_DOCUMENT:,} bytes; save it as JSONL, one row a line",
            field="path",
        )
    whole = path.read_bytes().removeprefix(_BOM)
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
            yield Reject(line=line, reason=f"longer than {MAX_ROW:,} bytes; split the conversation")
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
