"""One writer at a time in the folder of datasets, and what killed ones left there."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from picktune_adapters import disk


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Wait until nobody else writes into ``folder``, sweep away what killed writers left, and hold it.

    It is the folder itself that is locked: no file is made for that, and the system lets go of it if the
    process dies. Where a file system cannot do so, nothing is swept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:  # some network file systems lock nothing that is open for reading only
            yield
            return
        disk.sweep(folder)
        yield
    finally:
        os.close(descriptor)


__all__ = ["writing"]
