"""The breakdowns of the support rate as CSV, for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from picktune.interchange.cells import harmless
from picktune.support import Share, Support

COLUMNS = ("adapter", "by", "group", "wins", "picks", "rate", "low", "high", "simulated")


def sheet(supports: Iterable[Support], by: Iterable[str]) -> bytes:
    """One line for each comparison (``by`` is ``all``) and each of its groups; rates are shares from 0 to 1.

    The base against itself has no adapter. Names that a spreadsheet could take for a formula are quoted.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for one in supports:
        adapter, simulated = harmless(one.model or ""), "yes" if one.simulated else "no"
        rows: list[tuple[str, Share | Support]] = [("all", one)]
        rows += [(name, share) for name in by for share in getattr(one, f"by_{name}")]
        for name, row in rows:
            group = harmless(row.name) if isinstance(row, Share) else ""
            rate = "" if row.rate is None else f"{row.rate:.6f}"
            figures = (row.wins, row.n, rate, f"{row.low:.6f}", f"{row.high:.6f}")
            writer.writerow((adapter, name, group, *figures, simulated))
    return text.getvalue().encode()
