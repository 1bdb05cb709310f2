"""A number that grows when an old decision may read differently: how a copy of them knows that it is stale.

New decisions only add to what was there, and an undo is a new version. But an erasure, a history of aliases
that came from elsewhere, or a conversation that was stored after its decisions change what older ones say.
"""

from __future__ import annotations

import sqlite3

_TABLE = """
CREATE TABLE revisions (id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL) STRICT
"""
_TRIGGER = """
CREATE TRIGGER {name}_make_a_revision AFTER {event}
BEGIN UPDATE revisions SET number = number + 1 WHERE id = 1; END
"""
_EVENTS = {
    "changed_picks": "UPDATE ON picks",
    "lost_picks": "DELETE ON picks",
    "changed_exposures": "UPDATE ON exposures",
    "changed_turns": "UPDATE OF tags, locale, conversation_id ON turns",
    "changed_candidates": "UPDATE OF arm, also, model ON candidates",
    "new_aliases": "INSERT ON alias_changes",
    "changed_aliases": "UPDATE ON alias_changes",
    "lost_aliases": "DELETE ON alias_changes",
    "late_conversations": (
        "INSERT ON conversations WHEN NEW.scenario IS NOT NULL "
        "AND EXISTS (SELECT 1 FROM turns WHERE conversation_id = NEW.id)"
    ),
    "changed_conversations": "UPDATE OF scenario ON conversations",
    "lost_conversations": "DELETE ON conversations",
}


def begin(connection: sqlite3.Connection) -> None:
    """Make the number, and the triggers that let it grow."""
    connection.execute(_TABLE)
    connection.execute("INSERT INTO revisions VALUES (1, 1)")
    for name, event in _EVENTS.items():
        connection.execute(_TRIGGER.format(name=name, event=event))


def number(connection: sqlite3.Connection) -> int:
    """The number as it stands."""
    row = connection.execute("SELECT number FROM revisions").fetchone()
    return int(row[0]) if row else 0
