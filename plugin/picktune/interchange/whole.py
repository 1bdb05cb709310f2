"""A file that appears when it is whole, written row by row and hashed on the way."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from picktune_adapters.disk import sync_folder, temporary_beside

from picktune.errors import InvalidInput

_CHUNK = 1 << 16


class WholeFile:
    """Rows go to a temporary file beside ``path``; ``keep`` puts it there durably, and nothing else does.

    What was there before stays until then. Readable for its owner alone, for it holds what customers wrote.
    A link is followed, so that it stays one. Raises ``InvalidInput`` if ``path`` is no place for a file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve() if path.is_symlink() else path
        if path.exists() and not path.is_file():
            raise InvalidInput(f"{path} is no regular file; name a file, or none for stdout", field="path")
        if not self.path.parent.is_dir():
            raise InvalidInput(f"the folder {self.path.parent} is not there; make it first", field="path")
        self.size = 0
        self._digest = hashlib.sha256()
        self._waiting = bytearray()
        self._temporary = temporary_beside(self.path)
        self._file: BinaryIO = os.fdopen(
            os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What was kept is closed already; of anything else nothing stays, whether it can be written or not.
        with suppress(OSError):
            self._file.close()
        self._temporary.unlink(missing_ok=True)

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of everything written so far."""
        self._pass_on()
        return self._digest.hexdigest()

    def write(self, data: bytes) -> None:
        """Append bytes; raises ``OSError``, saying what to do, if there is no room."""
        self._waiting += data
        self.size += len(data)
        if len(self._waiting) >= _CHUNK:  # hashing and writing each of a million rows takes longer
            self._pass_on()

    def sync(self) -> None:
        """Make what was written durable, under its temporary name; raises as ``write`` does."""
        self._pass_on()
        with self._explaining():
            self._file.flush()
            os.fsync(self._file.fileno())

    def keep(self) -> None:
        """Put the file in its place."""
        self.sync()
        self._file.close()
        self._temporary.replace(self.path)
        sync_folder(self.path.parent)

    def _pass_on(self) -> None:
        waiting, self._waiting = self._waiting, bytearray()
        with self._explaining():
            self._file.write(waiting)
        self._digest.update(waiting)

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._explained(error) from error

    def _explained(self, error: OSError) -> OSError:
        text = f"{error.strerror}; nothing of it was written: make room, or name another place"
        return OSError(error.errno, text, str(self.path))
