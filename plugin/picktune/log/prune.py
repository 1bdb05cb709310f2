"""Retention: taking old slates that nobody decided on out of the log. Decisions and reactions stay."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from picktune.log import rows
from picktune.log.files import open_for_reading, open_for_writing, unavailable
from picktune.log.validity import aware
from picktune.records import Record

_BATCH = 200
_PAUSE = 0.01  # seconds in which a server that waits can write

# Nobody decided on it, nobody reacted to a reply on it or scored one, and nobody has seen it since.
_FORGOTTEN = """
FROM slates s WHERE s.created_at < :before AND s.rowid > :after
    AND NOT EXISTS (SELECT 1 FROM picks p WHERE p.slate_id = s.id)
    AND NOT EXISTS (SELECT 1 FROM reactions r WHERE r.slate_id = s.id)
    AND NOT EXISTS (SELECT 1 FROM scores c WHERE c.slate_id = s.id)
    AND NOT EXISTS (SELECT 1 FROM exposures e WHERE e.slate_id = s.id AND e.shown_at >= :before)
"""


class Pruned(Record, frozen=True, kw_only=True):
    """How many rows were deleted, or would be: slates with their replies, their turns, and who saw them."""

    slates: int = 0
    candidates: int = 0
    turns: int = 0
    exposures: int = 0


def prunable(path: Path | str, before: datetime, *, busy_timeout: float = 5.0) -> int:
    """How many slates ``prune`` would delete now. Raises as it does."""
    path = Path(path)
    values = {"before": rows.micros(aware(before, "before")), "after": -(2**63)}
    connection = open_for_reading(path, busy_timeout=busy_timeout)
    try:
        count: int = connection.execute(f"SELECT count(*) {_FORGOTTEN}", values).fetchone()[0]
        return count
    except sqlite3.Error as error:
        raise unavailable(path, error) from error
    finally:
        connection.close()


def prune(
    path: Path | str,
    before: datetime,
    *,
    progress: Callable[[int], None] | None = None,
    busy_timeout: float = 5.0,
) -> Pruned:
    """Delete the slates that were drawn before a moment, if nobody decided on them or reacted to them.

    They go a few at a time, so that servers can write in between; cut off, it has deleted whole slates only,
    and can be run again. The room is used again by what is written next. ``progress`` is told how many slates
    are gone. Raises ``LogUnavailable`` if the file is missing, is no log, or cannot be written.
    """
    path = Path(path)
    moment = rows.micros(aware(before, "before"))
    open_for_reading(path, busy_timeout=busy_timeout).close()  # a log that is not there is not made
    connection = open_for_writing(path, busy_timeout=busy_timeout)
    try:
        # Nothing refers to what goes, and looking for that again would read all picks for each reply.
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("PRAGMA secure_delete = ON")
        total, after = Pruned(), -(2**63)
        while True:
            connection.execute("BEGIN IMMEDIATE")
            try:
                gone, after = _delete(connection, moment, after)
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            if not gone.slates:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
                return total
            total = _sum(total, gone)
            if progress is not None:
                progress(total.slates)
            time.sleep(_PAUSE)
    except sqlite3.Error as error:
        raise unavailable(path, error) from error
    finally:
        connection.close()


def _delete(connection: sqlite3.Connection, before: int, after: int) -> tuple[Pruned, int]:
    """What one transaction deletes of the slates whose rowid is above ``after``, and the last such rowid."""
    found = connection.execute(
        f"SELECT s.rowid, s.id, s.turn_id {_FORGOTTEN} ORDER BY s.rowid LIMIT {_BATCH}",
        {"before": before, "after": after},
    ).fetchall()
    if not found:
        return Pruned(), after
    slates = [(slate_id,) for _, slate_id, _ in found]
    turns = [(turn_id,) for turn_id in {turn_id for _, _, turn_id in found}]

    def delete(sql: str, values: list[tuple[str]]) -> int:
        return connection.executemany(f"DELETE FROM {sql}", values).rowcount

    delete("signals WHERE slate_id = ?", slates)
    delete("campaign_slates WHERE slate_id = ?", slates)
    pruned = Pruned(
        exposures=delete("exposures WHERE slate_id = ?", slates),
        candidates=delete("candidates WHERE slate_id = ?", slates),
        slates=delete("slates WHERE id = ?", slates),
        turns=delete(
            "turns WHERE id = ? AND NOT EXISTS (SELECT 1 FROM slates s WHERE s.turn_id = turns.id)", turns
        ),
    )
    return pruned, found[-1][0]


def _sum(one: Pruned, other: Pruned) -> Pruned:
    return Pruned(**{name: getattr(one, name) + getattr(other, name) for name in Pruned.__struct_fields__})
