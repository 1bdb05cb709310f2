"""The list of the rows that did not go in: said on the screen up to a point, and all in a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from picktune.errors import InvalidInput
from picktune.interchange.rows import Reject
from picktune.interchange.whole import WholeFile

SAID = 20


class Rejects:
    """Takes rejects of ``source``; the file at ``path`` appears at the end, if there were any.

    The first twenty are handed to ``say`` too. A list of an earlier import is replaced.
    """

    def __init__(self, source: Path, path: Path, *, say: Callable[[str], None]) -> None:
        self.source = source
        self.path = path
        self.count = 0
        self._say = say
        self._file: WholeFile | None = None
        self._unlisted = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            with self._file as file:
                file.keep()
            if self.count > SAID:
                self._say(f"{self.source}: and {self.count - SAID} more; all are in {self.path}")

    def add(self, reject: Reject) -> None:
        """Keep one; where the file cannot be written, all are said."""
        self.count += 1
        if self._file is None and not self._unlisted:
            try:
                self._file = WholeFile(self.path)
            except (InvalidInput, OSError) as error:
                self._unlisted = True
                self._say(f"no list of what is refused: {error}; name another file with --rejects")
        if self._file is not None:
            self._file.write(msgspec.json.encode(reject) + b"\n")
        if self._file is None or self.count <= SAID:
            self._say(f"{self.source}: {reject}")

    @property
    def listed(self) -> str:
        """Where they are listed, for the last line."""
        return "" if self._file is None else f" (listed in {self.path})"
