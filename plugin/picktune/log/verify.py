"""Whether a log is still what was written: the file itself, what its rows refer to, and the hash chain."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from picktune.errors import InvalidInput
from picktune.log import schema
from picktune.log.chain import CHAINS, GENESIS, Chain, unsealed
from picktune.log.files import open_for_reading, unavailable
from picktune.log.guards import altered_guards
from picktune.log.links import Head, Link, breaks
from picktune.log.stored import chain_rows, slate_rows
from picktune.records import Record

Kind = Literal["damaged", "unguarded", "dangling", "changed", "removed", "inserted"]
Progress = Callable[[str, int, int | None], None]

_TICK = 500
_MISPLACED = """
SELECT r.id FROM {table} r
WHERE r.candidate_id IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM candidates c WHERE c.id = r.candidate_id AND c.slate_id = r.slate_id)
ORDER BY r.id
"""


class Finding(Record, frozen=True, kw_only=True):
    """One thing that is not as the log left it; ``id`` is the row's, where it has one."""

    kind: Kind
    table: str | None = None
    id: str | int | None = None
    message: str


class Verification(Record, frozen=True, kw_only=True):
    """What was found in a log. ``heads`` are the ends of the chains, to be noted elsewhere.

    ``rows`` and ``erased`` count by table; ``more`` is how many findings there were beyond those listed. An
    older log than this version's has no chain yet: only the file itself was checked then (``chained``).
    """

    chained: bool
    rows: dict[str, int]
    erased: dict[str, int]
    heads: dict[str, str]
    findings: tuple[Finding, ...] = ()
    more: int = 0

    @property
    def sound(self) -> bool:
        """Nothing was found."""
        return not self.findings and not self.more


def verify(
    path: Path | str,
    *,
    expect: str | None = None,
    limit: int = 100,
    progress: Progress | None = None,
    busy_timeout: float = 5.0,
) -> Verification:
    """Check a log from any process, as it is at this moment, in bounded memory, while others write it.

    ``expect`` is a head that was noted earlier, such as ``picks:26:3f…``: that row must still be there.
    ``limit`` is how many findings are listed; ``progress`` is told the stage, rows done and rows in all
    (``None`` if nobody knows). Raises ``LogUnavailable`` if the file is missing, is no log, or has another
    version's schema, and ``InvalidInput`` for a head that is none.
    """
    path = Path(path)
    connection = open_for_reading(path, busy_timeout=busy_timeout)
    try:
        return inspect(connection, expect=expect, limit=limit, progress=progress)
    except sqlite3.Error as error:
        raise unavailable(path, error) from error
    finally:
        connection.close()


def inspect(
    connection: sqlite3.Connection,
    *,
    expect: str | None = None,
    limit: int = 100,
    progress: Progress | None = None,
) -> Verification:
    """As ``verify``, of an open connection; an older log is checked as far as it can be."""
    inspection = _Inspection(connection, expect, progress or (lambda stage, done, total: None))
    findings: list[Finding] = []
    more = 0
    connection.execute("BEGIN")  # one moment of the log, whatever is written meanwhile
    try:
        for finding in inspection.findings():
            if len(findings) < limit:
                findings.append(finding)
            else:
                more += 1
    finally:
        connection.execute("ROLLBACK")
    return Verification(
        chained=inspection.chained,
        rows=inspection.rows,
        erased=inspection.erased,
        heads=inspection.heads,
        findings=tuple(findings),
        more=more,
    )


class _Inspection:
    """One reading of a log from end to end."""

    def __init__(self, connection: sqlite3.Connection, expect: str | None, progress: Progress) -> None:
        self._connection = connection
        self._expected = None if expect is None else _head(expect)
        if self._expected is not None and self._expected[1] == 0:
            self._expected = None  # every log began empty
        self._progress = progress
        # Bytes that are no UTF-8 must be found, not stumbled over.
        connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
        self.chained = not schema.state(connection)[0]
        self.rows: dict[str, int] = {}
        self.erased: dict[str, int] = {}
        self.heads: dict[str, str] = {}

    def findings(self) -> Iterator[Finding]:
        damaged = False
        for finding in self._file():
            damaged = True
            yield finding
        if damaged:
            return  # what a damaged file says of its rows is not worth repeating
        yield from self._references()
        if self.chained:
            for name, fault in altered_guards(self._connection):
                yield Finding(kind="unguarded", id=_printable(name), message=_printable(fault))
            yield from self._slates()
            for chain in CHAINS:
                yield from self._chain(chain)

    def _file(self) -> Iterator[Finding]:
        self._progress("the file", 0, None)
        self._connection.set_progress_handler(lambda: self._progress("the file", 0, None), 1_000_000)
        try:
            for (said,) in self._connection.execute("PRAGMA integrity_check"):
                if said != "ok":
                    yield Finding(kind="damaged", message=f"SQLite finds the file damaged: {said}")
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorname == "SQLITE_INTERRUPT":  # Ctrl-C, of which SQLite says no more
                raise KeyboardInterrupt from None
            if isinstance(error, sqlite3.OperationalError):
                raise
            yield Finding(kind="damaged", message=f"SQLite cannot read the file: {error}")
        finally:
            self._connection.set_progress_handler(None, 0)

    def _references(self) -> Iterator[Finding]:
        self._progress("references", 0, None)
        for table, rowid, parent, _ in self._connection.execute("PRAGMA foreign_key_check"):
            yield Finding(
                kind="dangling",
                table=table,
                id=rowid,
                message=f"{_place(table, rowid)} refers to a row of {parent} that is not there",
            )
        for chain in CHAINS:
            for (id,) in self._connection.execute(_MISPLACED.format(table=chain.table)):
                yield Finding(
                    kind="dangling",
                    table=chain.table,
                    id=id,
                    message=f"{chain.noun} {id} names a reply that is not on its slate",
                )

    def _slates(self) -> Iterator[Finding]:
        total = self._count("slates")
        for done, (slate, turn, candidates, sealed) in enumerate(
            slate_rows(self._connection, "ORDER BY s.rowid"), 1
        ):
            if done % _TICK == 0 or done == total:
                self._progress("slates", done, total)
            self.erased["slates"] += sealed[0] is None
            if turn[0] is not None and (altered := unsealed(slate, turn, candidates, sealed)):
                yield Finding(
                    kind="changed",
                    table="slates",
                    id=_printable(slate[0]),
                    message=f"slate {slate[0]!r} is not what it was: {altered}",
                )

    def _chain(self, chain: Chain) -> Iterator[Finding]:
        row = self._connection.execute(
            "SELECT length, hash FROM chains WHERE name = ?", (chain.table,)
        ).fetchone()
        head = None if row is None else Head(length=row[0], hash=row[1])
        if head is not None:
            self.heads[chain.table] = f"{chain.table}:{head.length}:{head.hash.hex()}"
        for one in breaks(chain.noun, self._links(chain), head):
            yield Finding(kind=one.kind, table=chain.table, id=one.id, message=one.message)
        if self._expected is not None and self._expected[0] == chain.table:
            yield Finding(
                kind="removed",
                table=chain.table,
                message=f"the chain of {chain.table} no longer holds the head that was expected: it was "
                f"written anew, or cut short",
            )

    def _links(self, chain: Chain) -> Iterator[Link]:
        total = self._count(chain.table)
        for done, (id, row, link, about) in enumerate(
            chain_rows(self._connection, chain, "ORDER BY r.id"), 1
        ):
            if done % _TICK == 0 or done == total:
                self._progress(chain.table, done, total)
            self.erased[chain.table] += link[2] is None or link[4] is None
            if self._expected == (chain.table, done, link[1]):
                self._expected = None
            # A row whose slate is gone has been reported, and cannot be judged.
            judged = None not in about
            yield Link(
                id=id,
                name=f"{chain.noun} {id} (of {chain.who(row)[0]!r} on slate {row[0]!r})",
                previous=link[0],
                hash=link[1],
                altered=chain.altered(id, row, link, about) if judged else None,
            )

    def _count(self, table: str) -> int:
        total: int = self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        self.rows[table], self.erased[table] = total, 0
        return total


def _head(text: str) -> tuple[str, int, bytes]:
    table, _, rest = text.partition(":")
    length, _, digest = rest.partition(":")
    try:
        head = table, int(length), bytes.fromhex(digest)
    except ValueError:
        head = "", 0, b""
    if head[0] not in {chain.table for chain in CHAINS} or head[1] < 0 or len(head[2]) != len(GENESIS):
        raise InvalidInput(
            f"{text!r} is no end of a chain; give one as picktune verify prints it, such as picks:26:3f…",
            field="expect",
        )
    return head


def _place(table: str, rowid: int | None) -> str:
    return f"a row of {table}" if rowid is None else f"row {rowid} of {table}"


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
