"""Backups: a copy of the log at one moment, made while others write it, and checked before it counts."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from picktune.errors import Conflict, LogUnavailable
from picktune.log.files import open_for_reading, unavailable
from picktune.log.verify import Progress, Verification, inspect

_PAGES = 512
_PART = ".picktune-backup.part"
_OWN = re.compile(r"picktune-\d{8}-\d{6}-\d{6}\.db")


def backup_name(now: datetime) -> str:
    """What a backup of that moment (UTC) is called, so that names sort by time."""
    return f"picktune-{now:%Y%m%d-%H%M%S-%f}.db"


def back_up(
    source: Path | str,
    target: Path | str,
    *,
    force: bool = False,
    progress: Progress | None = None,
    busy_timeout: float = 5.0,
) -> Verification:
    """Copy the log to ``target``, a file: whole and checked, or not at all. Writers are not held up.

    A file that is there already is replaced only with ``force``. A log of an older version can be backed up
    before it is brought up to date. Raises ``Conflict`` if the target is taken, and ``LogUnavailable`` if the
    log cannot be read, the copy cannot be written, or is not sound.
    """
    source, target = Path(source), Path(target)
    connection = open_for_reading(source, busy_timeout=busy_timeout, older=True)
    try:
        _check_target(source, target, force=force)
        with alone(target.parent) as part:
            _copy(connection, source, part, progress)
            verification = _checked(part, source, progress)
            publish(part, target, force=force)
            return verification
    except OSError as error:
        if isinstance(error, LogUnavailable):
            raise
        raise LogUnavailable(
            f"the backup {str(target)!r} cannot be written ({error.strerror or error}); name another place, "
            f"or make room there. Nothing was kept of it"
        ) from error
    finally:
        connection.close()


def own_backups(folder: Path) -> list[Path]:
    """The backups in a folder that were named by ``backup_name``, the oldest first."""
    try:
        return sorted(one for one in folder.iterdir() if _OWN.fullmatch(one.name) and one.is_file())
    except FileNotFoundError:
        return []


def thin_out(folder: Path, keep: int, *, newest: Path) -> list[Path]:
    """Delete the oldest of the folder's own backups until ``keep`` are left; those that were deleted.

    ``newest`` is one of those that stay, whatever a clock that was set back makes of its name.
    """
    others = [one for one in own_backups(folder) if one.name != newest.name]
    gone = others[: max(0, len(others) + 1 - max(1, keep))]
    for one in gone:
        one.unlink(missing_ok=True)
    return gone


def _check_target(source: Path, target: Path, *, force: bool) -> None:
    if target.exists() and source.samefile(target):
        raise Conflict(f"{str(target)!r} is the log itself; name another file for the backup")
    if target.is_dir():
        raise Conflict(f"{str(target)!r} is a folder; name a file in it")
    if target.exists() and not force:
        raise Conflict(f"{str(target)!r} is there already; name another file, or say --force to replace it")
    # What is left in a write-ahead file would be mixed into the new one.
    for beside in (Path(f"{target}-wal"), Path(f"{target}-journal")):
        if beside.exists():
            raise Conflict(
                f"{str(target)!r} is in use, or was not closed ({beside.name} lies beside it); "
                f"name another file"
            )


@contextmanager
def alone(folder: Path) -> Iterator[Path]:
    """Where a backup is made before it has its name; one at a time in a folder."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = folder / _PART
    try:
        with FileLock(folder / ".picktune-backup.lock", timeout=0, mode=0o600):
            _remove(part)  # of one that was killed
            try:
                # It holds what customers wrote, as the log does.
                os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
                yield part
            finally:
                _remove(part)
    except Timeout:
        raise Conflict(
            f"another backup into {str(folder)!r} is under way; wait for it, or name another folder"
        ) from None


def _copy(connection: sqlite3.Connection, source: Path, part: Path, progress: Progress | None) -> None:
    def tell(status: int, remaining: int, total: int) -> None:
        if progress is not None:
            progress("copy", total - remaining, total)

    # Reading from one moment on keeps SQLite from beginning anew whenever somebody writes.
    connection.execute("BEGIN")
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.Error as error:
        raise unavailable(source, error) from error
    try:
        copy = sqlite3.connect(part, isolation_level=None)
        try:
            copy.execute("PRAGMA synchronous = OFF")  # it is synchronised as a whole, once
            connection.backup(copy, pages=_PAGES, progress=tell)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, with nothing beside it
        finally:
            copy.close()
    except sqlite3.Error as error:
        raise LogUnavailable(
            f"the backup of {str(source)!r} failed ({error}); make room, or name another folder. "
            f"Nothing was kept of it"
        ) from error
    finally:
        connection.execute("ROLLBACK")
    synchronise(part)


def _checked(part: Path, source: Path, progress: Progress | None) -> Verification:
    connection = open_for_reading(part, busy_timeout=0, older=True)
    try:
        found = inspect(connection, progress=progress)
    except sqlite3.Error as error:
        raise unavailable(source, error) from error
    finally:
        connection.close()
    if not found.sound:
        raise LogUnavailable(
            f"the log {str(source)!r} is not sound ({found.findings[0].message}), and no backup was kept; "
            f"see: picktune verify. Older backups were left as they are"
        )
    return found


def publish(part: Path, target: Path, *, force: bool) -> None:
    """Give a file that is whole its name; without ``force``, nothing is replaced."""
    if force:
        part.replace(target)
    else:
        try:
            os.link(part, target)  # unlike a rename, it never replaces a file that came meanwhile
        except FileExistsError:
            raise Conflict(f"{str(target)!r} has come into being meanwhile; name another file") from None
        except OSError:  # a disk without hard links
            part.rename(target)
    synchronise(target.parent)


def _remove(part: Path) -> None:
    for one in (part, Path(f"{part}-journal"), Path(f"{part}-wal"), Path(f"{part}-shm")):
        with suppress(FileNotFoundError):
            one.unlink()


def synchronise(path: Path) -> None:
    """Put a file, or a folder's names, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
