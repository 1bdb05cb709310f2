"""The log in a SQLite file: a write-ahead log, fsynced at every commit, written by one thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Self

import msgspec
from picktune_adapters import AdapterVersion, Aliases

from picktune.errors import InvalidInput
from picktune.log import conversations, decided, picks, privacy, rows, slates
from picktune.log.base import ConsentScope
from picktune.log.files import open_for_writing
from picktune.log.reader import SQLiteLogReader
from picktune.log.signal_sqlite import SignalWriting
from picktune.log.validity import aware, checked
from picktune.log.writer import Writer
from picktune.records import Consent, Conversation, DecidedSlate, Exposure, Pick, Reaction, Slate


class SQLiteLog(SignalWriting):
    """A ``Log`` in one SQLite file; ``reader`` reads it, blocking, from any thread."""

    def __init__(self, writer: Writer, reader: SQLiteLogReader) -> None:
        self._writer = writer
        self.reader = reader

    @classmethod
    def open(
        cls, path: Path | str, *, busy_timeout: float = 5.0, limit: int = 2048, batch: int = 256
    ) -> SQLiteLog:
        """Open the log at ``path``, making it or bringing its schema up to date where needed.

        ``busy_timeout`` is how many seconds to wait for another process that writes; ``limit`` how many
        requests may wait for the disk before callers are held up; ``batch`` how many share a transaction.
        Raises ``LogUnavailable``.
        """
        path = Path(path)
        connection = open_for_writing(path, busy_timeout=busy_timeout)
        try:
            reader = SQLiteLogReader(path, busy_timeout=busy_timeout)
        except BaseException:
            connection.close()
            raise
        return cls(Writer(connection, path, limit=limit, batch=batch), reader)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def add_slate(self, slate: Slate, exposure: Exposure | None = None) -> None:
        """See ``Log``; ``InvalidInput`` for one that cannot be stored, ``Conflict`` if its id is taken."""
        slate = slates.consistent(slate)
        if slate.turn.consent == "none":
            raise InvalidInput(f"slate {slate.id!r} was drawn without consent to keep it", field="consent")
        shown = None if exposure is None else checked(exposure)

        def work(connection: sqlite3.Connection) -> None:
            slates.add(connection, slate)
            if shown is not None:
                slates.expose(connection, shown)

        await self._writer.do(work)

    async def add_exposure(self, exposure: Exposure) -> Exposure:
        """See ``Log``."""
        exposure = checked(exposure)
        return await self._writer.do(lambda connection: slates.expose(connection, exposure))

    async def record(self, pick: Pick) -> Pick:
        """See ``Log``."""
        pick = picks.consistent(pick)
        return await self._writer.do(lambda connection: picks.record(connection, pick))

    async def add_decided(self, decided_slate: DecidedSlate) -> bool:
        """See ``Log``."""
        one = decided.consistent(decided_slate)
        return await self._writer.do(lambda connection: decided.add(connection, one))

    async def react(self, reaction: Reaction) -> Reaction:
        """See ``Log``."""
        reaction = checked(reaction)
        if not reaction.key:
            raise InvalidInput("a reaction needs a key of its own; send a random one", field="key")
        return await self._writer.do(lambda connection: slates.react(connection, reaction))

    async def add_conversations(self, conversations_: Sequence[Conversation]) -> int:
        """See ``Log``; all of them are kept, or none is."""
        new = [checked(conversation) for conversation in conversations_]
        for one in new:
            if one.consent == "none":
                raise InvalidInput(
                    f"conversation {one.id!r} cannot be kept, for its consent is 'none'; leave it out",
                    field="consent",
                )
        return await self._writer.do(lambda connection: conversations.add(connection, new))

    async def set_consent(self, scope: ConsentScope, ref: str, level: Consent, at: datetime) -> int:
        """See ``Log``."""
        if not ref:
            raise InvalidInput(f"consent is given by a {scope}; name which one", field="ref")
        moment = aware(at, "at")
        return await self._writer.do(
            lambda connection: privacy.withdraw(connection, scope, ref, level, moment)
        )

    async def saw_adapter(self, version: AdapterVersion, at: datetime) -> None:
        """See ``Log``; the first time stands."""
        version = checked(version)
        row = (
            version.name,
            version.sha256,
            msgspec.json.encode(version).decode(),
            rows.micros(aware(at, "at")),
        )
        await self._writer.do(
            _running("INSERT INTO adapters VALUES (?, ?, ?, ?) ON CONFLICT (name, sha256) DO NOTHING", row)
        )

    async def saw_aliases(self, aliases: Aliases, at: datetime) -> None:
        """See ``Log``."""
        aliases = checked(aliases)
        seen = (aliases.champion, aliases.challenger)

        def work(connection: sqlite3.Connection) -> None:
            last = connection.execute(
                "SELECT champion, challenger FROM alias_changes ORDER BY id DESC LIMIT 1"
            ).fetchone()
            if last != seen:
                connection.execute(
                    "INSERT INTO alias_changes (champion, challenger, seen_at) VALUES (?, ?, ?)",
                    (*seen, rows.micros(aware(at, "at"))),
                )

        await self._writer.do(work)

    async def check(self) -> None:
        """See ``Log``: writes a row of its own and waits until that is on disk."""
        await self._writer.do(
            _running(
                "INSERT INTO checks (id, checked) VALUES (1, 1) "
                "ON CONFLICT (id) DO UPDATE SET checked = checked + 1"
            )
        )

    async def close(self) -> None:
        """See ``Log``; closes the reader first."""
        # The last connection to go folds the write-ahead log into the file, which a reader's cannot.
        self.reader.close()
        await self._writer.close()


def _running(sql: str, row: rows.Row = ()) -> Callable[[sqlite3.Connection], None]:
    def work(connection: sqlite3.Connection) -> None:
        connection.execute(sql, row)

    return work
