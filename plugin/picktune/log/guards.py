"""The triggers and views of a log: whether they are still the ones that it was made with."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Iterator

from picktune.log import schema

Definitions = dict[str, tuple[str, str]]


def altered_guards(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """Name and fault of each trigger or view that is missing, was changed, or is not the log's own.

    Somebody's own view changes nothing, and is no fault.
    """
    wanted, found = _wanted(), _definitions(connection)
    if connection.execute("SELECT 1 FROM erasing").fetchone():
        yield "erasing", "the triggers let decisions be erased: the table erasing has a row"
    for name in sorted(wanted.keys() | found.keys()):
        kind = (wanted.get(name) or found[name])[0]
        if name not in found:
            yield name, f"the {kind} {name} is missing"
        elif name not in wanted:
            if kind == "trigger":
                yield name, f"the {kind} {name} is not one of the log"
        elif found[name] != wanted[name]:
            yield name, f"the {kind} {name} was changed"


@functools.cache
def _wanted() -> Definitions:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        schema.apply(connection)
        return _definitions(connection)
    finally:
        connection.close()


def _definitions(connection: sqlite3.Connection) -> Definitions:
    """Kind and SQL by name."""
    found = connection.execute("SELECT name, type, sql FROM sqlite_master WHERE type IN ('trigger', 'view')")
    return {name: (kind, sql) for name, kind, sql in found}
