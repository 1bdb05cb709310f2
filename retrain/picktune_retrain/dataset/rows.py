"""Rows that lie in a file and are read one at a time, so that a dataset may be larger than the memory."""

from __future__ import annotations

import os
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Generic, TypeVar, overload

import msgspec

T = TypeVar("T")
_CHUNK = 1 << 18


class Rows(Sequence[T], Generic[T]):
    """Rows as lines of JSON in a file: a sequence that holds nothing but where each line lies.

    Every look at a row reads and decodes it again. They equal any rows, tuple or list of the same rows.
    What ``pick_out`` takes of them shares the file, which is let go of with the last of them.
    """

    def __init__(self, file: _File, starts: array[int], lengths: array[int], kind: type[T]) -> None:
        self._file = file
        self._starts = starts
        self._lengths = lengths
        self._kind = kind
        self._decode: Callable[[bytes], T] = msgspec.json.Decoder(kind).decode

    @classmethod
    def open(cls, path: Path, kind: type[T], hear: Callable[[bytes], object] | None = None) -> Rows[T]:
        """The rows of a file that stays as it is; ``hear`` gets its bytes, chunk by chunk, on the way."""
        starts, lengths = array("Q"), array("L")
        with path.open("rb") as file:
            at = 0
            for line in file:
                if hear is not None:
                    hear(line)
                starts.append(at)
                lengths.append(len(line))
                at += len(line)
        return cls(_File(os.open(path, os.O_RDONLY)), starts, lengths, kind)

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> Rows[T]: ...
    def __getitem__(self, place: int | slice) -> T | Rows[T]:
        if isinstance(place, slice):
            return self.pick_out(range(len(self))[place])
        return self._decode(self.line(place))

    def __iter__(self) -> Iterator[T]:
        return map(self._decode, self.lines())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rows | tuple | list):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash((len(self), self._kind))

    def __repr__(self) -> str:
        return f"<{len(self)} rows of {getattr(self._kind, '__name__', self._kind)}>"

    def line(self, place: int) -> bytes:
        """The line of a row, with its end."""
        return self._file.read(self._starts[place], self._lengths[place])

    def lines(self) -> Iterator[bytes]:
        """All of them; what lies together in the file is read together."""
        first = 0
        while first < len(self):
            stop, begin = first + 1, self._starts[first]
            end = begin + self._lengths[first]
            while stop < len(self) and self._starts[stop] == end and end - begin < _CHUNK:
                end += self._lengths[stop]
                stop += 1
            chunk, at = self._file.read(begin, end - begin), 0
            for place in range(first, stop):
                yield chunk[at : at + self._lengths[place]]
                at += self._lengths[place]
            first = stop

    def pick_out(self, places: Iterable[int]) -> Rows[T]:
        """The rows at these places, in this order."""
        starts, lengths = array("Q"), array("L")
        for place in places:
            starts.append(self._starts[place])
            lengths.append(self._lengths[place])
        return Rows(self._file, starts, lengths, self._kind)


class Spool(Generic[T]):
    """Puts rows down in a file that has no name and is gone when nobody looks at its rows any more."""

    def __init__(self, kind: type[T], folder: Path | None = None) -> None:
        self._kind = kind
        self._starts, self._lengths = array("Q"), array("L")
        self._at = 0
        self._writer = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by ``rows``, or with this
        weakref.finalize(self, self._writer.close)

    def add(self, row: T) -> None:
        """Put down one more row."""
        line = msgspec.json.encode(row, order="deterministic") + b"\n"
        self._writer.write(line)
        self._starts.append(self._at)
        self._lengths.append(len(line))
        self._at += len(line)

    def rows(self) -> Rows[T]:
        """All rows, in the order of their coming; nothing can be added after that."""
        with self._writer:
            self._writer.flush()
            file = _File(os.dup(self._writer.fileno()))
        return Rows(file, self._starts, self._lengths, self._kind)


def pick_out(rows: Sequence[T], places: Iterable[int]) -> Sequence[T]:
    """The rows at these places: of rows in a file again such rows, of others a tuple."""
    if isinstance(rows, Rows):
        return rows.pick_out(places)
    return tuple(rows[place] for place in places)


class _File:
    """A descriptor for reading, closed when nobody holds it any more."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)

    def read(self, start: int, length: int) -> bytes:
        """Exactly these bytes; raises ``OSError`` if the file has been cut since."""
        found = os.pread(self._descriptor, length, start)
        while len(found) < length:
            more = os.pread(self._descriptor, length - len(found), start + len(found))
            if not more:
                raise OSError(f"a file of rows ends after {start + len(found)} bytes; it was cut meanwhile")
            found += more
        return found
