"""Decisions and reactions with everything that led to them: read out whole, and kept from elsewhere."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from msgspec import structs

from picktune.errors import Conflict, InvalidInput
from picktune.log import picks, privacy, rows, slates
from picktune.log.validity import aware, checked
from picktune.records import AliasesSeen, DecidedSlate, ReactedReply, Selection, Slate

_DECIDED = """
FROM standing_picks p
JOIN slates s ON s.id = p.slate_id
JOIN turns t ON t.id = s.turn_id
JOIN exposures e ON e.slate_id = p.slate_id AND e.viewer = p.annotator
"""
_ALIASES = """
(SELECT json_array(a.champion, a.challenger, a.seen_at) FROM alias_changes a WHERE a.seen_at <= s.created_at
    ORDER BY a.seen_at DESC, a.id DESC LIMIT 1)
"""
_REACTED = """
(SELECT json_group_array(DISTINCT r.candidate_id) FROM reactions r
    WHERE r.slate_id = p.slate_id AND r.annotator = p.annotator)
"""
# Of each annotator on each reply, the newest.
_REACTIONS = """
FROM reactions p
JOIN slates s ON s.id = p.slate_id
JOIN turns t ON t.id = s.turn_id
WHERE NOT EXISTS (
    SELECT 1 FROM reactions n WHERE n.slate_id = p.slate_id AND n.annotator = p.annotator
        AND n.candidate_id = p.candidate_id AND n.id > p.id)
"""


def decided_slates(connection: sqlite3.Connection, selection: Selection) -> Iterator[DecidedSlate]:
    """The standing decisions that were selected, by time, one at a time."""
    condition, values = _condition(selection, "p.decided_at")
    found = connection.execute(
        f"SELECT {_of('p', rows.PICK)}, {_of('s', rows.SLATE)}, {_of('t', rows.TURN)}, e.places, e.shown_at, "
        f"{_ALIASES}, {_REACTED} {_DECIDED} WHERE {condition} ORDER BY p.decided_at, p.id",
        values,
    )
    for row in found:
        decision = rows.pick_of(row[:12])
        # What is selected was agreed to (the condition), so that no turn's consent need be looked up.
        turn = rows.turn_of(row[19:26])
        slate = rows.slate_of(row[12:19], turn, slates.candidates(connection, decision.slate_id))
        ids = [candidate.id for candidate in slate.candidates]
        yield DecidedSlate(
            slate=slate,
            exposure=rows.exposure_of((slate.id, decision.annotator, row[26], row[27]), ids),
            pick=decision,
            aliases=_aliases(row[28]),
            reacted=rows.strings(row[29]),
        )


def reacted_replies(connection: sqlite3.Connection, selection: Selection) -> Iterator[ReactedReply]:
    """The newest reactions that were selected, in the order in which they came, one at a time."""
    condition, values = _condition(selection, "p.reacted_at")
    query = f"SELECT {_of('p', rows.REACTION)} {_REACTIONS} AND {condition} ORDER BY p.id"
    for row in connection.execute(query, values):
        yield ReactedReply(slate=_whole(connection, row[0]), reaction=rows.reaction_of(row))


def count_decided(connection: sqlite3.Connection, selection: Selection) -> int:
    """How many ``decided_slates`` gives."""
    condition, values = _condition(selection, "p.decided_at")
    return int(connection.execute(f"SELECT count(*) {_DECIDED} WHERE {condition}", values).fetchone()[0])


def count_reacted(connection: sqlite3.Connection, selection: Selection) -> int:
    """How many ``reacted_replies`` gives."""
    condition, values = _condition(selection, "p.reacted_at")
    return int(connection.execute(f"SELECT count(*) {_REACTIONS} AND {condition}", values).fetchone()[0])


def consistent(one: DecidedSlate) -> DecidedSlate:
    """The decision, if it can be kept; else ``InvalidInput``."""
    if one.pick.verdict == "undone":
        raise InvalidInput("an undone decision does not stand; leave it out", field="verdict")
    return structs.replace(
        one,
        slate=slates.consistent(one.slate),
        exposure=checked(one.exposure),
        pick=picks.consistent(one.pick),
        aliases=None if one.aliases is None else checked(one.aliases),
    )


def add(connection: sqlite3.Connection, one: DecidedSlate) -> bool:
    """Keep a consistent decision that was taken elsewhere; whether it is new. See ``Log.add_decided``."""
    stored = slates.load(connection, one.slate.id)
    if stored is None:
        slates.add(connection, one.slate)
    elif not _same(stored, one.slate):
        raise Conflict(
            f"there is a different slate with id {one.slate.id!r}; it cannot be decided on from elsewhere",
            field="slate_id",
        )
    if slates.expose(connection, one.exposure).order != one.exposure.order:
        raise Conflict(
            f"slate {one.slate.id!r} was shown to {one.pick.annotator!r} in another order; "
            f"the decision on it belongs to another log",
            field="order",
        )
    known = connection.execute(
        "SELECT 1 FROM picks WHERE slate_id = ? AND annotator = ? AND key = ?",
        (one.slate.id, one.pick.annotator, one.pick.key),
    ).fetchone()
    picks.record(connection, one.pick, sends=False)
    _keep_aliases(connection, one.aliases)
    return known is None


def _of(table: str, columns: str) -> str:
    return ", ".join(f"{table}.{column}" for column in columns.split(", "))


def _whole(connection: sqlite3.Connection, slate_id: str) -> Slate:
    slate = slates.load(connection, slate_id)
    assert slate is not None  # noqa: S101 - picks and reactions refer to it
    return slate


def _same(stored: Slate, other: Slate) -> bool:
    # An export leaves out for whom the slate was drawn, and some formats do not know when.
    def timeless(slate: Slate) -> Slate:
        turn = structs.replace(slate.turn, user_ref=None, consent="train", created_at=stored.turn.created_at)
        return structs.replace(slate, turn=turn, created_at=stored.created_at)

    return timeless(stored) == timeless(other)


def _keep_aliases(connection: sqlite3.Connection, change: AliasesSeen | None) -> None:
    """Keep what the aliases named, unless this log has adapters, and so a history, of its own."""
    if change is None or connection.execute("SELECT 1 FROM adapters LIMIT 1").fetchone():
        return
    values = (change.champion, change.challenger, rows.micros(aware(change.seen_at, "seen_at")))
    connection.execute(
        "INSERT INTO alias_changes (champion, challenger, seen_at) SELECT ?1, ?2, ?3 WHERE NOT EXISTS "
        "(SELECT 1 FROM alias_changes WHERE champion IS ?1 AND challenger IS ?2 AND seen_at = ?3)",
        values,
    )


def _aliases(value: str | None) -> AliasesSeen | None:
    if value is None:
        return None
    champion, challenger, seen_at = rows.values(value)
    return AliasesSeen(champion=champion, challenger=challenger, seen_at=rows.moment(seen_at))


def _condition(selection: Selection, time: str) -> tuple[str, list[object]]:
    parts, values = [privacy.TRAINABLE], list[object]()
    for name, comparison, moment in (("since", ">=", selection.since), ("until", "<", selection.until)):
        if moment is not None:
            parts.append(f"{time} {comparison} ?")
            values.append(rows.micros(aware(moment, name)))
    if selection.roles is not None:
        parts.append(f"p.role IN ({_marks(selection.roles)})")
        values += selection.roles
    if selection.tags:
        parts.append(
            f"EXISTS (SELECT 1 FROM json_each(t.tags) g WHERE g.value IN ({_marks(selection.tags)}))"
        )
        values += selection.tags
    if selection.locales:
        one = "(t.locale = ? OR substr(t.locale, 1, length(?) + 1) = ? || '-')"
        parts.append(f"({' OR '.join([one] * len(selection.locales))})")
        values += [locale for locale in selection.locales for _ in range(3)]
    return " AND ".join(parts), values


def _marks(values: tuple[str, ...]) -> str:
    return ", ".join("?" * len(values))
