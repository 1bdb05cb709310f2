"""The schema's part for privacy: consent, whose a conversation is, and the one way by which words go."""

from __future__ import annotations

import sqlite3

_TABLES = """
CREATE TABLE consents (
    scope TEXT NOT NULL CHECK (scope IN ('user', 'conversation')),
    ref TEXT NOT NULL,
    level TEXT NOT NULL CHECK (level IN ('none', 'log', 'train')),
    since INTEGER NOT NULL,
    PRIMARY KEY (scope, ref)
) STRICT, WITHOUT ROWID;
CREATE TABLE restrictions (
    turn_id TEXT PRIMARY KEY,
    level TEXT NOT NULL CHECK (level IN ('log', 'erased'))
) STRICT, WITHOUT ROWID;
CREATE TABLE conversation_owners (
    conversation_id TEXT PRIMARY KEY,
    user_ref TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX conversation_owners_by_user ON conversation_owners (user_ref);
CREATE TABLE erased_conversations (
    conversation_id TEXT PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE erasing (id INTEGER PRIMARY KEY CHECK (id = 1)) STRICT;
CREATE INDEX turns_by_user ON turns (user_ref) WHERE user_ref IS NOT NULL;
CREATE INDEX exposures_by_viewer ON exposures (viewer);
CREATE INDEX reactions_by_annotator ON reactions (annotator)
"""

_CHAINED = "previous, hash, who_hash, texts_hash"
_PICK_PLAIN = "id, slate_id, version, verdict, candidate_id, role, dwell_ms, decided_at"
_REACTION_PLAIN = "id, slate_id, candidate_id, value, role, reacted_at"

# An update may take away who it was, or what they wrote, together with the salt, while the table ``erasing``
# has its row; it may do nothing else. That row is only there within a transaction of ``picktune forget``.
_UPDATE = """
CREATE TRIGGER {table}_are_never_changed BEFORE UPDATE ON {table}
WHEN NOT EXISTS (SELECT 1 FROM erasing) OR {changed}
    OR NOT ((NEW.who_salt IS OLD.who_salt AND NEW.annotator IS OLD.annotator AND NEW.key IS OLD.key)
        OR (NEW.who_salt IS NULL AND NEW.annotator LIKE 'erased-%' AND NEW.key LIKE 'erased-%'))
    OR NOT ((NEW.texts_salt IS OLD.texts_salt AND {same_texts})
        OR (NEW.texts_salt IS NULL AND {no_texts}))
BEGIN SELECT raise(ABORT, '{message}'); END
"""

_VIEWS = ("choice_sets", "preferences", "demonstrations", "edit_preferences")
TRAINABLE = "NOT EXISTS (SELECT 1 FROM restrictions x WHERE x.turn_id = t.id)"


def begin(connection: sqlite3.Connection) -> None:
    """Add the tables, let the triggers permit erasing, and keep restricted rows out of the training views."""
    for statement in _TABLES.split(";\n"):
        connection.execute(statement)
    for table, plain, texts, message in (
        (
            "picks",
            _PICK_PLAIN,
            "edited_text, reasons, comment",
            "picks are append only: record a new version instead of changing one",
        ),
        (
            "reactions",
            _REACTION_PLAIN,
            "reasons, comment",
            "reactions are append only: record another one instead of changing one",
        ),
    ):
        connection.execute(f"DROP TRIGGER {table}_are_never_changed")
        fixed = f"{plain}, {_CHAINED}".split(", ")
        written = texts.split(", ")
        connection.execute(
            _UPDATE.format(
                table=table,
                changed=" OR ".join(f"NEW.{one} IS NOT OLD.{one}" for one in fixed),
                same_texts=" AND ".join(f"NEW.{one} IS OLD.{one}" for one in written),
                no_texts=" AND ".join(
                    f"NEW.{one} = '[]'" if one == "reasons" else f"NEW.{one} IS NULL" for one in written
                ),
                message=message,
            )
        )
    for name in _VIEWS:
        (sql,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).fetchone()
        connection.execute(f"DROP VIEW {name}")
        connection.execute(f"{sql} AND {TRAINABLE}")
