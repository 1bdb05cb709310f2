"""The table of ``csv`` as an .xlsx workbook; needs the extra ``xlsx``. Every cell is text, so none is run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import structs

from picktune.errors import InvalidInput
from picktune.interchange.exchange import Takes
from picktune.interchange.jsonl import encode
from picktune.interchange.spreadsheet import NAMES, SheetRow, rows
from picktune.interchange.workbook import Workbook, read_sheet

__all__ = ["START", "SUMMARY", "TAKES", "Writer", "encode", "read", "rows"]

SUMMARY = "the table of csv as a workbook for Excel (extra 'xlsx')"
TAKES: Takes = ("decisions",)
START = b""


class Writer:
    """A workbook that is written row by row; ``write`` gets its bytes at the end."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._book = Workbook(NAMES, write)

    def add(self, row: SheetRow) -> None:
        """Append a row."""
        self._book.add(structs.astuple(row))

    def close(self) -> None:
        """Write all of it."""
        self._book.close()


def read(path: Path) -> Iterator[SheetRow]:
    """The rows of a file; see ``Exporter``."""
    for number, cells in read_sheet(path):
        if not cells.keys() <= set(NAMES):
            raise InvalidInput(f"{path}, row {number} has other columns than a picktune export", field="path")
        yield SheetRow(**cells)
