"""Signals and scores: the rules under which they are kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec
from msgspec import structs

from picktune.errors import CandidateNotFound, Conflict, InvalidInput, KeyReused, NotShown, SlateNotFound
from picktune.log import rows
from picktune.log.validity import aware, checked
from picktune.records import AnnotatorRole
from picktune.signals import PER_SLATE, Copied, Detail, Regenerated, Score, Signal, SignalKind, Visible

SIGNAL = "slate_id, annotator, key, kind, detail, role, noted_at"
SCORE = "candidate_id, annotator, scale, version, key, value, low, high, comment, role, scored_at"
_detail = msgspec.json.Decoder(Detail)


def consistent_signal(signal: Signal) -> Signal:
    """The signal, if it can be stored; else ``InvalidInput``, naming the field."""
    signal = checked(signal)
    _named(signal.key, signal.annotator, "a signal")
    return signal


def consistent_score(score: Score) -> Score:
    """The score, if it can be stored; else ``InvalidInput``, naming the field."""
    score = checked(score)
    _named(score.key, score.annotator, "a score")
    if score.role != "expert":
        raise InvalidInput("only an expert gives scores; send the role 'expert'", field="role")
    if not score.low <= score.value <= score.high:
        raise InvalidInput(
            f"{score.value} is not on the scale {score.scale!r}, which goes from {score.low} to {score.high}",
            field="value",
        )
    return score


def note(connection: sqlite3.Connection, signals: Sequence[Signal]) -> list[Signal]:
    """Keep consistent signals, and return them as they stand; see ``SignalLog.note``."""
    return [_note(connection, signal) for signal in signals]


def _note(connection: sqlite3.Connection, signal: Signal) -> Signal:
    who = (signal.slate_id, signal.annotator)
    before = connection.execute(
        f"SELECT {SIGNAL} FROM signals WHERE slate_id = ? AND annotator = ? AND key = ?", (*who, signal.key)
    ).fetchone()
    if before is not None:
        earlier = signal_of(before)
        # A request for other replies that is sent again brings those that were drawn the first time.
        again = isinstance(earlier.detail, Regenerated) and isinstance(signal.detail, Regenerated)
        if not again and (earlier.detail, earlier.role) != (signal.detail, signal.role):
            raise KeyReused(signal.key)
        return earlier
    shown = connection.execute("SELECT 1 FROM exposures WHERE slate_id = ? AND viewer = ?", who).fetchone()
    if shown is None:
        if connection.execute("SELECT 1 FROM slates WHERE id = ?", who[:1]).fetchone() is None:
            raise SlateNotFound(signal.slate_id)
        raise NotShown(*who)
    for candidate_id in _candidates(signal.detail):
        found = connection.execute(
            "SELECT 1 FROM candidates WHERE slate_id = ? AND id = ?", (signal.slate_id, candidate_id)
        ).fetchone()
        if found is None:
            raise CandidateNotFound(candidate_id, signal.slate_id)
    if isinstance(signal.detail, Regenerated):
        _check_replaceable(connection, signal, signal.detail.successor)
    count = connection.execute(
        "SELECT count(*) FROM signals WHERE slate_id = ? AND annotator = ?", who
    ).fetchone()[0]
    if count >= PER_SLATE:
        raise Conflict(
            f"slate {signal.slate_id!r} holds {PER_SLATE} signals of {signal.annotator!r} and takes no more",
            field="slate_id",
        )
    connection.execute(
        f"INSERT INTO signals ({SIGNAL}) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            *who,
            signal.key,
            signal.kind,
            msgspec.json.encode(signal.detail).decode(),
            signal.role,
            rows.micros(signal.noted_at),
        ),
    )
    return signal


def _candidates(detail: Detail) -> list[str]:
    if isinstance(detail, Copied):
        return [detail.candidate_id]
    if isinstance(detail, Visible):
        ids = [one.candidate_id for one in detail.replies]
        if len(set(ids)) < len(ids):
            raise InvalidInput("one reply is named twice; add its times up", field="replies")
        return ids
    return []


def _check_replaceable(connection: sqlite3.Connection, signal: Signal, successor: str) -> None:
    stands = connection.execute(
        "SELECT 1 FROM standing_picks WHERE slate_id = ? AND annotator = ?",
        (signal.slate_id, signal.annotator),
    ).fetchone()
    if stands:
        raise Conflict(
            f"{signal.annotator!r} has decided on slate {signal.slate_id!r}; undo that before drawing others",
            field="slate_id",
        )
    if (
        successor == signal.slate_id
        or not connection.execute("SELECT 1 FROM slates WHERE id = ?", (successor,)).fetchone()
    ):
        raise SlateNotFound(successor)


def signals(
    connection: sqlite3.Connection,
    slate_id: str | None = None,
    *,
    kind: SignalKind | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Iterator[Signal]:
    """The signals in the order of their coming, one at a time."""
    conditions, values = _spans("noted_at", since, until)
    for column, value in (("slate_id", slate_id), ("kind", kind)):
        if value is not None:
            conditions.append(f"{column} = ?")
            values.append(value)
    for row in connection.execute(
        f"SELECT {SIGNAL} FROM signals WHERE {' AND '.join(conditions)} ORDER BY id", values
    ):
        yield signal_of(row)


def signal_of(row: rows.Row) -> Signal:
    """From the columns of ``SIGNAL``."""
    return Signal(
        slate_id=row[0],
        annotator=row[1],
        key=row[2],
        detail=_detail.decode(row[4]),
        role=row[5],
        noted_at=rows.moment(row[6]),
    )


def score(connection: sqlite3.Connection, score: Score) -> Score:
    """Keep a consistent score as the next version, and return it as it stands; see ``SignalLog.score``."""
    found = connection.execute(
        "SELECT slate_id, EXISTS (SELECT 1 FROM exposures e WHERE e.slate_id = c.slate_id AND e.viewer = ?) "
        "FROM candidates c WHERE id = ?",
        (score.annotator, score.candidate_id),
    ).fetchone()
    if found is None:
        raise CandidateNotFound(score.candidate_id)
    slate_id, shown = found
    before = connection.execute(
        f"SELECT {SCORE} FROM scores WHERE slate_id = ? AND annotator = ? AND key = ?",
        (slate_id, score.annotator, score.key),
    ).fetchone()
    if before is not None:
        earlier = score_of(before)
        if structs.replace(score, scored_at=earlier.scored_at, version=earlier.version) != earlier:
            raise KeyReused(score.key)
        return earlier
    if not shown:
        raise NotShown(slate_id, score.annotator)
    version = connection.execute(
        "SELECT 1 + coalesce(max(version), 0) FROM scores "
        "WHERE candidate_id = ? AND annotator = ? AND scale = ?",
        (score.candidate_id, score.annotator, score.scale),
    ).fetchone()[0]
    score = structs.replace(score, version=version)
    connection.execute(
        f"INSERT INTO scores (slate_id, {SCORE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            slate_id,
            score.candidate_id,
            score.annotator,
            score.scale,
            version,
            score.key,
            score.value,
            score.low,
            score.high,
            score.comment,
            score.role,
            rows.micros(score.scored_at),
        ),
    )
    return score


def scores(
    connection: sqlite3.Connection,
    candidate_id: str | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    every_version: bool = False,
) -> Iterator[Score]:
    """The standing scores by time, or every version of them, one at a time."""
    conditions, values = _spans("scored_at", since, until)
    if candidate_id is not None:
        conditions.append("candidate_id = ?")
        values.append(candidate_id)
    table = "scores" if every_version else "standing_scores"
    for row in connection.execute(
        f"SELECT {SCORE} FROM {table} WHERE {' AND '.join(conditions)} ORDER BY scored_at, id", values
    ):
        yield score_of(row)


def score_of(row: rows.Row) -> Score:
    """From the columns of ``SCORE``."""
    return Score(
        candidate_id=row[0],
        annotator=row[1],
        scale=row[2],
        version=row[3],
        key=row[4],
        value=row[5],
        low=row[6],
        high=row[7],
        comment=row[8],
        role=row[9],
        scored_at=rows.moment(row[10]),
    )


def roles_condition(roles: Sequence[AnnotatorRole] | None) -> tuple[str, list[object]]:
    """A condition on ``role``, and its values."""
    return ("1", []) if roles is None else (f"role IN ({', '.join('?' * len(roles))})", list(roles))


def span(column: str, since: datetime | None, until: datetime | None) -> tuple[str, list[object]]:
    """A condition on a column of times, and its values."""
    conditions, values = _spans(column, since, until)
    return " AND ".join(conditions), values


def _spans(column: str, since: datetime | None, until: datetime | None) -> tuple[list[str], list[object]]:
    conditions, values = ["1"], list[object]()
    for name, comparison, time in (("since", ">=", since), ("until", "<", until)):
        if time is not None:
            conditions.append(f"{column} {comparison} ?")
            values.append(rows.micros(aware(time, name)))
    return conditions, values


def _named(key: str, annotator: str, what: str) -> None:
    for field, value in (("key", key), ("annotator", annotator)):
        if not 1 <= len(value) <= 200:
            raise InvalidInput(f"{what} needs {field} of 1 to 200 characters", field=field)
