"""Cells of a CSV file that no spreadsheet takes for a formula, and back.

What a spreadsheet would take for one gets an apostrophe before it (OWASP, "CSV Injection"), and so does a
text that begins with one, so that reading back takes exactly those away.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection

# A formula begins with one of these, also after what nobody sees, and in their full-width forms, which a
# spreadsheet in Chinese or Japanese takes for the same.
_FORMULA = tuple("=+-@＝＋－＠")
_UNSEEN = "ZC"  # the Unicode categories of spaces and of controls
_QUOTE = "'"
_FIRST = ("\t", "\r", "\n", _QUOTE)
_OURS = frozenset({"more_replies", "dwell_seconds", "reply_ids"})


def harmless(cell: str) -> str:
    """The cell, with an apostrophe before it if a spreadsheet could take it for anything but text."""
    seen = next((one for one in cell if unicodedata.category(one)[0] not in _UNSEEN), "")
    return _QUOTE + cell if seen in _FORMULA or cell.startswith(_FIRST) else cell


def as_it_was(cell: str) -> str:
    """What ``harmless`` was given."""
    return cell.removeprefix(_QUOTE)


def are_ours(names: Collection[str]) -> bool:
    """Whether a table with these columns was written here, so that its apostrophes are ours."""
    return set(names) >= _OURS
