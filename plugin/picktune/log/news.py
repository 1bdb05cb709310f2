"""What is new among the decisions since somebody last looked: with it, a copy of them is kept up to date."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import datetime

from picktune.log import evidence, revision, rows
from picktune.log.validity import aware
from picktune.records import Decision, Record


class Mark(Record, frozen=True, kw_only=True):
    """How far somebody has read: up to this pick, of this revision of the log.

    ``fresh`` is true if that begins anew: whatever was read before has to be forgotten.
    """

    revision: int
    pick_id: int
    fresh: bool = True


class Withdrawn(Record, frozen=True, kw_only=True):
    """The annotator's decision on the slate, if there was one, stands no longer."""

    slate_id: str
    annotator: str


def news(
    connection: sqlite3.Connection, after: Mark | None, since: datetime | None
) -> Iterator[Mark | Withdrawn | Decision]:
    """See ``LogReader.news``; all of it is of one moment."""
    connection.execute("BEGIN")
    try:
        last = connection.execute("SELECT coalesce(max(id), 0) FROM picks").fetchone()[0]
        now = Mark(revision=revision.number(connection), pick_id=last)
        if after is not None and after.revision == now.revision and after.pick_id <= last:
            now = Mark(revision=now.revision, pick_id=last, fresh=False)
        yield now
        first = 0 if now.fresh or after is None else after.pick_id
        if first == last:
            return
        if not now.fresh:
            for slate_id, annotator in connection.execute(
                "SELECT slate_id, annotator FROM picks WHERE id > ? AND version > 1", (first,)
            ):
                yield Withdrawn(slate_id=slate_id, annotator=annotator)
        conditions, values = list[str](), list[object]()
        if not now.fresh:
            conditions, values = ["pick_id > ?"], [first]
        if since is not None:
            # Of a few new picks, looking up the time of each is quicker than going by time; hence the plus.
            column = "decided_at" if now.fresh else "+decided_at"
            conditions.append(f"{column} >= ?")
            values.append(rows.micros(aware(since, "since")))
        yield from evidence.decisions_where(connection, conditions, values, order="")
    finally:
        connection.execute("ROLLBACK")
