"""The vault: which placeholder stands for what, conversation by conversation, apart from the log.

It is a file of its own, so that neither the log, nor its backups, nor anything exported holds an original.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from picktune.errors import RedactionFailed
from picktune.log.rows import micros
from picktune.redaction.placeholders import Entry, placeholder_for

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    conversation_id TEXT NOT NULL,
    placeholder TEXT NOT NULL,
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (conversation_id, placeholder)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entries_by_time ON entries (seen_at);
"""


class Vault:
    """``vault.db``; any number of threads may share one, and several processes one file.

    Every method raises ``RedactionFailed`` if the file cannot be used.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None

    def entries(self, conversation_id: str) -> dict[str, Entry]:
        """By placeholder."""
        with self._lock, self._using() as connection:
            return _entries(connection, conversation_id)

    def assign(
        self, conversation_id: str, values: Sequence[tuple[str, str]], now: datetime
    ) -> dict[str, Entry]:
        """Give each (kind, value) a placeholder where it has none; all entries of the conversation."""
        with self._lock, self._using() as connection:
            known = _entries(connection, conversation_id)
            if all(any(value == entry.value for entry in known.values()) for _, value in values):
                return known
            connection.execute("BEGIN IMMEDIATE")
            known = _entries(connection, conversation_id)
            for kind, value in values:
                if all(value != entry.value for entry in known.values()):
                    placeholder = placeholder_for(kind, value, known)
                    known[placeholder] = Entry(kind=kind, value=value)
                    connection.execute(
                        "INSERT INTO entries VALUES (?, ?, ?, ?, ?)",
                        (conversation_id, placeholder, kind, value, micros(now)),
                    )
            connection.execute("COMMIT")
            return known

    def erase(self, conversation_ids: Iterable[str]) -> int:
        """Erase all that is kept of these conversations, so that no byte stays in the file; how many."""
        with self._lock, self._using() as connection:
            connection.execute("BEGIN IMMEDIATE")
            gone = connection.executemany(
                "DELETE FROM entries WHERE conversation_id = ?", [(one,) for one in conversation_ids]
            ).rowcount
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return max(0, gone)

    def prune(self, now: datetime, days: int) -> int:
        """Erase what is older than so many days; how many. Its placeholders stay, for good."""
        with self._lock, self._using() as connection:
            before = micros(now - timedelta(days=days))
            gone = connection.execute("DELETE FROM entries WHERE seen_at < ?", (before,)).rowcount
            if gone:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return gone

    def close(self) -> None:
        """Let go of the file; it is opened again when it is used."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _using(self) -> _Use:
        return _Use(self)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            try:
                for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
                    connection.execute(f"PRAGMA {pragma}").fetchall()
                connection.executescript(_SCHEMA)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection


class _Use:
    """The vault's connection; what fails is rolled back, and said as ``RedactionFailed``."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def __enter__(self) -> sqlite3.Connection:
        try:
            return self._vault._opened()
        except (OSError, sqlite3.Error) as error:
            raise self._failed(error) from error

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None:
            return
        connection = self._vault._connection
        if connection is not None and connection.in_transaction:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error | UnicodeError):
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> RedactionFailed:
        return RedactionFailed(
            f"the vault {str(self._vault._path)!r} cannot be used ({error}); mend that, or nothing that was "
            "said can be stored"
        )


def _entries(connection: sqlite3.Connection, conversation_id: str) -> dict[str, Entry]:
    found = connection.execute(
        "SELECT placeholder, kind, value FROM entries WHERE conversation_id = ?", (conversation_id,)
    )
    return {placeholder: Entry(kind=kind, value=value) for placeholder, kind, value in found}


def vault_values(entries: Mapping[str, Entry]) -> list[str]:
    """The originals."""
    return [entry.value for entry in entries.values()]
