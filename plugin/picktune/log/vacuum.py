"""Vacuum: giving the room of deleted rows back to the disk, by writing a file anew that nobody else uses."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from picktune.errors import Conflict
from picktune.log.files import open_for_reading, open_for_writing, unavailable
from picktune.records import Record

_TICK = 100_000  # instructions of SQLite's machine between two looks at how far it is


class Vacuumed(Record, frozen=True, kw_only=True):
    """The size of the file in bytes, before and after."""

    before: int
    after: int


def reclaimable(path: Path | str, *, busy_timeout: float = 5.0) -> tuple[int, int]:
    """How many bytes of the file are not in use, and how many it has; a vacuum may free a little more."""
    path = Path(path)
    connection = open_for_reading(path, busy_timeout=busy_timeout)
    try:
        numbers = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in _PAGES]
        return numbers[0] * numbers[1], numbers[2] * numbers[1]
    except sqlite3.Error as error:
        raise unavailable(path, error) from error
    finally:
        connection.close()


_PAGES = ("freelist_count", "page_size", "page_count")


def vacuum(
    path: Path | str, *, progress: Callable[[], None] | None = None, busy_timeout: float = 5.0
) -> Vacuumed:
    """Write the log's file anew, without the room of what was deleted. Cut off, it is as it was.

    Raises ``Conflict`` if another process has it open, for writers would have to wait longer than they do, or
    if the disk has not the room for a second copy; and ``LogUnavailable``.
    """
    path = Path(path)
    used = reclaimable(path, busy_timeout=busy_timeout)
    _check_room(path, used[1] - used[0])
    connection = open_for_writing(path, busy_timeout=busy_timeout)
    try:
        _be_alone(connection, path)
        before = path.stat().st_size
        if progress is not None:
            tell = progress
            connection.set_progress_handler(lambda: tell(), _TICK)
        with _temporary_files_in(path.parent):
            connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return Vacuumed(before=before, after=path.stat().st_size)
    except sqlite3.Error as error:
        raise unavailable(path, error) from error
    finally:
        connection.set_progress_handler(None, 0)
        connection.close()


def _be_alone(connection: sqlite3.Connection, path: Path) -> None:
    """Lock everybody else out until the connection is closed; whoever has the file open prevents it."""
    try:
        connection.execute("PRAGMA busy_timeout = 0")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        # Leaving the write-ahead log wants the file for itself, and so does the vacuum after it.
        if connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0] != "delete":
            raise sqlite3.OperationalError("database is locked")
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        raise Conflict(
            f"another process has the log {str(path)!r} open: stop the server and whoever reads it, then "
            f"vacuum. Without, the room of what was deleted is used again by what is written next"
        ) from None


def _check_room(path: Path, needed: int) -> None:
    # Once for the copy, and once for the write-ahead log through which it replaces the file.
    free = shutil.disk_usage(path.parent).free
    if free < 2 * needed:
        raise Conflict(
            f"a vacuum of {str(path)!r} needs {2 * needed / 1e6:,.0f} MB beside it, and the disk has "
            f"{free / 1e6:,.0f} MB; make room first"
        )


@contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """SQLite's copy holds what customers wrote: it belongs onto the same disk, not into /tmp."""
    before = os.environ.get("SQLITE_TMPDIR")
    os.environ["SQLITE_TMPDIR"] = str(folder.absolute())
    try:
        yield
    finally:
        if before is None:
            del os.environ["SQLITE_TMPDIR"]
        else:
            os.environ["SQLITE_TMPDIR"] = before
