"""Opening a log's file, for writing or for reading, and saying clearly why it cannot be used."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from picktune.errors import LogUnavailable
from picktune.log import schema

_OLDEST_SQLITE = (3, 38, 0)
_QUICKLY_CHECKED = 256 * 2**20  # bytes; a second or so


def open_for_writing(path: Path, *, busy_timeout: float) -> sqlite3.Connection:
    """A connection that writes durably; the file is made, or its schema brought up to date, where needed.

    ``busy_timeout`` is how many seconds to wait for another process that is writing. Raises
    ``LogUnavailable``.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise LogUnavailable(
            f"this Python brings SQLite {sqlite3.sqlite_version}; a log needs 3.38 or newer: update Python"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The log holds what customers wrote, so only its owner reads a new one.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise LogUnavailable(
            f"the log {str(path)!r} cannot be opened for writing ({error.strerror}); "
            f"make the file and its folder writable, or set another home"
        ) from error
    # Whoever stops in order leaves no write-ahead file behind.
    interrupted = _size(Path(f"{path}-wal")) > 0
    connection: sqlite3.Connection | None = None
    try:
        connection = _connect(path, "rw", busy_timeout)
        _refuse_others(connection, path, empty_is_new=True)
        if interrupted and _size(path) <= _QUICKLY_CHECKED:
            _check_quickly(connection, path)
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise LogUnavailable(
                f"the log {str(path)!r} cannot use a write-ahead log here (journal mode {mode!r}); "
                f"keep it on a local disk"
            )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        # What is changed or deleted must not live on in the file's unused bytes.
        connection.execute("PRAGMA secure_delete = ON").fetchall()
        # What a long read has made grow shrinks to 64 MiB again.
        connection.execute("PRAGMA journal_size_limit = 67108864")
        if schema.state(connection)[0]:
            schema.apply(connection)
        return connection
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, sqlite3.Error):
            raise unavailable(path, error) from error
        raise


def open_for_reading(path: Path, *, busy_timeout: float, older: bool = False) -> sqlite3.Connection:
    """A connection that cannot write; it may be used by any thread, by one at a time.

    Raises ``LogUnavailable`` if the file is missing, is no log, or has another version's schema; an
    ``older`` one may be let pass.
    """
    if not os.path.isfile(path):
        raise LogUnavailable(
            f"there is no log at {str(path)!r}; start the server once, or name the home that holds one"
        )
    connection: sqlite3.Connection | None = None
    try:
        connection = _connect_read_only(path, busy_timeout)
        _refuse_others(connection, path, empty_is_new=False)
        if not older and (pending := schema.state(connection)[0]):
            raise LogUnavailable(
                f"the log {str(path)!r} was written by an older Picktune (it lacks {', '.join(pending)}); "
                f"start this version's server once to bring it up to date"
            )
        return connection
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, sqlite3.Error):
            raise unavailable(path, error) from error
        raise


def _connect(path: Path, mode: str, busy_timeout: float) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=busy_timeout,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )


def _connect_read_only(path: Path, busy_timeout: float) -> sqlite3.Connection:
    connection = _connect(path, "ro", busy_timeout)
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        return connection
    except sqlite3.OperationalError as error:
        connection.close()
        # In a folder that cannot be written (a backup, a read-only mount) SQLite cannot make the shared
        # memory that a write-ahead log wants. Without one beside the file, the file itself is everything.
        if not error.sqlite_errorname.startswith("SQLITE_CANTOPEN") or Path(f"{path}-wal").exists():
            raise
    return _connect(path, "ro&immutable=1", busy_timeout)


def _check_quickly(connection: sqlite3.Connection, path: Path) -> None:
    """After a stop that was none: SQLite has mended what it can, and what it cannot must not be built on."""
    (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise LogUnavailable(
            f"the log {str(path)!r} is damaged ({' '.join(said.split())}), and was not closed properly: "
            f"restore a backup, or save what can be read with: picktune repair"
        )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _refuse_others(connection: sqlite3.Connection, path: Path, *, empty_is_new: bool) -> None:
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    if application_id != schema.APPLICATION_ID:
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables or application_id or not empty_is_new:
            raise LogUnavailable(
                f"{str(path)!r} is a SQLite database, but not a Picktune log; name another file or home"
            )
    if unknown := schema.state(connection)[1]:
        raise LogUnavailable(
            f"the log {str(path)!r} was written by a newer Picktune (its schema has {unknown[-1]!r}); "
            f"upgrade this installation"
        )


def unavailable(path: Path, error: sqlite3.Error) -> LogUnavailable:
    """What a failure of SQLite means for the log, and what to do about it."""
    name = getattr(error, "sqlite_errorname", "") or ""
    remedies = {
        "SQLITE_FULL": "the disk is full: free some space and send it again",
        "SQLITE_READONLY": "it is read-only: make the file and its folder writable",
        "SQLITE_BUSY": "another process keeps writing it: end that process, then send it again",
        "SQLITE_LOCKED": "another process holds it: end that process, then send it again",
        "SQLITE_NOTADB": "it is no SQLite database: move the file away, or name another home",
        "SQLITE_CORRUPT": (
            "it is damaged: stop the server and restore a backup, or save what can be read with: "
            "picktune repair"
        ),
        "SQLITE_CANTOPEN": "it cannot be opened: look at the permissions of the file and its folder",
        "SQLITE_IOERR": "the disk reports an error: check the disk, then send it again",
    }
    remedy = next((text for start, text in remedies.items() if name.startswith(start)), "see the cause")
    return LogUnavailable(
        f"the log {str(path)!r} cannot be used: {remedy} ({error}); nothing was half-written"
    )
