"""Bringing a log into the hash chain: its columns and triggers, and the rows that were there before it."""

from __future__ import annotations

import sqlite3

from picktune.log.chain import CHAINS, GENESIS, LINK, Chain, seal
from picktune.log.stored import chain_rows, slate_rows

_BATCH = 500

_COLUMNS = """
ALTER TABLE slates ADD COLUMN salt BLOB;
ALTER TABLE slates ADD COLUMN texts_hash BLOB;
ALTER TABLE slates ADD COLUMN hash BLOB;
ALTER TABLE picks ADD COLUMN previous BLOB;
ALTER TABLE picks ADD COLUMN hash BLOB;
ALTER TABLE picks ADD COLUMN who_salt BLOB;
ALTER TABLE picks ADD COLUMN who_hash BLOB;
ALTER TABLE picks ADD COLUMN texts_salt BLOB;
ALTER TABLE picks ADD COLUMN texts_hash BLOB;
ALTER TABLE reactions ADD COLUMN previous BLOB;
ALTER TABLE reactions ADD COLUMN hash BLOB;
ALTER TABLE reactions ADD COLUMN who_salt BLOB;
ALTER TABLE reactions ADD COLUMN who_hash BLOB;
ALTER TABLE reactions ADD COLUMN texts_salt BLOB;
ALTER TABLE reactions ADD COLUMN texts_hash BLOB;
CREATE TABLE chains (name TEXT PRIMARY KEY, length INTEGER NOT NULL, hash BLOB NOT NULL) STRICT, WITHOUT ROWID
"""

# The log writes each row with its hash; a row from elsewhere is refused rather than left out of the chain.
_SEALED = """
CREATE TRIGGER slates_are_sealed BEFORE INSERT ON slates
WHEN NEW.salt IS NULL OR NEW.texts_hash IS NULL OR NEW.hash IS NULL
BEGIN SELECT raise(ABORT, 'slates are sealed by a hash: let a Picktune of this version write them'); END
"""
_LINKED = """
CREATE TRIGGER {table}_continue_the_chain BEFORE INSERT ON {table}
WHEN NEW.id <> 1 + (SELECT coalesce(max(id), 0) FROM {table})
    OR NEW.previous IS NOT (SELECT hash FROM chains WHERE name = '{table}')
    OR NEW.hash IS NULL OR NEW.who_salt IS NULL OR NEW.who_hash IS NULL
    OR NEW.texts_salt IS NULL OR NEW.texts_hash IS NULL
BEGIN SELECT raise(ABORT, '{table} are append only: let a Picktune of this version continue their chain'); END
"""
_MOVED = """
CREATE TRIGGER {table}_move_the_head AFTER INSERT ON {table}
BEGIN UPDATE chains SET length = length + 1, hash = NEW.hash WHERE name = '{table}'; END
"""
_REACTIONS = (
    """
CREATE TRIGGER reactions_are_never_changed BEFORE UPDATE ON reactions
BEGIN SELECT raise(ABORT, 'reactions are append only: record another one instead of changing one'); END
""",
    """
CREATE TRIGGER reactions_are_never_deleted BEFORE DELETE ON reactions
BEGIN SELECT raise(ABORT, 'reactions are append only: none is deleted'); END
""",
    """
CREATE TRIGGER reactions_are_never_replaced BEFORE INSERT ON reactions
WHEN EXISTS (SELECT 1 FROM reactions WHERE id = NEW.id)
    OR EXISTS (
        SELECT 1 FROM reactions
        WHERE slate_id = NEW.slate_id AND annotator = NEW.annotator AND key = NEW.key)
BEGIN SELECT raise(ABORT, 'reactions are append only: a key is used once'); END
""",
)


def begin(connection: sqlite3.Connection) -> None:
    """Add the columns, seal and chain every row that is there, and guard the tables from then on."""
    for statement in _COLUMNS.split(";\n"):
        connection.execute(statement)
    _seal_slates(connection)
    (guard,) = connection.execute(
        "SELECT sql FROM sqlite_master WHERE name = 'picks_are_never_changed'"
    ).fetchone()
    connection.execute("DROP TRIGGER picks_are_never_changed")
    for chain in CHAINS:
        _link_rows(connection, chain)
    connection.execute(guard)
    connection.execute(_SEALED)
    for statement in _REACTIONS:
        connection.execute(statement)
    for chain in CHAINS:
        connection.execute(_LINKED.format(table=chain.table))
        connection.execute(_MOVED.format(table=chain.table))


def _seal_slates(connection: sqlite3.Connection) -> None:
    after, last = ">=", ""
    while batch := list(
        slate_rows(connection, f"WHERE s.id {after} ? ORDER BY s.id LIMIT {_BATCH}", (last,))
    ):
        connection.executemany(
            "UPDATE slates SET salt = ?, texts_hash = ?, hash = ? WHERE id = ?",
            [(*seal(slate, turn, candidates), slate[0]) for slate, turn, candidates, _ in batch],
        )
        after, last = ">", batch[-1][0][0]


def _link_rows(connection: sqlite3.Connection, chain: Chain) -> None:
    last, length, head = -(2**63), 0, GENESIS
    sets = ", ".join(f"{column} = ?" for column in LINK.split(", "))
    while batch := list(
        chain_rows(connection, chain, f"WHERE r.id > ? ORDER BY r.id LIMIT {_BATCH}", (last,))
    ):
        links = []
        for id, row, _, about in batch:
            link = chain.link(head, id, row, about)
            links.append((*link, id))
            last, head, length = id, link[1], length + 1
        connection.executemany(f"UPDATE {chain.table} SET {sets} WHERE id = ?", links)
    connection.execute("INSERT INTO chains VALUES (?, ?, ?)", (chain.table, length, head))
