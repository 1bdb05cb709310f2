"""Repair: what can still be read of a damaged log, in a new file. The damaged one is never written to."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path

from picktune.errors import Conflict, LogUnavailable
from picktune.log import schema
from picktune.log.backup import alone, publish, synchronise
from picktune.records import Record

Progress = Callable[[str, int, int | None], None]

_MISSES = 2000  # so many rowids in a row that give nothing end the search between two readable ends
_OWN_TABLES = ("_sqlite_migrations", "sqlite_sequence", "sqlite_stat1")


class Repaired(Record, frozen=True, kw_only=True):
    """How many rows of each table were saved, and how many of those were left out again.

    ``orphans`` are rows that refer to one that is gone; ``damaged`` names the tables that could not be read
    to their end.
    """

    rows: dict[str, int]
    orphans: dict[str, int]
    damaged: tuple[str, ...]


def repair(source: Path | str, target: Path | str, *, progress: Progress | None = None) -> Repaired:
    """Save into ``target``, a new file, what can be read of the log ``source``.

    The new log can be used; rows that are missing stay missing, and ``verify`` names them. Raises
    ``Conflict`` if the target is there already, and ``LogUnavailable`` if nothing can be read.
    """
    source, target = Path(source), Path(target)
    tell = progress or (lambda stage, done, total: None)
    if not source.is_file():
        raise LogUnavailable(f"there is no log at {str(source)!r}; name the file that is damaged")
    if target.exists():
        raise Conflict(f"{str(target)!r} is there already; name a new file for what is saved")
    with alone(target.parent) as part:
        found = _save(source, part, tell)
        synchronise(part)
        publish(part, target, force=False)
        return found


def _save(source: Path, part: Path, tell: Progress) -> Repaired:
    old = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    new = sqlite3.connect(part, isolation_level=None)
    try:
        old.text_factory = lambda data: data.decode("utf-8", "replace")
        tables = _schema_of(old, source)
        _same_schema(old, new)
        guards = _drop_guards(new)
        rows: dict[str, int] = {}
        damaged = []
        new.execute("BEGIN")
        for table in tables:
            new.execute(f"DELETE FROM {table}")
            salvage = _Salvage(old, table)
            columns = ", ".join(salvage.columns)
            marks = ", ".join("?" * len(salvage.columns))
            rows[table] = 0
            for row in salvage.rows():
                with suppress(
                    sqlite3.IntegrityError
                ):  # a row that was read twice, or is no row of that table
                    rows[table] += new.execute(
                        f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})", row
                    ).rowcount
                if rows[table] % 1000 == 0:
                    tell(table, rows[table], None)
            if salvage.damaged:
                damaged.append(table)
        orphans = _without_orphans(new)
        _end_chains(new)
        new.execute("COMMIT")
        for sql in guards:
            new.execute(sql)
        if not any(rows.values()):
            raise LogUnavailable(f"nothing can be read of {str(source)!r}; restore a backup")
        return Repaired(rows=rows, orphans=orphans, damaged=tuple(damaged))
    finally:
        old.close()
        new.close()


def _schema_of(old: sqlite3.Connection, source: Path) -> list[str]:
    try:
        application_id = old.execute("PRAGMA application_id").fetchone()[0]
        found = [
            name
            for (name,) in old.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid")
        ]
    except sqlite3.Error as error:
        raise LogUnavailable(
            f"not even the list of tables can be read of {str(source)!r} ({error}); restore a backup"
        ) from error
    if application_id != schema.APPLICATION_ID:
        raise LogUnavailable(f"{str(source)!r} is no Picktune log; name the file that is damaged")
    return [name for name in found if name not in _OWN_TABLES]


def _same_schema(old: sqlite3.Connection, new: sqlite3.Connection) -> None:
    """Bring the new file to the schema of the old one; a newer one is not understood."""
    pending, unknown = schema.state(old)
    if unknown:
        raise LogUnavailable(
            f"the log was written by a newer Picktune (its schema has {unknown[-1]!r}); upgrade first"
        )
    schema.apply(new, without=pending)


def _drop_guards(new: sqlite3.Connection) -> list[str]:
    """Take the triggers away, which let nobody write rows as they are; the statements that make them."""
    found = new.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY rowid"
    ).fetchall()
    for name, _ in found:
        new.execute(f"DROP TRIGGER {name}")
    return [sql for _, sql in found]


class _Salvage:
    """The rows of one table of a damaged file, from both of its ends and between."""

    def __init__(self, old: sqlite3.Connection, table: str) -> None:
        self._old = old
        self._table = table
        self.damaged = False
        self.columns = [row[1] for row in old.execute(f"PRAGMA table_info({table})")]
        keys = sorted((row[5], row[1]) for row in old.execute(f"PRAGMA table_info({table})") if row[5])
        sql = old.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
        self._by_rowid = "WITHOUT ROWID" not in sql.upper()
        self._key = ["rowid"] if self._by_rowid else [name for _, name in keys]

    def rows(self) -> Iterator[tuple[object, ...]]:
        """Each row that can be read, some perhaps twice."""
        first = yield from self._walk("ASC")
        if first is _END:
            return
        self.damaged = True
        last = yield from self._walk("DESC")
        if self._by_rowid and isinstance(first, int) and isinstance(last, int):
            yield from self._between(first, last)

    def _walk(self, direction: str) -> Generator[tuple[object, ...], None, object]:
        """The rows from one end to the first that cannot be read; the rowid before that, or ``_END``."""
        order = ", ".join(f"{name} {direction}" for name in self._key)
        key = "rowid, " if self._by_rowid else ""
        last: object = None
        try:
            # NOT INDEXED: another index may be what is damaged.
            for row in self._old.execute(
                f"SELECT {key}{', '.join(self.columns)} FROM {self._table} NOT INDEXED ORDER BY {order}"
            ):
                last = row[0] if self._by_rowid else None
                yield row[1:] if self._by_rowid else row
        except sqlite3.DatabaseError:
            return last
        return _END

    def _between(self, first: int, last: int) -> Iterator[tuple[object, ...]]:
        misses = 0
        sql = f"SELECT {', '.join(self.columns)} FROM {self._table} NOT INDEXED WHERE rowid = ?"
        for rowid in range(first + 1, last):
            row = None
            with suppress(sqlite3.DatabaseError):
                row = self._old.execute(sql, (rowid,)).fetchone()
            misses = 0 if row else misses + 1
            if row:
                yield row
            if misses > _MISSES:
                return


class _End:
    """The whole table was read."""


_END = _End()


def _without_orphans(new: sqlite3.Connection) -> dict[str, int]:
    """Leave out rows that refer to what is gone, and so on until all that is referred to is there."""
    gone: dict[str, int] = {}
    while found := new.execute("PRAGMA foreign_key_check").fetchall():
        tables = {row[0] for row in found}
        for table in tables:
            gone[table] = gone.get(table, 0) + _delete_orphans(new, table)
    return gone


def _delete_orphans(new: sqlite3.Connection, table: str) -> int:
    keys: dict[int, list[tuple[str, str, str]]] = {}
    for row in new.execute(f"PRAGMA foreign_key_list({table})"):
        keys.setdefault(row[0], []).append((row[2], row[3], row[4] or "id"))
    count = 0
    for pairs in keys.values():
        parent = pairs[0][0]
        fits = " AND ".join(f"o.{theirs} = {table}.{ours}" for _, ours, theirs in pairs)
        named = " AND ".join(f"{ours} IS NOT NULL" for _, ours, _ in pairs)
        count += new.execute(
            f"DELETE FROM {table} WHERE {named} AND NOT EXISTS (SELECT 1 FROM {parent} o WHERE {fits})"
        ).rowcount
    return count


def _end_chains(new: sqlite3.Connection) -> None:
    """Where a chain ends must be known for it to go on: if that was lost, it is where its last row is."""
    if not new.execute("SELECT 1 FROM sqlite_master WHERE name = 'chains'").fetchone():
        return
    for table in ("picks", "reactions"):
        row = new.execute(f"SELECT id, hash FROM {table} ORDER BY id DESC LIMIT 1").fetchone()
        new.execute(
            "INSERT OR IGNORE INTO chains VALUES (?, ?, ?)", (table, *(row if row else (0, bytes(32))))
        )


def repaired_name(source: Path) -> Path:
    """Where what is saved goes, if nobody says: beside the damaged file."""
    return source.with_name(f"{source.stem}-repaired{source.suffix}")
