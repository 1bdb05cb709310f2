"""Campaigns in the log: what they want, which slates were drawn under them, and what was picked there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from msgspec import structs

from picktune.campaigns import TAG, Campaign, CampaignSelection
from picktune.errors import CampaignNotFound, Conflict
from picktune.log import conversations, rows
from picktune.log.signals import roles_condition
from picktune.records import AnnotatorRole, Conversation

TABLES = """
CREATE TABLE campaigns (
    name TEXT PRIMARY KEY,
    definition TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE campaign_closings (
    name TEXT PRIMARY KEY REFERENCES campaigns (name),
    closed_at INTEGER NOT NULL,
    closed_by TEXT NOT NULL,
    why TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE campaign_slates (
    slate_id TEXT PRIMARY KEY REFERENCES slates (id),
    campaign TEXT NOT NULL REFERENCES campaigns (name)
) STRICT, WITHOUT ROWID;
CREATE INDEX campaign_slates_by_campaign ON campaign_slates (campaign);
CREATE TRIGGER campaigns_are_never_changed BEFORE UPDATE ON campaigns
BEGIN SELECT raise(ABORT, 'campaigns stay as they were made: close it and make another one'); END;
CREATE TRIGGER campaigns_are_never_deleted BEFORE DELETE ON campaigns
BEGIN SELECT raise(ABORT, 'campaigns stay as they were made: close it instead of deleting it'); END;
CREATE TRIGGER campaigns_are_never_replaced BEFORE INSERT ON campaigns
WHEN EXISTS (SELECT 1 FROM campaigns WHERE name = NEW.name)
BEGIN SELECT raise(ABORT, 'campaigns stay as they were made: use another name'); END;
CREATE TRIGGER campaign_closings_are_never_changed BEFORE UPDATE ON campaign_closings
BEGIN SELECT raise(ABORT, 'a campaign is closed once and for all: make another one'); END;
"""
_DEFINED = (
    "title",
    "purpose",
    "selection",
    "policy",
    "wanted",
    "until",
    "per_annotator",
    "annotators",
    "scale",
)
_SELECT = """
SELECT c.definition, l.closed_at, l.closed_by, l.why
FROM campaigns c LEFT JOIN campaign_closings l ON l.name = c.name
"""


def add(connection: sqlite3.Connection, campaign: Campaign) -> Campaign:
    """Keep a checked campaign; the same one again changes nothing, another of its name is a ``Conflict``."""
    before = connection.execute(f"{_SELECT} WHERE c.name = ?", (campaign.name,)).fetchone()
    if before is not None:
        earlier = _campaign(before)
        if any(getattr(earlier, name) != getattr(campaign, name) for name in _DEFINED):
            raise Conflict(
                f"there is another campaign named {campaign.name!r}; use another name", field="name"
            )
        return earlier
    connection.execute(
        "INSERT INTO campaigns (name, definition, created_at) VALUES (?, ?, ?)",
        (campaign.name, msgspec.json.encode(campaign).decode(), rows.micros(campaign.created_at)),
    )
    return campaign


def close(connection: sqlite3.Connection, name: str, at: datetime, by: str, why: str) -> Campaign:
    """Close a campaign, if it is not closed, and return it; raises ``CampaignNotFound``."""
    if (campaign := load(connection, name)).closed_at is not None:
        return campaign
    connection.execute(
        "INSERT INTO campaign_closings (name, closed_at, closed_by, why) VALUES (?, ?, ?, ?)",
        (name, rows.micros(at), by, why),
    )
    return load(connection, name)


def load(connection: sqlite3.Connection, name: str) -> Campaign:
    """The campaign of that name; raises ``CampaignNotFound``."""
    row = connection.execute(f"{_SELECT} WHERE c.name = ?", (name,)).fetchone()
    if row is None:
        raise CampaignNotFound(name)
    return _campaign(row)


def listed(connection: sqlite3.Connection, *, closed: bool) -> list[Campaign]:
    """The campaigns that are not closed, or all of them, the oldest first."""
    where = "" if closed else "WHERE l.name IS NULL"
    found = connection.execute(f"{_SELECT} {where} ORDER BY c.created_at, c.name")
    return [_campaign(row) for row in found]


def mark(connection: sqlite3.Connection, slate_id: str, tags: Iterable[str]) -> None:
    """Keep under which campaign of this log a new slate was drawn, if its turn has a campaign's tag."""
    for tag in tags:
        if tag.startswith(TAG):
            connection.execute(
                "INSERT INTO campaign_slates (slate_id, campaign) SELECT ?, name FROM campaigns "
                "WHERE name = ? ON CONFLICT (slate_id) DO NOTHING",
                (slate_id, tag.removeprefix(TAG)),
            )


def counts(
    connection: sqlite3.Connection, name: str, roles: Sequence[AnnotatorRole] | None
) -> dict[str, int]:
    """How many picks stand on the campaign's slates, by annotator; skips are none."""
    condition, values = roles_condition(roles)
    found = connection.execute(
        f"SELECT annotator, count(*) AS picks FROM campaign_slates k "
        f"JOIN standing_picks p ON p.slate_id = k.slate_id "
        f"WHERE k.campaign = ? AND verdict IN ('chosen', 'tie', 'none_good') AND {condition} "
        f"GROUP BY annotator ORDER BY picks DESC, annotator",
        (name, *values),
    )
    return dict(found.fetchall())


def waiting(connection: sqlite3.Connection, selection: CampaignSelection, limit: int) -> list[Conversation]:
    """The open conversations that a campaign selects, the oldest update first."""
    where, values = _condition(selection)
    found = connection.execute(
        f"SELECT {rows.CONVERSATION} FROM conversations v WHERE {where} ORDER BY updated_at, id LIMIT ?",
        (*values, limit),
    ).fetchall()
    return [conversations.as_it_stands(connection, row) for row in found]


def count_waiting(connection: sqlite3.Connection, selection: CampaignSelection) -> int:
    """How many open conversations a campaign selects."""
    where, values = _condition(selection)
    return int(
        connection.execute(f"SELECT count(*) FROM conversations v WHERE {where}", values).fetchone()[0]
    )


def _condition(selection: CampaignSelection) -> tuple[str, list[object]]:
    parts, values = ["v.status = 'open'"], list[object]()
    for column, wanted in (
        ("v.scenario", selection.scenarios),
        ("v.source", selection.sources),
        ("v.id", selection.conversations),
    ):
        if wanted:
            parts.append(f"{column} IN ({_marks(wanted)})")
            values += wanted
    if selection.tags:
        parts.append(
            f"EXISTS (SELECT 1 FROM json_each(v.tags) g WHERE g.value IN ({_marks(selection.tags)}))"
        )
        values += selection.tags
    if selection.locales:
        one = "(v.locale = ? OR substr(v.locale, 1, length(?) + 1) = ? || '-')"
        parts.append(f"({' OR '.join([one] * len(selection.locales))})")
        values += [locale for locale in selection.locales for _ in range(3)]
    return " AND ".join(parts), values


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))


def _campaign(row: rows.Row) -> Campaign:
    campaign = msgspec.json.decode(row[0], type=Campaign)
    if row[1] is None:
        return campaign
    return structs.replace(campaign, closed_at=rows.moment(row[1]), closed_by=row[2], closed_why=row[3])
