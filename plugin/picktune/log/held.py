"""All that a log holds on a person, one JSON value after the other."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from picktune.log.erase import comparisons_of, find_traces
from picktune.log.files import open_for_reading, unavailable
from picktune.log.privacy import Scope

_OF_SLATE = ("candidates", "exposures", "picks", "reactions", "signals", "scores")
_JSON = frozenset(("messages", "pending", "tags", "reasons", "body", "places", "failures", "also", "detail"))
_TIMES = ("_at", "since")


def held(
    path: Path, scope: Scope, ref: str, *, busy_timeout: float = 5.0
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kind and columns of each row, of one moment of the log: conversations, slates with all about them,
    slates of others that the user saw or decided on (without what those said), consents.

    Times are ISO 8601; hashes and salts are left out. Raises ``LogUnavailable``.
    """
    with closing(open_for_reading(path, busy_timeout=busy_timeout)) as connection:
        try:
            connection.execute("BEGIN")
            yield from _held(connection, scope, ref)
        except sqlite3.Error as error:
            raise unavailable(path, error) from error


def _held(connection: sqlite3.Connection, scope: Scope, ref: str) -> Iterator[tuple[str, dict[str, Any]]]:
    found = find_traces(connection, scope, ref)
    for row in _rows(connection, "SELECT * FROM consents WHERE scope = ? AND ref = ?", (scope, ref)):
        yield "consent", row
    for conversation in found.conversations:
        query = (
            "SELECT c.*, (SELECT user_ref FROM conversation_owners WHERE conversation_id = c.id) AS user_ref "
            "FROM conversations c WHERE c.id = ?"
        )
        for row in _rows(connection, query, (conversation,)):
            yield "conversation", row
        for comparison in comparisons_of(connection, conversation):
            (row,) = _rows(connection, "SELECT * FROM comparisons WHERE id = ?", (comparison,))
            yield "comparison", row
    for slate in found.slates:
        query = "SELECT t.* FROM slates s JOIN turns t ON t.id = s.turn_id WHERE s.id = ?"
        (turn,) = _rows(connection, query, (slate,))
        (one,) = _rows(connection, "SELECT * FROM slates WHERE id = ?", (slate,))
        for table in _OF_SLATE:
            one[table] = list(_rows(connection, f"SELECT * FROM {table} WHERE slate_id = ?", (slate,)))
        yield "slate", {**one, "turn": turn}
    if scope == "user":
        for row in _rows(connection, "SELECT * FROM judgements WHERE annotator = ?", (ref,)):
            yield "judgement", row
    for slate in found.elsewhere:
        did: dict[str, Any] = {"slate_id": slate}
        for table in ("exposures", "picks", "reactions", "signals", "scores"):
            name = "viewer" if table == "exposures" else "annotator"
            did[table] = list(
                _rows(connection, f"SELECT * FROM {table} WHERE slate_id = ? AND {name} = ?", (slate, ref))
            )
        yield "decided_on", did


def _rows(connection: sqlite3.Connection, sql: str, values: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    import msgspec

    from picktune.log.rows import moment

    cursor = connection.execute(sql, values)
    names = [one[0] for one in cursor.description]
    for row in cursor:
        told: dict[str, Any] = {}
        for name, value in zip(names, row, strict=True):
            if isinstance(value, bytes) or name.endswith(("salt", "hash")):
                continue
            if name in _JSON and isinstance(value, str):
                value = msgspec.json.decode(value)
            elif name.endswith(_TIMES) and isinstance(value, int):
                value = moment(value).isoformat()
            told[name] = value
        yield told
