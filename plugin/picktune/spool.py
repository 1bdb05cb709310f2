"""The journal of what was shown while the log was away: a bounded file that outlives the process."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec
from filelock import FileLock, Timeout

from picktune.records import Exposure, Record, Slate

logger = logging.getLogger("picktune")


class _Line(Record, frozen=True, kw_only=True):
    """One of both."""

    slate: Slate | None = None
    exposure: Exposure | None = None


_DECODER = msgspec.json.Decoder(_Line)


class Spool:
    """One file of JSON lines in ``folder`` for each process, of at most ``limit`` bytes.

    Lines are in the system's hands when ``add`` returns: the end of the process loses none of them, a power
    cut may lose the last. A file whose process has gone is taken over by the next that starts. The folder
    is made when it is needed. Safe for several processes, not for several threads.
    """

    def __init__(self, folder: Path, *, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._path: Path | None = None
        self._file: IO[bytes] | None = None
        self._lock: FileLock | None = None
        self.bytes = 0

    def add(self, shown: Slate | Exposure) -> bool:
        """Write it down; ``False`` if there is no room or the file cannot be written."""
        line = msgspec.json.encode(_Line(slate=shown) if isinstance(shown, Slate) else _Line(exposure=shown))
        if self.bytes + len(line) + 1 > self._limit:
            return False
        try:
            file = self._opened()
            if file.write(line + b"\n") != len(line) + 1:
                raise OSError("only a part of the line could be written")
        except (OSError, Timeout) as error:
            logger.warning("the journal in %s cannot be written: %s", self._folder, error)
            self._back()
            return False
        self.bytes += len(line) + 1
        return True

    def clear(self) -> None:
        """All of it is in the log: begin anew."""
        if self._file is not None and self.bytes:
            with suppress(OSError):
                self._file.truncate(0)
            self.bytes = 0

    def left(self) -> Iterator[Slate | Exposure]:
        """What processes that have gone left behind, oldest file first; each file is deleted after its last.

        Lines that were cut off, or are none, are passed over with a warning.
        """
        for path in sorted(self._folder.glob("*.jsonl"), key=_age):
            if path == self._path:
                continue
            lock = FileLock(path.with_suffix(".lock"), timeout=0)
            try:
                with lock:
                    yield from _lines(path)
                    path.unlink(missing_ok=True)
                    path.with_suffix(".lock").unlink(missing_ok=True)
            except Timeout:
                continue  # its process is at work
            except OSError as error:
                logger.error("the journal %s cannot be read: %s", path, error)

    def close(self) -> None:
        """Let go of the file; an empty one is removed."""
        if self._file is None or self._path is None:
            return
        path = self._path
        self._file.close()
        self._file = None
        if not self.bytes:
            path.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.release()
            if not self.bytes:
                path.with_suffix(".lock").unlink(missing_ok=True)

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._folder / f"{os.getpid()}-{secrets.token_hex(4)}.jsonl"
            lock = FileLock(path.with_suffix(".lock"), timeout=0)
            lock.acquire()
            # Unbuffered and for its owner alone: it holds what customers wrote.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL, 0o600)
            self._file = open(descriptor, "wb", buffering=0)  # noqa: SIM115 - kept open
            self._path, self._lock = path, lock
        return self._file

    def _back(self) -> None:
        """Take half a line back, so that the next one begins where a line begins."""
        if self._file is not None:
            with suppress(OSError):
                self._file.truncate(self.bytes)


def _lines(path: Path) -> Iterator[Slate | Exposure]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                found = _DECODER.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                logger.error("line %d of the journal %s is lost: %s", number, path, error)
                continue
            if (shown := found.slate or found.exposure) is not None:
                yield shown


def _age(path: Path) -> tuple[float, str]:
    with suppress(OSError):
        return path.stat().st_mtime, path.name
    return 0.0, path.name
