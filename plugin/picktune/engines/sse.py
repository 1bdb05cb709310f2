"""Server-sent events as they come in: bytes in pieces of any size, events out."""

from __future__ import annotations

import re

from picktune.errors import EngineError
from picktune.records import Record

# What one event may hold; a token's chunk has some 300 bytes, with log-probabilities some 3,000.
MOST = 1024 * 1024
_END = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"


class Event(Record, frozen=True, kw_only=True):
    """One event; ``kind`` is its ``event`` field, by default ``message``."""

    data: str
    kind: str = "message"


class EventTooLarge(EngineError):
    """A line or an event goes on and on."""


class EventParser:
    """Reads a stream of events; ``feed`` it with pieces wherever they were cut.

    As HTML's standard has it (section 9.2.6, "Interpreting an event stream"): lines end with CRLF, LF or CR,
    a byte order mark at the beginning is dropped, lines of data are joined with LF, comments, unknown fields
    and events without data are passed over, what is no UTF-8 is read as U+FFFD, and an event that is not
    ended by an empty line is none. Beyond the standard, an event or a line of more than ``most`` bytes raises
    ``EventTooLarge``. The fields ``id`` and ``retry`` are for browsers that connect again, and are passed
    over as well.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._rest: list[bytes] = []  # a line that has not ended, as it came
        self._rest_size = 0
        self._data: list[bytes] = []
        self._data_size = 0
        self._kind = b""
        self._began = False
        self._after_cr = False

    def feed(self, piece: bytes) -> list[Event]:
        """The events that end in this piece."""
        if self._after_cr and piece:
            piece = piece.removeprefix(b"\n")
            self._after_cr = False
        if not piece:
            return []
        *lines, rest = _END.split(piece)
        events = []
        if lines:
            # A CR at the very end has ended its line; should an LF follow, it belongs to it.
            self._after_cr = piece.endswith(b"\r")
            lines[0] = b"".join([*self._rest, lines[0]])
            self._rest, self._rest_size = [], 0
            for line in lines:
                if (event := self._line(line)) is not None:
                    events.append(event)
        if rest:
            self._rest.append(rest)
            self._rest_size += len(rest)
            self._check()
        return events

    def _line(self, line: bytes) -> Event | None:
        if not self._began:
            self._began = True
            line = line.removeprefix(_BOM)
        if not line:
            return self._event()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._data_size += len(value) + 1
        elif name == b"event":
            self._kind = value
        self._check()
        return None

    def _event(self) -> Event | None:
        data, kind = self._data, self._kind
        self._data, self._data_size, self._kind = [], 0, b""
        return Event(data=_text(b"\n".join(data)), kind=_text(kind) or "message") if data else None

    def _check(self) -> None:
        if self._rest_size + self._data_size + len(self._kind) > self._most:
            raise EventTooLarge(
                f"the server sent more than {self._most:,} bytes that are no whole event; look into its log"
            )


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")
