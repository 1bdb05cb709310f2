"""Retention by kind: what of the log is no evidence once it is old. Picks and reactions always stay."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from picktune.log import rows
from picktune.log.files import open_for_reading, open_for_writing, unavailable
from picktune.log.prune import prunable, prune
from picktune.log.validity import aware

Kind = Literal["slates", "exposures", "conversations", "aliases"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_BATCH = 200
_PAUSE = 0.01  # seconds in which a server that waits can write


@dataclass(frozen=True, slots=True)
class _Rule:
    """Which rows go (``found`` gives their key), and what is deleted for each key, if that is still so."""

    found: str
    deletes: tuple[str, ...]


_RULES: dict[Kind, _Rule] = {
    # That somebody saw a slate is evidence if they decided, reacted, scored or did anything else with it.
    "exposures": _Rule(
        found="""
SELECT e.slate_id, e.viewer FROM exposures e WHERE e.shown_at < :before
    AND NOT EXISTS (SELECT 1 FROM picks p WHERE p.slate_id = e.slate_id AND p.annotator = e.viewer)
    AND NOT EXISTS (SELECT 1 FROM reactions r WHERE r.slate_id = e.slate_id AND r.annotator = e.viewer)
    AND NOT EXISTS (SELECT 1 FROM scores c WHERE c.slate_id = e.slate_id AND c.annotator = e.viewer)
    AND NOT EXISTS (SELECT 1 FROM signals n WHERE n.slate_id = e.slate_id AND n.annotator = e.viewer)
""",
        deletes=(
            "DELETE FROM exposures WHERE slate_id = :key AND viewer = :more AND NOT EXISTS ("
            "SELECT 1 FROM picks p WHERE p.slate_id = :key AND p.annotator = :more)",
        ),
    ),
    # A decision holds what was said before it; of its conversation it needs the scenario alone.
    "conversations": _Rule(
        found="""
SELECT v.id, NULL FROM conversations v WHERE v.status = 'closed' AND v.updated_at < :before
    AND (v.scenario IS NULL OR NOT EXISTS (
        SELECT 1 FROM turns t JOIN slates s ON s.turn_id = t.id JOIN picks p ON p.slate_id = s.id
        WHERE t.conversation_id = v.id))
""",
        deletes=(
            "DELETE FROM sent_replies WHERE conversation_id = :key AND EXISTS ("
            "SELECT 1 FROM conversations WHERE id = :key AND status = 'closed' AND updated_at < :before)",
            "DELETE FROM conversations WHERE id = :key AND status = 'closed' AND updated_at < :before",
        ),
    ),
    # What the aliases named counts as long as it did when a slate was drawn that somebody decided on.
    "aliases": _Rule(
        found="""
SELECT a.id, NULL FROM (
    SELECT id, seen_at, lead(seen_at) OVER (ORDER BY seen_at, id) AS until FROM alias_changes) a
WHERE a.until < :before AND NOT EXISTS (
    SELECT 1 FROM slates s WHERE s.created_at >= a.seen_at AND s.created_at < a.until
        AND EXISTS (SELECT 1 FROM picks p WHERE p.slate_id = s.id))
    AND a.id <> (SELECT max(id) FROM alias_changes)
""",
        deletes=("DELETE FROM alias_changes WHERE id = :key",),
    ),
}


def expired(
    path: Path | str, before: datetime, kinds: Sequence[Kind], *, busy_timeout: float = 5.0
) -> dict[Kind, int]:
    """How many of each kind ``expire`` would delete now. Raises as it does."""
    path = Path(path)
    values = {"before": rows.micros(aware(before, "before"))}
    found: dict[Kind, int] = {}
    connection = open_for_reading(path, busy_timeout=busy_timeout)
    try:
        for kind in kinds:
            if kind == "slates":
                found[kind] = prunable(path, before, busy_timeout=busy_timeout)
            else:
                sql = f"SELECT count(*) FROM ({_RULES[kind].found})"
                found[kind] = int(connection.execute(sql, values).fetchone()[0])
        return found
    except sqlite3.Error as error:
        raise unavailable(path, error) from error
    finally:
        connection.close()


def expire(
    path: Path | str,
    before: datetime,
    kinds: Sequence[Kind],
    *,
    progress: Callable[[str, int], None] | None = None,
    busy_timeout: float = 5.0,
) -> dict[str, int]:
    """Delete what is older than a moment, of these kinds; how many of each, and of what goes with slates.

    They go a few at a time, so that servers can write in between; cut off, it can be run again. Raises
    ``LogUnavailable`` if the file is missing, is no log, or cannot be written.
    """
    path = Path(path)
    gone = Counter[str]()
    for kind in kinds:
        if kind == "slates":
            tell = None if progress is None else lambda done: progress("slates", done)
            one = prune(path, before, progress=tell, busy_timeout=busy_timeout)
            gone.update(slates=one.slates, replies=one.candidates, turns=one.turns, exposures=one.exposures)
        else:
            gone[kind] += _expire(path, before, kind, progress, busy_timeout)
    return gone


def _expire(
    path: Path, before: datetime, kind: Kind, progress: Callable[[str, int], None] | None, wait: float
) -> int:
    moment, rule, gone = rows.micros(aware(before, "before")), _RULES[kind], 0
    open_for_reading(path, busy_timeout=wait).close()  # a log that is not there is not made
    connection = open_for_writing(path, busy_timeout=wait)
    try:
        # Nothing refers to what goes; looking for that would read a whole table for each row.
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("PRAGMA secure_delete = ON")
        keys = connection.execute(rule.found, {"before": moment}).fetchall()
        for first in range(0, len(keys), _BATCH):
            values = [
                {"key": key, "more": more, "before": moment} for key, more in keys[first : first + _BATCH]
            ]
            connection.execute("BEGIN IMMEDIATE")
            try:
                # Of the last of these statements the rows are counted.
                counts = [connection.executemany(sql, values).rowcount for sql in rule.deletes]
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            gone += counts[-1]
            if progress is not None:
                progress(kind, gone)
            time.sleep(_PAUSE)
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        return gone
    except sqlite3.Error as error:
        raise unavailable(path, error) from error
    finally:
        connection.close()
