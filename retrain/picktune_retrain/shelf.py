"""Where encoded sets wait for their turn: their tokens in a file, their measure in memory."""

from __future__ import annotations

import errno
import os
import tempfile
import weakref
from pathlib import Path
from typing import Any

import msgspec

from picktune_retrain.encoding import EncodedSet

_Content = tuple[str, tuple[int, ...], tuple[tuple[int, ...], ...]]
_AT_HAND = 64


class Shelf:
    """A file without a name in ``folder`` (the system's for temporary files unless given).

    It is gone with the last set that lies in it. What was looked at last is kept at hand.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed with the shelf
        weakref.finalize(self, self._file.close)
        self._end = 0
        self._at_hand: dict[int, _Content] = {}
        self._decode = msgspec.msgpack.Decoder(_Content).decode

    def put(self, one: EncodedSet) -> EncodedSet:
        """Put down a set; what comes back is the same one, and reads its tokens when asked for them."""
        content = msgspec.msgpack.encode((one.slate_id, one.prompt, one.replies))
        if os.pwrite(self._file.fileno(), content, self._end) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        put = _PutDown.of(one, self, self._end, len(content))
        self._end += len(content)
        return put

    def take(self, start: int, length: int) -> _Content:
        """The id, the prompt and the replies that lie there."""
        found = self._at_hand.get(start)
        if found is None:
            found = self._decode(os.pread(self._file.fileno(), length, start))
            if len(self._at_hand) >= _AT_HAND:
                del self._at_hand[next(iter(self._at_hand))]
            self._at_hand[start] = found
        return found


class _PutDown(EncodedSet):
    """An encoded set whose tokens lie on a shelf; made anew with other fields, it is a plain one."""

    __slots__ = ("_count", "_length", "_longest", "_shelf", "_start")
    _shelf: Shelf
    _start: int
    _length: int
    _count: int
    _longest: int

    def __new__(cls, **fields: Any) -> EncodedSet:  # type: ignore[misc]
        return EncodedSet(**fields)

    @classmethod
    def of(cls, one: EncodedSet, shelf: Shelf, start: int, length: int) -> _PutDown:
        put = object.__new__(cls)
        fields = {name: getattr(one, name) for name in _KEPT}
        fields |= {"_shelf": shelf, "_start": start, "_length": length}
        fields |= {"_count": one.tokens, "_longest": one.longest}
        for name, value in fields.items():
            object.__setattr__(put, name, value)
        return put

    @property
    def slate_id(self) -> str:
        return self._shelf.take(self._start, self._length)[0]

    @property
    def prompt(self) -> tuple[int, ...]:
        return self._shelf.take(self._start, self._length)[1]

    @property
    def replies(self) -> tuple[tuple[int, ...], ...]:
        return self._shelf.take(self._start, self._length)[2]

    @property
    def tokens(self) -> int:
        return self._count

    @property
    def longest(self) -> int:
        return self._longest

    def __eq__(self, other: object) -> bool:
        return self._plain() == (other._plain() if isinstance(other, _PutDown) else other)

    def __hash__(self) -> int:
        return hash(self._plain())

    def _plain(self) -> EncodedSet:
        content = dict(
            zip(("slate_id", "prompt", "replies"), self._shelf.take(self._start, self._length), strict=True)
        )
        return EncodedSet(**content, **{name: getattr(self, name) for name in _KEPT})  # type: ignore[arg-type]


_KEPT = tuple(
    name for name in EncodedSet.__dataclass_fields__ if name not in ("slate_id", "prompt", "replies")
)
