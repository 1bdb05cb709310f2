"""The scenario of a decision's conversation, as the view ``decisions`` gives it."""

from __future__ import annotations

import sqlite3

# A conversation that is not stored has no scenario, and neither has one that was stored without.
_DECISIONS = """
CREATE VIEW decisions AS
SELECT p.id AS pick_id, p.slate_id, t.conversation_id, p.annotator, p.role, p.verdict, s.complete, t.tags,
    t.locale, p.decided_at,
    (SELECT json_group_array(json(one)) FROM (
        SELECT json_array(w.arm, json(w.also), w.model, w.candidate_id IS p.candidate_id) AS one FROM shown w
        WHERE w.slate_id = p.slate_id AND w.viewer = p.annotator ORDER BY w.position)) AS candidates,
    (SELECT json_array(a.champion, a.challenger) FROM alias_changes a WHERE a.seen_at <= s.created_at
        ORDER BY a.seen_at DESC, a.id DESC LIMIT 1) AS aliases,
    (SELECT v.scenario FROM conversations v WHERE v.id = t.conversation_id) AS scenario
FROM standing_picks p JOIN slates s ON s.id = p.slate_id JOIN turns t ON t.id = s.turn_id
"""


def begin(connection: sqlite3.Connection) -> None:
    """Make the view anew, with the column ``scenario`` at its end."""
    connection.execute("DROP VIEW decisions")
    connection.execute(_DECISIONS)
