"""Consent in the log: whose a turn is, what they agreed to, and what is kept out of the training for it."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import Literal

from picktune.errors import Forgotten
from picktune.log import rows
from picktune.log.privacy_schema import TRAINABLE
from picktune.records import Consent, Conversation, Turn

__all__ = [
    "TRAINABLE",
    "check_new_turn",
    "check_standing",
    "consent_of",
    "lowest",
    "own",
    "owner_of",
    "restrict",
    "standing",
    "withdraw",
]

Scope = Literal["user", "conversation"]

_ORDER: tuple[Consent, ...] = ("none", "log", "train")


def lowest(*levels: Consent) -> Consent:
    """The one that permits least."""
    return min(levels, key=_ORDER.index)


def standing(connection: sqlite3.Connection, user_ref: str | None, conversation_id: str | None) -> Consent:
    """What user and conversation agreed to, once and for all; ``train`` if neither said anything."""
    found = connection.execute(
        "SELECT level FROM consents WHERE scope = 'user' AND ref = ? "
        "UNION ALL SELECT level FROM consents WHERE scope = 'conversation' AND ref = ?",
        (user_ref, conversation_id),
    )
    return lowest("train", *(level for (level,) in found))


def restrict(connection: sqlite3.Connection, turn: Turn) -> None:
    """Keep a new turn out of the training unless it, its user and its conversation all agreed to that."""
    level = lowest(turn.consent, standing(connection, turn.user_ref, turn.conversation_id))
    if level != "train":
        connection.execute("INSERT OR IGNORE INTO restrictions VALUES (?, 'log')", (turn.id,))


def consent_of(connection: sqlite3.Connection, turn_id: str) -> Consent:
    """``train``, or ``log`` if the turn is kept out of the training."""
    row = connection.execute("SELECT 1 FROM restrictions WHERE turn_id = ?", (turn_id,)).fetchone()
    return "train" if row is None else "log"


def own(connection: sqlite3.Connection, conversation: Conversation) -> None:
    """Keep whose a new conversation is, and what was agreed to for it."""
    if conversation.user_ref is not None:
        connection.execute(
            "INSERT OR REPLACE INTO conversation_owners VALUES (?, ?)",
            (conversation.id, conversation.user_ref),
        )
    if conversation.consent != "train":
        _keep(connection, "conversation", conversation.id, conversation.consent, conversation.created_at)


def owner_of(connection: sqlite3.Connection, conversation_id: str) -> tuple[str | None, Consent]:
    """Whose a conversation is, and what was agreed to for it."""
    row = connection.execute(
        "SELECT (SELECT user_ref FROM conversation_owners WHERE conversation_id = ?1), "
        "(SELECT level FROM consents WHERE scope = 'conversation' AND ref = ?1)",
        (conversation_id,),
    ).fetchone()
    return row[0], row[1] or "train"


def withdraw(connection: sqlite3.Connection, scope: Scope, ref: str, level: Consent, at: datetime) -> int:
    """Keep what a user agrees to from now on, or for a conversation; how many turns that changes.

    Less than ``train`` keeps all earlier turns out of the training too. ``train`` lets later turns in again,
    and never an earlier one: what was withdrawn stays withdrawn.
    """
    _keep(connection, scope, ref, level, at)
    if level == "train":
        return 0
    column = "user_ref" if scope == "user" else "conversation_id"
    changed = connection.execute(
        f"INSERT OR IGNORE INTO restrictions SELECT id, 'log' FROM turns WHERE {column} = ?", (ref,)
    ).rowcount
    if scope == "user":
        changed += connection.execute(
            "INSERT OR IGNORE INTO restrictions SELECT t.id, 'log' FROM turns t "
            "JOIN conversation_owners o ON o.conversation_id = t.conversation_id WHERE o.user_ref = ?",
            (ref,),
        ).rowcount
    return changed


def check_new_turn(connection: sqlite3.Connection, turn: Turn) -> None:
    """Raise ``Forgotten`` for a turn that was under way when its conversation was erased."""
    row = connection.execute(
        "SELECT at FROM erased_conversations WHERE conversation_id = ?", (turn.conversation_id,)
    ).fetchone()
    if row is not None and rows.micros(turn.created_at) <= row[0]:
        raise Forgotten("conversation", turn.conversation_id)


def check_standing(connection: sqlite3.Connection, slate_id: str) -> None:
    """Raise ``Forgotten`` if the slate was erased: no new words join it."""
    row = connection.execute("SELECT salt FROM slates WHERE id = ?", (slate_id,)).fetchone()
    if row is not None and row[0] is None:
        raise Forgotten("slate", slate_id)


def _keep(connection: sqlite3.Connection, scope: Scope, ref: str, level: Consent, at: datetime) -> None:
    connection.execute(
        "INSERT INTO consents VALUES (?, ?, ?, ?) "
        "ON CONFLICT (scope, ref) DO UPDATE SET level = excluded.level, since = excluded.since",
        (scope, ref, level, rows.micros(at)),
    )
