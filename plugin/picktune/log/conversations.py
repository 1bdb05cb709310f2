"""Conversations as they stand: what they began with, and the replies that were sent since."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from msgspec import structs

from picktune.errors import Conflict
from picktune.log import privacy, rows
from picktune.records import Conversation, Message, Pick


def load(connection: sqlite3.Connection, conversation_id: str) -> Conversation | None:
    """The conversation with the replies sent so far, or ``None`` if it is not stored."""
    row = connection.execute(
        f"SELECT {rows.CONVERSATION} FROM conversations WHERE id = ?", (conversation_id,)
    ).fetchone()
    return None if row is None else as_it_stands(connection, row)


def as_it_stands(connection: sqlite3.Connection, row: rows.Row) -> Conversation:
    """The conversation of a row of ``conversations``."""
    sent = connection.execute("SELECT text FROM sent WHERE conversation_id = ? ORDER BY place", (row[0],))
    conversation = rows.conversation_of(row, [text for (text,) in sent])
    user_ref, consent = privacy.owner_of(connection, row[0])
    return structs.replace(conversation, user_ref=user_ref, consent=consent)


def add(connection: sqlite3.Connection, conversations: Sequence[Conversation]) -> int:
    """Insert those that are new; how many there were."""
    columns = rows.CONVERSATION.count(",") + 1
    sql = (
        f"INSERT INTO conversations ({rows.CONVERSATION}) VALUES ({', '.join('?' * columns)}) "
        f"ON CONFLICT (id) DO NOTHING"
    )
    new = 0
    for one in conversations:
        if connection.execute(sql, rows.conversation_row(one)).rowcount:
            privacy.own(connection, one)
            new += 1
    return new


def condition(status: str | None, locale: str | None) -> tuple[str, list[str]]:
    """The WHERE clause, and its values, that selects conversations."""
    wanted = {"status": status, "locale": locale}
    parts = [f"{column} = ?" for column, value in wanted.items() if value is not None]
    values = [value for value in wanted.values() if value is not None]
    return f" WHERE {' AND '.join(parts)}" if parts else "", values


def same_state(one: Sequence[Message], other: Sequence[Message]) -> bool:
    """Whether customer and agent have said the same; the system prompt is no part of what was said."""
    said = [message for message in one if message.role != "system"]
    return said == [message for message in other if message.role != "system"]


def send(
    connection: sqlite3.Connection,
    pick_id: int,
    *,
    conversation_id: str,
    state: Sequence[Message],
    at: datetime,
) -> bool:
    """Let the pick's reply join the conversation, if it still stands where the slate was drawn.

    It does not if somebody else's reply was sent meanwhile: then the decision counts, but sends nothing.
    """
    conversation = load(connection, conversation_id)
    if conversation is None or not same_state(conversation.messages, state):
        return False
    place = connection.execute(
        "SELECT count(*) FROM sent_replies WHERE conversation_id = ? AND taken_back_by IS NULL",
        (conversation_id,),
    ).fetchone()[0]
    connection.execute(
        "INSERT INTO sent_replies (pick_id, conversation_id, place) VALUES (?, ?, ?)",
        (pick_id, conversation_id, place),
    )
    _touch(connection, conversation_id, "open" if conversation.pending else "closed", at)
    return True


def take_back(
    connection: sqlite3.Connection, standing: Pick, standing_id: int, *, undone_id: int, at: datetime
) -> None:
    """Take the standing pick's reply out of its conversation, if it was sent.

    Raises ``Conflict`` if another reply has been sent after it.
    """
    row = connection.execute(
        "SELECT conversation_id, place FROM sent_replies WHERE pick_id = ?", (standing_id,)
    ).fetchone()
    if row is None:
        return
    conversation_id, place = row
    later = connection.execute(
        "SELECT 1 FROM sent_replies WHERE conversation_id = ? AND place > ? AND taken_back_by IS NULL",
        (conversation_id, place),
    ).fetchone()
    if later:
        raise Conflict(
            f"the decision on slate {standing.slate_id!r} cannot be undone: conversation {conversation_id!r} "
            f"has moved on since; undo the later replies first",
            field="slate_id",
        )
    connection.execute(
        "UPDATE sent_replies SET taken_back_by = ? WHERE pick_id = ?", (undone_id, standing_id)
    )
    _touch(connection, conversation_id, "open", at)


def _touch(connection: sqlite3.Connection, conversation_id: str, status: str, at: datetime) -> None:
    connection.execute(
        "UPDATE conversations SET status = ?, updated_at = ? WHERE id = ?",
        (status, rows.micros(at), conversation_id),
    )
