"""Slates with their turn and candidates, who saw them, and reactions to single replies."""

from __future__ import annotations

import sqlite3

from msgspec import structs

from picktune.errors import CandidateNotFound, Conflict, InvalidInput, KeyReused, SlateNotFound
from picktune.log import campaigns, conversations, privacy, rows
from picktune.log.chain import LINK, REACTIONS, SLATE_SEAL, seal
from picktune.log.validity import checked
from picktune.records import Candidate, Exposure, Reaction, Slate


def consistent(slate: Slate) -> Slate:
    """The slate, if it can be stored; else ``InvalidInput``."""
    slate = checked(slate)
    # An incomplete slate may be empty: nothing could be drawn, and a person answered by hand.
    if not slate.candidates and slate.complete:
        raise InvalidInput(
            f"slate {slate.id!r} has no candidates; there is nothing to show", field="candidates"
        )
    ids = [candidate.id for candidate in slate.candidates]
    if len(set(ids)) < len(ids):
        raise InvalidInput(f"slate {slate.id!r} names one candidate twice", field="candidates")
    return slate


def add(connection: sqlite3.Connection, slate: Slate) -> None:
    """Insert a consistent slate; the same one again changes nothing, a different one is a ``Conflict``."""
    if (stored := load(connection, slate.id)) is not None:
        # Consent may have been withdrawn since.
        if stored != structs.replace(slate, turn=structs.replace(slate.turn, consent=stored.turn.consent)):
            raise Conflict(f"there is a different slate with id {slate.id!r}; use a new id", field="slate_id")
        return
    turn = connection.execute(f"SELECT {rows.TURN} FROM turns WHERE id = ?", (slate.turn.id,)).fetchone()
    if turn is None:
        turn = rows.turn_row(slate.turn)
        privacy.check_new_turn(connection, slate.turn)
        connection.execute(_insert("turns", rows.TURN), turn)
        privacy.restrict(connection, slate.turn)
    elif rows.turn_of(turn) != structs.replace(slate.turn, consent="train"):
        raise Conflict(f"there is a different turn with id {slate.turn.id!r}; use a new id", field="turn")
    row = rows.slate_row(slate)
    drawn = [rows.candidate_row(slate.id, place, one) for place, one in enumerate(slate.candidates)]
    connection.execute(_insert("slates", f"{rows.SLATE}, {SLATE_SEAL}"), (*row, *seal(row, turn, drawn)))
    connection.executemany(_insert("candidates", rows.CANDIDATE), drawn)
    campaigns.mark(connection, slate.id, slate.turn.tags)


def load(connection: sqlite3.Connection, slate_id: str) -> Slate | None:
    """The slate of that id, or ``None``."""
    row = connection.execute(f"SELECT {rows.SLATE} FROM slates WHERE id = ?", (slate_id,)).fetchone()
    if row is None:
        return None
    turn = connection.execute(f"SELECT {rows.TURN} FROM turns WHERE id = ?", (row[1],)).fetchone()
    drawn_for = structs.replace(rows.turn_of(turn), consent=privacy.consent_of(connection, row[1]))
    return rows.slate_of(row, drawn_for, candidates(connection, slate_id))


def candidates(connection: sqlite3.Connection, slate_id: str) -> list[Candidate]:
    """The slate's candidates by their place in it; empty if there is no such slate."""
    found = connection.execute(
        f"SELECT {rows.CANDIDATE} FROM candidates WHERE slate_id = ? ORDER BY place", (slate_id,)
    )
    return [rows.candidate_of(one) for one in found]


def candidate_ids(connection: sqlite3.Connection, slate_id: str) -> list[str]:
    """The ids of the slate's candidates by their place in it; empty if there is no such slate."""
    found = connection.execute("SELECT id FROM candidates WHERE slate_id = ? ORDER BY place", (slate_id,))
    return [one for (one,) in found]


def expose(connection: sqlite3.Connection, exposure: Exposure) -> Exposure:
    """Insert the first exposure of a viewer to a slate, or return the one that stands."""
    ids = candidate_ids(connection, exposure.slate_id)
    if not ids and load(connection, exposure.slate_id) is None:
        raise SlateNotFound(exposure.slate_id)
    row = connection.execute(
        "SELECT slate_id, viewer, places, shown_at FROM exposures WHERE slate_id = ? AND viewer = ?",
        (exposure.slate_id, exposure.viewer),
    ).fetchone()
    if row is not None:
        return rows.exposure_of(row, ids)
    if sorted(exposure.order) != sorted(ids):
        raise InvalidInput(
            f"the order does not name each candidate of slate {exposure.slate_id!r} once", field="order"
        )
    places = [ids.index(candidate_id) for candidate_id in exposure.order]
    connection.execute(
        "INSERT INTO exposures (slate_id, viewer, places, shown_at) VALUES (?, ?, ?, ?)",
        (exposure.slate_id, exposure.viewer, rows.listed(places), rows.micros(exposure.shown_at)),
    )
    return exposure


def waiting(connection: sqlite3.Connection, conversation_id: str, viewer: str | None) -> Slate | None:
    """The newest slate for the conversation as it stands that nobody has decided on; see ``LogReader``."""
    conversation = conversations.load(connection, conversation_id)
    state = None if conversation is None else conversation.messages
    found = connection.execute(
        """
        SELECT s.id, t.messages,
            EXISTS (SELECT 1 FROM standing_picks p WHERE p.slate_id = s.id) OR EXISTS (
                SELECT 1 FROM signals g WHERE g.slate_id = s.id AND g.kind = 'regenerated'),
            :viewer IS NULL OR NOT EXISTS (SELECT 1 FROM exposures e WHERE e.slate_id = s.id)
                OR EXISTS (SELECT 1 FROM exposures e WHERE e.slate_id = s.id AND e.viewer = :viewer)
        FROM turns t JOIN slates s ON s.turn_id = t.id
        WHERE t.conversation_id = :conversation_id ORDER BY s.created_at DESC, s.rowid DESC
        """,
        {"conversation_id": conversation_id, "viewer": viewer},
    )
    for slate_id, turn_messages, decided, open_to_viewer in found:
        drawn_for = rows.messages(turn_messages)
        state = drawn_for if state is None else state
        if not decided and open_to_viewer and conversations.same_state(drawn_for, state):
            slate = load(connection, slate_id)
            if slate is not None and slate.candidates:
                return slate
    return None


def react(connection: sqlite3.Connection, reaction: Reaction) -> Reaction:
    """Insert a reaction; the same key again changes nothing."""
    found = connection.execute(
        "SELECT c.slate_id, s.hash, (SELECT hash FROM chains WHERE name = 'reactions'), "
        "(SELECT 1 + coalesce(max(id), 0) FROM reactions) "
        "FROM candidates c JOIN slates s ON s.id = c.slate_id WHERE c.id = ?",
        (reaction.candidate_id,),
    ).fetchone()
    if found is None:
        raise CandidateNotFound(reaction.candidate_id)
    slate_id, sealed, head, reaction_id = found
    privacy.check_standing(connection, slate_id)
    before = connection.execute(
        f"SELECT {rows.REACTION} FROM reactions WHERE slate_id = ? AND annotator = ? AND key = ?",
        (slate_id, reaction.annotator, reaction.key),
    ).fetchone()
    if before is not None:
        earlier = rows.reaction_of(before)
        if structs.replace(reaction, reacted_at=earlier.reacted_at) != earlier:
            raise KeyReused(reaction.key)
        return earlier
    row = rows.reaction_row(reaction, slate_id)
    link = REACTIONS.link(head, reaction_id, row, (sealed,))
    connection.execute(_insert("reactions", f"id, {rows.REACTION}, {LINK}"), (reaction_id, *row, *link))
    return reaction


def _insert(table: str, columns: str) -> str:
    return f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * (columns.count(',') + 1))})"
