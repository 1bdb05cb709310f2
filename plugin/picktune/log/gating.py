"""The gate's decisions in the log: written before anything moves, and never changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec

from picktune.gate.records import Figures, GateDecision, Outcome, Step
from picktune.log import rows
from picktune.log.files import open_for_writing, unavailable
from picktune.records import Pick

SCHEMA = (
    """
CREATE TABLE gate_decisions (
    id INTEGER PRIMARY KEY,
    action TEXT NOT NULL,
    adapter TEXT,
    by TEXT NOT NULL CHECK (trim(by) <> ''),
    reason TEXT NOT NULL CHECK (trim(reason) <> ''),
    champion TEXT,
    challenger TEXT,
    share REAL,
    figures TEXT NOT NULL,
    decided_at INTEGER NOT NULL
) STRICT
""",
    "CREATE INDEX gate_decisions_by_adapter ON gate_decisions (adapter, id)",
    """
CREATE TABLE gate_outcomes (
    decision_id INTEGER PRIMARY KEY REFERENCES gate_decisions (id),
    outcome TEXT NOT NULL CHECK (outcome IN ('done', 'failed', 'abandoned')),
    note TEXT NOT NULL,
    settled_at INTEGER NOT NULL
) STRICT
""",
    *(
        f"""
CREATE TRIGGER {table}_are_never_{done} BEFORE {what} ON {table}
{when} BEGIN SELECT raise(ABORT, '{table} are append only'); END
"""
        for table, key in (("gate_decisions", "id"), ("gate_outcomes", "decision_id"))
        for done, what, when in (
            ("changed", "UPDATE", ""),
            ("deleted", "DELETE", ""),
            ("replaced", "INSERT", f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {key} = NEW.{key})"),
        )
    ),
)

_SELECT = """
SELECT d.id, d.action, d.adapter, d.by, d.reason, d.champion, d.challenger, d.share, d.figures, d.decided_at,
    o.outcome, o.note, o.settled_at
FROM gate_decisions d LEFT JOIN gate_outcomes o ON o.decision_id = d.id
"""


class GateReader(Protocol):
    """What can be read of the gate's decisions."""

    def gate_decisions(self, *, adapter: str | None = None, limit: int = 100) -> list[GateDecision]:
        """The newest decisions, of one adapter or all, the newest first."""
        ...

    def canary_steps(self, adapter: str, since: datetime) -> list[Step]:
        """The canary steps decided for an adapter at ``since`` or later, oldest first."""
        ...

    def freeze(self) -> GateDecision | None:
        """The decision that froze the gate, if it is frozen."""
        ...

    def conversation_began(self, conversation_id: str) -> datetime | None:
        """When the first slate of a conversation was drawn."""
        ...

    def slate_of_pick(self, number: int) -> str | None:
        """The slate that the pick of that number in the log is about."""
        ...

    def numbered_picks(self, slate_id: str) -> list[tuple[int, Pick]]:
        """All versions of all decisions on the slate with their numbers, oldest first."""
        ...


class GateReading:
    """``GateReader`` for the reader of a SQLite log."""

    _connection: Callable[[], AbstractContextManager[sqlite3.Connection]]

    def gate_decisions(self, *, adapter: str | None = None, limit: int = 100) -> list[GateDecision]:
        """See ``GateReader``."""
        with self._connection() as connection:
            return decisions(connection, adapter=adapter, limit=limit)

    def canary_steps(self, adapter: str, since: datetime) -> list[Step]:
        """See ``GateReader``."""
        with self._connection() as connection:
            return steps(connection, adapter, since)

    def freeze(self) -> GateDecision | None:
        """See ``GateReader``."""
        with self._connection() as connection:
            return frozen(connection)

    def conversation_began(self, conversation_id: str) -> datetime | None:
        """See ``GateReader``."""
        with self._connection() as connection:
            (at,) = connection.execute(
                "SELECT min(s.created_at) FROM turns t JOIN slates s ON s.turn_id = t.id "
                "WHERE t.conversation_id = ?",
                (conversation_id,),
            ).fetchone()
            return None if at is None else rows.moment(at)

    def slate_of_pick(self, number: int) -> str | None:
        """See ``GateReader``."""
        with self._connection() as connection:
            row = connection.execute("SELECT slate_id FROM picks WHERE id = ?", (number,)).fetchone()
            return None if row is None else str(row[0])

    def numbered_picks(self, slate_id: str) -> list[tuple[int, Pick]]:
        """See ``GateReader``."""
        with self._connection() as connection:
            found = connection.execute(
                f"SELECT {rows.PICK}, id FROM picks WHERE slate_id = ? ORDER BY id", (slate_id,)
            )
            return [(row[-1], rows.pick_of(row[:-1])) for row in found]


def decisions(
    connection: sqlite3.Connection, *, adapter: str | None = None, limit: int = 100
) -> list[GateDecision]:
    """See ``GateReader.gate_decisions``."""
    where, values = ("", ()) if adapter is None else ("WHERE d.adapter = ?", (adapter,))
    found = connection.execute(f"{_SELECT} {where} ORDER BY d.id DESC LIMIT ?", (*values, limit))
    return [_decision(row) for row in found]


def steps(connection: sqlite3.Connection, adapter: str, since: datetime) -> list[Step]:
    """See ``GateReader.canary_steps``."""
    found = connection.execute(
        "SELECT share, decided_at FROM gate_decisions WHERE adapter = ? AND action IN ('begin', 'step') "
        "AND decided_at >= ? ORDER BY id",
        (adapter, rows.micros(since)),
    )
    return [Step(share=share, since=rows.moment(at)) for share, at in found]


def frozen(connection: sqlite3.Connection) -> GateDecision | None:
    """See ``GateReader.freeze``."""
    row = connection.execute(
        f"{_SELECT} WHERE d.action IN ('freeze', 'unfreeze') ORDER BY d.id DESC LIMIT 1"
    ).fetchone()
    return _decision(row) if row is not None and row[1] == "freeze" else None


def unsettled(connection: sqlite3.Connection) -> list[GateDecision]:
    """The decisions whose outcome is not written yet, oldest first."""
    return [_decision(row) for row in connection.execute(f"{_SELECT} WHERE o.outcome IS NULL ORDER BY d.id")]


def add(connection: sqlite3.Connection, decision: GateDecision) -> GateDecision:
    """Keep a decision under the next number; the one given is ignored. Its outcome too, if it has one."""
    (number,) = connection.execute("SELECT 1 + coalesce(max(id), 0) FROM gate_decisions").fetchone()
    connection.execute(
        "INSERT INTO gate_decisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            number,
            decision.action,
            decision.adapter,
            decision.by,
            decision.reason,
            decision.champion,
            decision.challenger,
            decision.share,
            msgspec.json.encode(decision.figures).decode(),
            rows.micros(decision.decided_at),
        ),
    )
    kept = msgspec.structs.replace(decision, id=number)
    if decision.outcome is not None:
        settle(connection, number, decision.outcome, decision.note, decision.decided_at)
    return kept


def settle(
    connection: sqlite3.Connection, decision_id: int, outcome: Outcome, note: str, at: datetime
) -> None:
    """Write how a decision came out; once."""
    connection.execute(
        "INSERT INTO gate_outcomes VALUES (?, ?, ?, ?)", (decision_id, outcome, note, rows.micros(at))
    )


@contextmanager
def writing(path: Path, *, busy_timeout: float = 10.0) -> Iterator[Callable[[Callable[..., Any]], Any]]:
    """Run functions of a connection, each in a transaction that is on disk when it returns.

    Beside the server's own writer, from any process. Raises ``LogUnavailable``.
    """
    connection = open_for_writing(path, busy_timeout=busy_timeout)

    def run(work: Callable[[sqlite3.Connection], Any]) -> Any:
        connection.execute("BEGIN IMMEDIATE")
        try:
            outcome = work(connection)
            connection.execute("COMMIT")
            return outcome
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    try:
        yield run
    except sqlite3.Error as error:
        raise unavailable(path, error) from error
    finally:
        connection.close()


def _decision(row: Sequence[Any]) -> GateDecision:
    return GateDecision(
        id=row[0],
        action=row[1],
        adapter=row[2],
        by=row[3],
        reason=row[4],
        champion=row[5],
        challenger=row[6],
        share=row[7],
        figures=msgspec.json.decode(row[8], type=Figures),
        decided_at=rows.moment(row[9]),
        outcome=row[10],
        note=row[11] or "",
        settled_at=None if row[12] is None else rows.moment(row[12]),
    )
