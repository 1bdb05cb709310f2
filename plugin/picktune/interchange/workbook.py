"""The first sheet of an .xlsx workbook, row by row, as it is read and written; needs the extra ``xlsx``.

A cell of Excel holds 32,767 characters and not all of them: what does not fit goes on in a sheet of its own,
and what may not be there is written as ``_x000B_``, as ECMA-376 (part 1, 22.4.2.4, ``bstr``) says.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from picktune.errors import InvalidInput, MissingExtra
from picktune.interchange.table import keyed

MAX_ROWS = 1_048_576
# Excel counts in UTF-16, so that a character may take two of its 32,767, or seven where it is escaped.
_CELL = 16_000
_ESCAPABLE = 4_500
_MORE = "more text"
_ILLEGAL = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")


class Workbook:
    """A workbook that is written row by row; ``write`` gets its bytes when it is closed."""

    def __init__(self, names: Sequence[str], write: Callable[[bytes], object]) -> None:
        self._write = write
        self._book = _openpyxl().Workbook(write_only=True)
        self._sheet = self._book.create_sheet("picks")
        self._more = self._book.create_sheet(_MORE)
        self._rows = 0
        self.add(names)

    def add(self, cells: Sequence[str]) -> None:
        """Append a row of text; raises ``InvalidInput`` when a sheet is full."""
        self._rows += 1
        if self._rows > MAX_ROWS:
            raise InvalidInput(
                f"a sheet holds {MAX_ROWS:,} rows; export csv or parquet, or less at once", field="format"
            )
        row = []
        for column, cell in enumerate(cells):
            parts = list(_parts(cell))
            row.append(self._text(parts[0], self._sheet))
            for part in parts[1:]:
                self._more.append([self._rows, column, self._text(part, self._more)])
        self._sheet.append(row)

    def close(self) -> None:
        """Write all of it."""
        with tempfile.TemporaryFile() as file:
            self._book.save(file)
            file.seek(0)
            while part := file.read(1 << 20):
                self._write(part)

    def _text(self, text: str, sheet: Any) -> Any:
        from openpyxl.cell import WriteOnlyCell

        # A text stays a text: openpyxl takes one that begins with '=' for a formula otherwise.
        cell = WriteOnlyCell(sheet, value=None)
        cell.value = _ILLEGAL.sub(lambda found: f"_x{ord(found[0]):04X}_", text)
        cell.data_type = "s"
        return cell


def read_sheet(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows beneath the header of the first sheet, by the names of its columns, with their numbers.

    Empty cells are left out; numbers and dates become text. Raises ``InvalidInput``.
    """
    openpyxl = _openpyxl()
    file = path.open("rb")  # for openpyxl goes by the name otherwise
    try:
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
    except (BadZipFile, KeyError, ValueError, OSError, TypeError) as error:
        file.close()
        raise InvalidInput(
            f"{path} is a zip archive or a broken workbook ({error}); unpack it, or save it as .xlsx again",
            field="path",
        ) from error
    try:
        more: dict[tuple[int, int], str] = {}
        if _MORE in book.sheetnames[1:]:
            for number, column, text in book[_MORE].iter_rows(values_only=True, max_col=3):
                key = int(number), int(column)
                more[key] = more.get(key, "") + _said(text)
        rows = book.worksheets[0].iter_rows(values_only=True)
        names = [_said(one).strip() for one in next(rows, ())]
        for number, row in enumerate(rows, 2):
            cells = [_said(one) + more.get((number, column), "") for column, one in enumerate(row)]
            if any(cells):
                cells += [""] * (len(names) - len(cells))
                yield number, keyed(names, cells[: len(names)])
    finally:
        book.close()
        file.close()


def _parts(text: str) -> Iterator[str]:
    step = _ESCAPABLE if _ILLEGAL.search(text) else _CELL
    yield text[:step]
    for start in range(step, len(text), step):
        yield text[start : start + step]


def _said(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), str(value))


def _openpyxl() -> Any:
    try:
        import openpyxl
    except ImportError as error:
        raise MissingExtra("a workbook (.xlsx)", "xlsx") from error
    return openpyxl
