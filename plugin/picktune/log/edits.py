"""Edits out of the log, with how far each went."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime

from picktune.edits import EditPreference, edit_distance
from picktune.log import rows
from picktune.log.signals import roles_condition
from picktune.log.validity import aware
from picktune.records import AnnotatorRole

_COLUMNS = (
    "slate_id, conversation_id, messages, chosen, rejected, arm, also, model, annotator, role, tags, locale, "
    "decided_at"
)


def edit_preferences(
    connection: sqlite3.Connection,
    since: datetime | None,
    until: datetime | None,
    roles: Sequence[AnnotatorRole] | None,
) -> Iterator[EditPreference]:
    """The rows of the view ``edit_preferences``, by time, one at a time."""
    condition, values = roles_condition(roles)
    for name, comparison, time in (("since", ">=", since), ("until", "<", until)):
        if time is not None:
            condition += f" AND decided_at {comparison} ?"
            values.append(rows.micros(aware(time, name)))
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM edit_preferences WHERE {condition} ORDER BY decided_at, pick_id", values
    )
    for row in found:
        edits, distance = edit_distance(row[4], row[3])
        yield EditPreference(
            slate_id=row[0],
            conversation_id=row[1],
            messages=rows.messages(row[2]),
            chosen=row[3],
            rejected=row[4],
            edits=edits,
            distance=distance,
            arms=(row[5], *rows.strings(row[6])),
            model=row[7],
            annotator=row[8],
            role=row[9],
            tags=rows.strings(row[10]),
            locale=row[11],
            decided_at=rows.moment(row[12]),
        )
