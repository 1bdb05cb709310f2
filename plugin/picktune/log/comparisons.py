"""Comparisons of whole conversations in the log: kept once, shown in one order, judged in versions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec
from msgspec import structs

from picktune.comparisons import MOST_SIDES, Comparison, Judged, Judgement
from picktune.errors import (
    AlreadyDecided,
    CandidateNotFound,
    ComparisonNotFound,
    Conflict,
    Forgotten,
    InvalidInput,
    KeyReused,
    NotShown,
)
from picktune.log import rows
from picktune.log.signals import roles_condition
from picktune.log.validity import checked
from picktune.records import AnnotatorRole

TABLES = """
CREATE TABLE comparisons (
    id TEXT PRIMARY KEY,
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX comparisons_by_time ON comparisons (created_at, id);
CREATE TABLE comparison_exposures (
    comparison_id TEXT NOT NULL REFERENCES comparisons (id),
    viewer TEXT NOT NULL,
    sides TEXT NOT NULL,
    shown_at INTEGER NOT NULL,
    PRIMARY KEY (comparison_id, viewer)
) STRICT, WITHOUT ROWID;
CREATE TABLE judgements (
    id INTEGER PRIMARY KEY,
    comparison_id TEXT NOT NULL REFERENCES comparisons (id),
    annotator TEXT NOT NULL,
    version INTEGER NOT NULL,
    key TEXT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('chosen', 'tie', 'none_good', 'skip', 'undone')),
    side_id TEXT,
    reasons TEXT NOT NULL,
    comment TEXT,
    role TEXT NOT NULL,
    dwell_ms INTEGER,
    decided_at INTEGER NOT NULL,
    CHECK ((verdict = 'chosen') = (side_id IS NOT NULL)),
    UNIQUE (comparison_id, annotator, version),
    UNIQUE (comparison_id, annotator, key)
) STRICT;
CREATE TRIGGER judgements_are_never_changed BEFORE UPDATE ON judgements
WHEN NEW.annotator NOT LIKE 'erased-%' OR NEW.comment IS NOT NULL OR NEW.id <> OLD.id
    OR NEW.comparison_id <> OLD.comparison_id OR NEW.version <> OLD.version OR NEW.verdict <> OLD.verdict
    OR NEW.side_id IS NOT OLD.side_id OR NEW.role <> OLD.role OR NEW.decided_at <> OLD.decided_at
BEGIN SELECT raise(ABORT, 'judgements are append only: record a new version instead of changing one'); END;
CREATE TRIGGER judgements_are_never_deleted BEFORE DELETE ON judgements
BEGIN SELECT raise(ABORT, 'judgements are append only: record an undone version instead'); END;
CREATE TRIGGER judgements_are_never_replaced BEFORE INSERT ON judgements
WHEN NEW.version <> 1 + (
        SELECT coalesce(max(version), 0) FROM judgements
        WHERE comparison_id = NEW.comparison_id AND annotator = NEW.annotator)
    OR EXISTS (SELECT 1 FROM judgements WHERE id = NEW.id)
    OR EXISTS (
        SELECT 1 FROM judgements
        WHERE comparison_id = NEW.comparison_id AND annotator = NEW.annotator AND key = NEW.key)
BEGIN SELECT raise(ABORT, 'judgements are append only: versions count from 1 and a key is used once'); END;

CREATE VIEW standing_judgements AS
SELECT j.* FROM judgements j WHERE j.verdict <> 'undone' AND NOT EXISTS (
    SELECT 1 FROM judgements n WHERE n.comparison_id = j.comparison_id AND n.annotator = j.annotator
        AND n.version > j.version);
"""
JUDGEMENT = (
    "comparison_id, annotator, version, key, verdict, side_id, reasons, comment, role, dwell_ms, decided_at"
)


def consistent(comparison: Comparison) -> Comparison:
    """The comparison, if it can be stored; else ``InvalidInput``."""
    comparison = checked(comparison)
    if not 2 <= len(comparison.sides) <= MOST_SIDES:
        raise InvalidInput(f"a comparison has 2 to {MOST_SIDES} conversations", field="sides")
    if len({side.id for side in comparison.sides}) < len(comparison.sides):
        raise InvalidInput("two sides have one id; give each its own", field="sides")
    for side in comparison.sides:
        if not any(message.role == "assistant" for message in side.messages):
            raise InvalidInput("nothing was replied in one of the conversations", field="sides")
    if len({side.messages for side in comparison.sides}) < len(comparison.sides):
        raise InvalidInput("two of the conversations are the same, word for word", field="sides")
    return comparison


def consistent_judgement(judgement: Judgement) -> Judgement:
    """The judgement, if its verdict and its fields agree; else ``InvalidInput``."""
    judgement = checked(judgement)
    for field in ("key", "annotator"):
        if not 1 <= len(getattr(judgement, field)) <= 200:
            raise InvalidInput(f"a judgement needs {field} of 1 to 200 characters", field=field)
    if (judgement.verdict == "chosen") != (judgement.side_id is not None):
        raise InvalidInput(
            "'chosen' needs the side that was chosen, and nothing else has one", field="side_id"
        )
    return judgement


def add(connection: sqlite3.Connection, comparison: Comparison) -> bool:
    """Keep a comparison; whether it is new. Another one under its id is a ``Conflict``."""
    row = connection.execute("SELECT body FROM comparisons WHERE id = ?", (comparison.id,)).fetchone()
    if row is not None:
        if [side.messages for side in _comparison(row[0]).sides] != [
            side.messages for side in comparison.sides
        ]:
            raise Conflict(f"there is another comparison with id {comparison.id!r}; use a new id", field="id")
        return False
    connection.execute(
        "INSERT INTO comparisons (id, body, created_at) VALUES (?, ?, ?)",
        (comparison.id, msgspec.json.encode(comparison).decode(), rows.micros(comparison.created_at)),
    )
    return True


def load(connection: sqlite3.Connection, comparison_id: str) -> Comparison:
    """The comparison of that id; raises ``ComparisonNotFound``."""
    row = connection.execute("SELECT body FROM comparisons WHERE id = ?", (comparison_id,)).fetchone()
    if row is None:
        raise ComparisonNotFound(comparison_id)
    return _comparison(row[0])


def waiting(connection: sqlite3.Connection, viewer: str) -> tuple[Comparison | None, int]:
    """The comparison that the viewer should judge next, the least judged first; and how many wait."""
    where = (
        "NOT EXISTS (SELECT 1 FROM standing_judgements j WHERE j.comparison_id = c.id AND j.annotator = ?) "
        "AND NOT EXISTS (SELECT 1 FROM erased_conversations e WHERE e.conversation_id = c.id)"
    )
    count = connection.execute(f"SELECT count(*) FROM comparisons c WHERE {where}", (viewer,)).fetchone()[0]
    row = connection.execute(
        f"SELECT body FROM comparisons c WHERE {where} ORDER BY "
        f"(SELECT count(*) FROM standing_judgements j WHERE j.comparison_id = c.id), created_at, id LIMIT 1",
        (viewer,),
    ).fetchone()
    return (None if row is None else _comparison(row[0])), count


def expose(
    connection: sqlite3.Connection, comparison_id: str, viewer: str, order: Sequence[str], at: datetime
) -> tuple[str, ...]:
    """Keep that a viewer sees the comparison in this order; the first order stands and is returned."""
    ids = {side.id for side in load(connection, comparison_id).sides}
    if set(order) != ids or len(order) != len(ids):
        raise InvalidInput(
            f"the order does not name each side of comparison {comparison_id!r} once", field="order"
        )
    connection.execute(
        "INSERT INTO comparison_exposures (comparison_id, viewer, sides, shown_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (comparison_id, viewer) DO NOTHING",
        (comparison_id, viewer, rows.listed(list(order)), rows.micros(at)),
    )
    found = connection.execute(
        "SELECT sides FROM comparison_exposures WHERE comparison_id = ? AND viewer = ?",
        (comparison_id, viewer),
    ).fetchone()
    return rows.strings(found[0])


def judge(connection: sqlite3.Connection, judgement: Judgement) -> Judgement:
    """Keep a consistent judgement as the next version and return it; see ``SignalLog.judge``."""
    comparison = load(connection, judgement.comparison_id)
    erased = "SELECT 1 FROM erased_conversations WHERE conversation_id = ?"
    if connection.execute(erased, (comparison.id,)).fetchone():
        raise Forgotten("comparison", comparison.id)
    before = judgements(connection, comparison.id, judgement.annotator)
    for earlier in before:
        if earlier.key == judgement.key:
            same = structs.replace(
                judgement, version=earlier.version, decided_at=earlier.decided_at, dwell_ms=earlier.dwell_ms
            )
            if same != earlier:
                raise KeyReused(judgement.key)
            return earlier
    if judgement.side_id is not None and all(side.id != judgement.side_id for side in comparison.sides):
        raise CandidateNotFound(judgement.side_id)
    shown = connection.execute(
        "SELECT 1 FROM comparison_exposures WHERE comparison_id = ? AND viewer = ?",
        (comparison.id, judgement.annotator),
    ).fetchone()
    if shown is None:
        raise NotShown(comparison.id, judgement.annotator)
    stands = bool(before) and before[-1].verdict != "undone"
    if judgement.verdict != "undone" and stands:
        raise AlreadyDecided(comparison.id, judgement.annotator)
    if judgement.verdict == "undone" and not stands:
        raise Conflict(
            f"{judgement.annotator!r} has nothing to undo on comparison {comparison.id!r}; judge it first",
            field="comparison_id",
        )
    judgement = structs.replace(judgement, version=len(before) + 1)
    values = (
        comparison.id,
        judgement.annotator,
        judgement.version,
        judgement.key,
        judgement.verdict,
        judgement.side_id,
        rows.listed(judgement.reasons),
        judgement.comment,
        judgement.role,
        judgement.dwell_ms,
        rows.micros(judgement.decided_at),
    )
    connection.execute(f"INSERT INTO judgements ({JUDGEMENT}) VALUES ({', '.join('?' * 11)})", values)
    return judgement


def judgements(
    connection: sqlite3.Connection, comparison_id: str, annotator: str | None = None
) -> list[Judgement]:
    """All versions of all judgements on the comparison, oldest first."""
    found = connection.execute(
        f"SELECT {JUDGEMENT} FROM judgements WHERE comparison_id = :id "
        f"AND (:annotator IS NULL OR annotator = :annotator) ORDER BY id",
        {"id": comparison_id, "annotator": annotator},
    )
    return [_judgement(row) for row in found]


def judged(connection: sqlite3.Connection, roles: Sequence[AnnotatorRole] | None) -> Iterator[Judged]:
    """The judgements that stand, by time, each with its comparison."""
    condition, values = roles_condition(roles)
    columns = ", ".join(f"j.{column}" for column in JUDGEMENT.split(", "))
    for row in connection.execute(
        f"SELECT {columns}, c.body, e.sides FROM standing_judgements j "
        f"JOIN comparisons c ON c.id = j.comparison_id "
        f"JOIN comparison_exposures e ON e.comparison_id = j.comparison_id AND e.viewer = j.annotator "
        f"WHERE {condition} ORDER BY j.decided_at, j.id",
        values,
    ):
        yield Judged(
            judgement=_judgement(row[:11]), comparison=_comparison(row[11]), order=rows.strings(row[12])
        )


def _comparison(body: str) -> Comparison:
    return msgspec.json.decode(body, type=Comparison)


def _judgement(row: rows.Row) -> Judgement:
    return Judgement(
        comparison_id=row[0],
        annotator=row[1],
        version=row[2],
        key=row[3],
        verdict=row[4],
        side_id=row[5],
        reasons=rows.strings(row[6]),
        comment=row[7],
        role=row[8],
        dwell_ms=row[9],
        decided_at=rows.moment(row[10]),
    )
