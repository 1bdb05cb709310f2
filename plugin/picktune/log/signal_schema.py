"""The tables of signals and scores, and the view of edits; they are made by migrations in ``schema``.

Rows are only ever added. Two things may still happen to them: an annotator's name and words may be erased,
as everywhere in the log, and signals go with a slate on which nobody decided.
"""

from __future__ import annotations

SIGNALS = """
CREATE TABLE signals (
    id INTEGER PRIMARY KEY,
    slate_id TEXT NOT NULL REFERENCES slates (id),
    annotator TEXT NOT NULL,
    key TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('copied', 'visible', 'dwell', 'regenerated')),
    detail TEXT NOT NULL,
    role TEXT NOT NULL,
    noted_at INTEGER NOT NULL,
    UNIQUE (slate_id, annotator, key)
) STRICT;
CREATE INDEX signals_by_kind ON signals (kind, noted_at);

CREATE TABLE scores (
    id INTEGER PRIMARY KEY,
    slate_id TEXT NOT NULL REFERENCES slates (id),
    candidate_id TEXT NOT NULL REFERENCES candidates (id),
    annotator TEXT NOT NULL,
    scale TEXT NOT NULL,
    version INTEGER NOT NULL,
    key TEXT NOT NULL,
    value INTEGER NOT NULL,
    low INTEGER NOT NULL,
    high INTEGER NOT NULL,
    comment TEXT,
    role TEXT NOT NULL,
    scored_at INTEGER NOT NULL,
    CHECK (low < high AND value BETWEEN low AND high),
    UNIQUE (candidate_id, annotator, scale, version),
    UNIQUE (slate_id, annotator, key)
) STRICT;
CREATE INDEX scores_by_time ON scores (scored_at);

CREATE TRIGGER signals_are_never_changed BEFORE UPDATE ON signals
WHEN NEW.annotator NOT LIKE 'erased-%' OR NEW.id <> OLD.id OR NEW.slate_id <> OLD.slate_id
    OR NEW.kind <> OLD.kind OR NEW.detail <> OLD.detail OR NEW.role <> OLD.role
    OR NEW.noted_at <> OLD.noted_at
BEGIN SELECT raise(ABORT, 'signals are append only: note a new one instead of changing one'); END;
CREATE TRIGGER signals_are_never_deleted BEFORE DELETE ON signals
WHEN EXISTS (SELECT 1 FROM picks p WHERE p.slate_id = OLD.slate_id)
    OR EXISTS (SELECT 1 FROM reactions r WHERE r.slate_id = OLD.slate_id)
    OR EXISTS (SELECT 1 FROM scores c WHERE c.slate_id = OLD.slate_id)
BEGIN SELECT raise(ABORT, 'signals on a slate that was decided on are evidence, and stay'); END;
CREATE TRIGGER signals_are_never_replaced BEFORE INSERT ON signals
WHEN EXISTS (SELECT 1 FROM signals WHERE id = NEW.id) OR EXISTS (
        SELECT 1 FROM signals
        WHERE slate_id = NEW.slate_id AND annotator = NEW.annotator AND key = NEW.key)
BEGIN SELECT raise(ABORT, 'signals are append only: a key is used once'); END;

CREATE TRIGGER scores_are_never_changed BEFORE UPDATE ON scores
WHEN NEW.annotator NOT LIKE 'erased-%' OR NEW.comment IS NOT NULL OR NEW.id <> OLD.id
    OR NEW.slate_id <> OLD.slate_id OR NEW.candidate_id <> OLD.candidate_id OR NEW.scale <> OLD.scale
    OR NEW.version <> OLD.version OR NEW.value <> OLD.value OR NEW.low <> OLD.low OR NEW.high <> OLD.high
    OR NEW.role <> OLD.role OR NEW.scored_at <> OLD.scored_at
BEGIN SELECT raise(ABORT, 'scores are append only: give a new version instead of changing one'); END;
CREATE TRIGGER scores_are_never_deleted BEFORE DELETE ON scores
BEGIN SELECT raise(ABORT, 'scores are append only: give a new version instead of deleting one'); END;
CREATE TRIGGER scores_are_never_replaced BEFORE INSERT ON scores
WHEN NEW.version <> 1 + (
        SELECT coalesce(max(version), 0) FROM scores
        WHERE candidate_id = NEW.candidate_id AND annotator = NEW.annotator AND scale = NEW.scale)
    OR EXISTS (SELECT 1 FROM scores WHERE id = NEW.id)
    OR EXISTS (
        SELECT 1 FROM scores WHERE slate_id = NEW.slate_id AND annotator = NEW.annotator AND key = NEW.key)
BEGIN SELECT raise(ABORT, 'scores are append only: versions count from 1 and a key is used once'); END;

CREATE VIEW standing_scores AS
SELECT s.* FROM scores s WHERE NOT EXISTS (
    SELECT 1 FROM scores n WHERE n.candidate_id = s.candidate_id AND n.annotator = s.annotator
        AND n.scale = s.scale AND n.version > s.version);

CREATE VIEW edit_preferences AS
SELECT p.id AS pick_id, p.slate_id, t.conversation_id, t.messages, p.edited_text AS chosen,
    c.text AS rejected, c.arm, c.also, c.model, p.annotator, p.role, t.tags, t.locale, p.decided_at
FROM standing_picks p JOIN slates s ON s.id = p.slate_id JOIN turns t ON t.id = s.turn_id
JOIN candidates c ON c.id = p.candidate_id
WHERE p.edited_text IS NOT NULL AND p.edited_text <> c.text;
"""
