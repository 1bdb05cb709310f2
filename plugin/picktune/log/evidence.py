"""What the decisions say: for the support rate, and for training. Streamed, one row at a time, by time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from picktune.log import rows
from picktune.log.validity import aware
from picktune.records import AnnotatorRole, ChoiceSet, Decision, Demonstration, Preference

_Shown = tuple[str, tuple[str, ...], str | None, int]
_shown = msgspec.json.Decoder(tuple[_Shown, ...])
_aliases = msgspec.json.Decoder(tuple[str | None, str | None])


def decisions(
    connection: sqlite3.Connection,
    since: datetime | None,
    until: datetime | None,
    roles: Sequence[AnnotatorRole] | None,
) -> Iterator[Decision]:
    """The rows of the view ``decisions``, by time."""
    conditions, values = _conditions(since, until, roles)
    return decisions_where(connection, conditions, values, order="ORDER BY decided_at, pick_id")


def decisions_where(
    connection: sqlite3.Connection, conditions: Sequence[str], values: Sequence[object], *, order: str
) -> Iterator[Decision]:
    """The rows of the view ``decisions`` for which the conditions hold."""
    for row in connection.execute(
        f"SELECT slate_id, conversation_id, annotator, role, verdict, complete, tags, locale, decided_at, "
        f"candidates, aliases, scenario FROM decisions WHERE {' AND '.join(conditions) or '1'} {order}",
        values,
    ):
        shown = _shown.decode(row[9])
        behind = [(arm, *also) for arm, also, _, _ in shown]
        aliases = _aliases.decode(row[10]) if row[10] else (None, None)
        tuned, model = _tuned(shown, aliases)
        served = _served(shown, aliases)
        position = next((place for place, one in enumerate(shown) if one[3]), None)
        if row[4] != "chosen":
            position = None
        yield Decision(
            slate_id=row[0],
            conversation_id=row[1],
            annotator=row[2],
            role=row[3],
            verdict=row[4],
            picked=() if position is None else behind[position],
            position=position,
            arms=tuple(arm for arms in behind for arm in arms),
            shown=len(shown),
            tuned=tuned,
            model=model,
            models=tuple(one for several in served for one in several),
            picked_models=() if position is None else served[position],
            complete=bool(row[5]),
            tags=rows.strings(row[6]),
            locale=row[7],
            scenario=row[11],
            decided_at=rows.moment(row[8]),
        )


def choice_sets(
    connection: sqlite3.Connection, until: datetime | None, roles: Sequence[AnnotatorRole] | None
) -> Iterator[ChoiceSet]:
    """The rows of the view ``choice_sets``."""
    columns = (
        "slate_id, conversation_id, messages, replies, chosen, annotator, role, tags, locale, decided_at"
    )
    for row in _select(connection, columns, "choice_sets", None, until, roles):
        yield ChoiceSet(
            slate_id=row[0],
            conversation_id=row[1],
            messages=rows.messages(row[2]),
            replies=rows.strings(row[3]),
            chosen=row[4],
            annotator=row[5],
            role=row[6],
            tags=rows.strings(row[7]),
            locale=row[8],
            decided_at=rows.moment(row[9]),
        )


def preferences(
    connection: sqlite3.Connection, until: datetime | None, roles: Sequence[AnnotatorRole] | None
) -> Iterator[Preference]:
    """The choice sets as pairs, which are the rows of the view ``preferences``.

    That view cannot be read by time and by position without sorting all of it first.
    """
    for choice in choice_sets(connection, until, roles):
        for place, reply in enumerate(choice.replies):
            if place != choice.chosen:
                yield Preference(
                    slate_id=choice.slate_id,
                    messages=choice.messages,
                    chosen=choice.replies[choice.chosen],
                    rejected=reply,
                )


def demonstrations(
    connection: sqlite3.Connection, until: datetime | None, roles: Sequence[AnnotatorRole] | None
) -> Iterator[Demonstration]:
    """The rows of the view ``demonstrations``."""
    columns = "slate_id, messages, completion"
    for row in _select(connection, columns, "demonstrations", None, until, roles):
        yield Demonstration(slate_id=row[0], messages=rows.messages(row[1]), completion=row[2])


def _select(
    connection: sqlite3.Connection,
    columns: str,
    view: str,
    since: datetime | None,
    until: datetime | None,
    roles: Sequence[AnnotatorRole] | None,
) -> sqlite3.Cursor:
    conditions, values = _conditions(since, until, roles)
    where = " AND ".join(conditions) or "1"
    return connection.execute(
        f"SELECT {columns} FROM {view} WHERE {where} ORDER BY decided_at, pick_id", values
    )


def _conditions(
    since: datetime | None, until: datetime | None, roles: Sequence[AnnotatorRole] | None
) -> tuple[list[str], list[object]]:
    conditions, values = list[str](), list[object]()
    for name, comparison, time in (("since", ">=", since), ("until", "<", until)):
        if time is not None:
            conditions.append(f"decided_at {comparison} ?")
            values.append(rows.micros(aware(time, name)))
    if roles is not None:
        conditions.append(f"role IN ({', '.join('?' * len(roles))})")
        values += roles
    return conditions, values


def _tuned(shown: Sequence[_Shown], aliases: tuple[str | None, str | None]) -> tuple[str | None, str | None]:
    for arm, _, model, _ in shown:
        if arm != "base":
            return arm, model
    # The tuned arm may have said nothing but what the base said too: then only the aliases of that time
    # know which adapter it was.
    then = {"champion": aliases[0], "challenger": aliases[1]}
    for _, also, _, _ in shown:
        for arm in also:
            if arm != "base":
                return arm, then.get(arm)
    return None, None


def _served(shown: Sequence[_Shown], aliases: tuple[str | None, str | None]) -> list[tuple[str | None, ...]]:
    """What served each candidate: its own arm, and the others that said the same words."""
    known = {"champion": aliases[0], "challenger": aliases[1]}
    known |= {arm: model for arm, _, model, _ in shown if arm != "base"}
    return [(model, *(known.get(arm) for arm in also)) for _, also, model, _ in shown]
