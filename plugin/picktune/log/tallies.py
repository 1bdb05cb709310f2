"""What the signals say in all: how many of each kind, scores, copies and edits by who spoke."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import datetime
from statistics import median

from picktune.log.edits import edit_preferences
from picktune.log.signals import span
from picktune.signals import EditTally, ScoreTally, SignalTallies

# For how long each reply was in sight of whoever then chose one of its slate; the least of them.
_SEEN = """
SELECT count(*), coalesce(sum(least = 0), 0) FROM (
    SELECT min(ms) AS least FROM (
        SELECT g.slate_id, g.annotator, sum(r.value ->> 'visible_ms') AS ms
        FROM signals g CROSS JOIN json_each(g.detail, '$.replies') r
        JOIN standing_picks p ON p.slate_id = g.slate_id AND p.annotator = g.annotator
        WHERE p.verdict = 'chosen' AND g.kind = 'visible' AND {where}
        GROUP BY g.slate_id, g.annotator, r.value ->> 'candidate_id')
    GROUP BY slate_id, annotator)
"""


def tallies(connection: sqlite3.Connection, since: datetime | None, until: datetime | None) -> SignalTallies:
    """All of it, of signals noted, scores given and edits decided in that time."""
    noted, values = span("g.noted_at", since, until)
    scored, score_values = span("scored_at", since, until)
    kinds = connection.execute(f"SELECT kind, count(*) FROM signals g WHERE {noted} GROUP BY kind", values)
    copied = connection.execute(
        f"SELECT coalesce(c.model, ''), count(*) FROM signals g "
        f"JOIN candidates c ON c.id = g.detail ->> 'candidate_id' "
        f"WHERE g.kind = 'copied' AND {noted} GROUP BY c.model",
        values,
    )
    scores = connection.execute(
        f"SELECT s.scale, coalesce(c.model, ''), count(*), avg(s.value) FROM standing_scores s "
        f"JOIN candidates c ON c.id = s.candidate_id WHERE {scored} GROUP BY s.scale, c.model "
        f"ORDER BY s.scale, c.model",
        score_values,
    )
    seen, missed = connection.execute(_SEEN.format(where=noted), values).fetchone()
    return SignalTallies(
        kinds=dict(sorted(kinds)),
        copied=dict(sorted(copied)),
        scores=tuple(ScoreTally(scale=a, model=b, n=c, mean=d) for a, b, c, d in scores),
        edits=tuple(_edits(connection, since, until)),
        seen=seen,
        missed=missed,
    )


def _edits(
    connection: sqlite3.Connection, since: datetime | None, until: datetime | None
) -> Iterator[EditTally]:
    by_model: dict[str, list[float]] = {}
    for edit in edit_preferences(connection, since, until, None):
        by_model.setdefault(edit.model or "", []).append(edit.distance)
    for model, distances in sorted(by_model.items()):
        yield EditTally(model=model, n=len(distances), median=median(distances))
