"""Rows as they are stored, with all that a hash covers: for making the hash, and for checking it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from picktune.log import rows
from picktune.log.chain import LINK, PICKS, SLATE_SEAL, Chain


def slate_rows(
    connection: sqlite3.Connection, tail: str = "", values: rows.Row = ()
) -> Iterator[tuple[rows.Row, rows.Row, list[rows.Row], rows.Row]]:
    """Slates with their turn, candidates and seal, as they are stored; ``tail`` selects and orders ``s``."""
    of_slate, of_turn = rows.SLATE.count(",") + 1, rows.TURN.count(",") + 1
    found = connection.execute(
        f"SELECT {_of('s', rows.SLATE)}, {_of('t', rows.TURN)}, {_of('s', SLATE_SEAL)} "
        f"FROM slates s LEFT JOIN turns t ON t.id = s.turn_id {tail}",
        values,
    )
    for row in found:
        candidates = connection.execute(
            f"SELECT {rows.CANDIDATE} FROM candidates WHERE slate_id = ? ORDER BY place", row[:1]
        ).fetchall()
        yield row[:of_slate], row[of_slate : of_slate + of_turn], candidates, row[of_slate + of_turn :]


def chain_rows(
    connection: sqlite3.Connection, chain: Chain, tail: str = "", values: rows.Row = ()
) -> Iterator[tuple[int, rows.Row, rows.Row, rows.Row]]:
    """Id, row, link and what the hash is about of a table's rows; ``tail`` selects and orders ``r``."""
    shown = ", e.places, e.shown_at" if chain is PICKS else ""
    exposure = "LEFT JOIN exposures e ON e.slate_id = r.slate_id AND e.viewer = r.annotator"
    width = chain.columns.count(",") + 1
    found = connection.execute(
        f"SELECT r.id, {_of('r', chain.columns)}, {_of('r', LINK)}, s.hash{shown} "
        f"FROM {chain.table} r LEFT JOIN slates s ON s.id = r.slate_id "
        f"{exposure if shown else ''} {tail}",
        values,
    )
    for row in found:
        rest = row[1 + width :]
        yield row[0], row[1 : 1 + width], rest[: -chain.about], rest[-chain.about :]


def _of(alias: str, columns: str) -> str:
    return ", ".join(f"{alias}.{column}" for column in columns.split(", "))
