"""Files that are whole or not there at all, also after a power cut."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path

TEMPORARY = ".tmp-"
_CHUNK = 1 << 20


def temporary_beside(path: Path) -> Path:
    """A name in the same folder that nothing else uses and that readers leave alone."""
    return path.with_name(f"{TEMPORARY}{path.name}-{uuid.uuid4().hex[:12]}")


def sync_folder(folder: Path) -> None:
    """Make the folder's entries (new names, renames) durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_new(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write a file that is not there yet, durably; the folder's own entry is not made durable here.

    Content that comes in pieces is never held as a whole.
    """
    with path.open("xb") as file:
        file.writelines([content] if isinstance(content, bytes) else content)
        file.flush()
        os.fsync(file.fileno())


def replace(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Put a whole new file in the place of the old one: a reader sees the one or the other."""
    temporary = temporary_beside(path)
    try:
        write_new(temporary, content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def append(path: Path, content: bytes) -> int:
    """Add whole lines durably, first cutting off what a killed writer left after the last line end.

    Returns where they begin, for ``cut`` to take them back.
    """
    is_new = not path.exists()
    with path.open("a+b") as file:
        file.seek(0)
        existing = file.read()
        whole = existing.rfind(b"\n") + 1
        if whole < len(existing):
            file.truncate(whole)
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            file.truncate(whole)
            raise
    if is_new:
        sync_folder(path.parent)
    return whole


def cut(path: Path, length: int) -> None:
    """Shorten a file durably; this needs no free space."""
    with path.open("r+b") as file:
        file.truncate(length)
        os.fsync(file.fileno())


def copy(source: Path, target: Path) -> None:
    """Copy a file's content durably, following links and taking no permissions along."""
    with source.open("rb") as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer, _CHUNK)
        writer.flush()
        os.fsync(writer.fileno())


def sha256(*paths: Path) -> str:
    """SHA-256 over the files' bytes, one after the other, as ``cat FILE… | sha256sum`` prints it."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def sweep(folder: Path, name: str = "") -> None:
    """Remove what killed writers left; only for one who holds the lock, as no writer is at work then.

    With a ``name``, only what was to become the file of that name: others may be at work in the folder.
    """
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        if not entry.name.startswith(f"{TEMPORARY}{name}"):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
