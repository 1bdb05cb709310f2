"""Recording decisions: the rules under which one stands, and what it sends."""

from __future__ import annotations

import sqlite3

from msgspec import structs

from picktune.errors import (
    AlreadyDecided,
    CandidateNotFound,
    Conflict,
    Forgotten,
    InvalidInput,
    KeyReused,
    NotShown,
    SlateNotFound,
)
from picktune.log import conversations, rows
from picktune.log.chain import LINK, PICKS
from picktune.log.validity import checked
from picktune.records import Pick

_COLUMNS = f"id, {rows.PICK}, {LINK}"
_INSERT = f"INSERT INTO picks ({_COLUMNS}) VALUES ({', '.join('?' * (_COLUMNS.count(',') + 1))})"

# Everything that the rules ask, in one statement: each statement waits for the interpreter's lock anew.
_SITUATION = f"""
SELECT t.conversation_id, t.messages,
    EXISTS (SELECT 1 FROM candidates c WHERE c.slate_id = s.id AND c.id = :candidate_id),
    EXISTS (SELECT 1 FROM conversations v WHERE v.id = t.conversation_id),
    s.hash, e.places, e.shown_at,
    (SELECT hash FROM chains WHERE name = 'picks'), (SELECT 1 + coalesce(max(id), 0) FROM picks),
    p.id, {", ".join("p." + column for column in rows.PICK.split(", "))},
    s.salt IS NULL
FROM slates s JOIN turns t ON t.id = s.turn_id
LEFT JOIN exposures e ON e.slate_id = s.id AND e.viewer = :annotator
LEFT JOIN picks p ON p.slate_id = s.id AND p.annotator = :annotator
WHERE s.id = :slate_id ORDER BY p.version
"""


def consistent(pick: Pick) -> Pick:
    """The pick, if its verdict and its fields agree; else ``InvalidInput``, naming the field."""
    pick = checked(pick)
    if not pick.key:
        raise InvalidInput("a decision needs a key of its own; send a random one", field="key")
    if not pick.annotator:
        raise InvalidInput("a decision needs an annotator; say who decided", field="annotator")
    if pick.verdict == "chosen" and pick.candidate_id is None:
        raise InvalidInput("'chosen' needs the candidate that was chosen", field="candidate_id")
    if pick.verdict in ("none_good", "skip", "undone") and pick.candidate_id is not None:
        raise InvalidInput(f"{pick.verdict!r} names no candidate; leave it out", field="candidate_id")
    if pick.edited_text is not None:
        if pick.verdict in ("skip", "undone"):
            raise InvalidInput(f"{pick.verdict!r} sends nothing; leave the text out", field="edited_text")
        if pick.verdict == "tie" and pick.candidate_id is None:
            raise InvalidInput(
                "a tie sends one of the replies or its edited form: name the candidate, or decide "
                "'none_good' to send a reply of your own",
                field="candidate_id",
            )
        if not pick.edited_text.strip():
            raise InvalidInput("the reply to send is empty; write one or leave it out", field="edited_text")
    if pick.dwell_ms is not None and pick.dwell_ms < 0:
        raise InvalidInput(f"dwell_ms cannot be negative, and is {pick.dwell_ms}", field="dwell_ms")
    return pick


def record(connection: sqlite3.Connection, pick: Pick, *, sends: bool = True) -> Pick:
    """Keep a consistent decision with what it sends or takes back; see ``Log.record``.

    One that was taken elsewhere ``sends`` nothing: that was done there.
    """
    found = connection.execute(
        _SITUATION,
        {"slate_id": pick.slate_id, "annotator": pick.annotator, "candidate_id": pick.candidate_id},
    ).fetchall()
    if not found:
        raise SlateNotFound(pick.slate_id)
    conversation_id, turn_messages, on_slate, stored, *about, head, pick_id = found[0][:9]
    before = [(row[9], rows.pick_of(row[10:])) for row in found if row[9] is not None]

    for _, earlier in before:
        if earlier.key == pick.key:
            if _said(earlier) != _said(pick):
                raise KeyReused(pick.key)
            return earlier
    if pick.candidate_id is not None and not on_slate:
        raise CandidateNotFound(pick.candidate_id, pick.slate_id)
    if about[1] is None:
        raise NotShown(pick.slate_id, pick.annotator)
    standing_id, standing = before[-1] if before else (0, None)
    if standing is not None and standing.verdict == "undone":
        standing = None
    if pick.verdict != "undone" and standing is not None:
        raise AlreadyDecided(pick.slate_id, pick.annotator)
    if pick.verdict == "undone" and standing is None:
        raise Conflict(
            f"{pick.annotator!r} has nothing to undo on slate {pick.slate_id!r}; decide on it first",
            field="slate_id",
        )

    if found[0][-1]:
        raise Forgotten("slate", pick.slate_id)
    pick = structs.replace(pick, version=len(before) + 1)
    row = rows.pick_row(pick)
    connection.execute(_INSERT, (pick_id, *row, *PICKS.link(head, pick_id, row, about)))
    if standing is not None:
        conversations.take_back(connection, standing, standing_id, undone_id=pick_id, at=pick.decided_at)
    elif stored and sends and (pick.candidate_id is not None or pick.edited_text is not None):
        conversations.send(
            connection,
            pick_id,
            conversation_id=conversation_id,
            state=rows.messages(turn_messages),
            at=pick.decided_at,
        )
    return pick


def _said(pick: Pick) -> tuple[object, ...]:
    # A repeated request may carry a later clock; what was decided has to be the same.
    return pick.verdict, pick.candidate_id, pick.edited_text, pick.reasons, pick.comment, pick.role
