"""The state of nightly runs: ``<home>/nights/<run id>/`` with a manifest and what each stage made.

A stage's product is written before the manifest says that the stage is done, both atomically; so a run that
is killed anywhere goes on at the stage that it was in.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from filelock import FileLock, Timeout
from msgspec import structs
from picktune.records import AnnotatorRole, Record
from picktune_adapters import disk
from picktune_adapters.store import pretty

from picktune_retrain.answers import STATE, Attempt
from picktune_retrain.basemodel import BaseModel
from picktune_retrain.errors import DiskFull, NightRunning, NightStopped, StateCorrupt, TrainingInterrupted
from picktune_retrain.gate import Gate
from picktune_retrain.records import Answer, DataRecipe, Recipe

Result = Literal["admitted", "not_admitted", "abandoned"]
STAGES = ("train", "evaluate", "compare", "decide", "register", "challenge", "report")
MOST_FAILURES = 3
REFERENCES = "references.txt"
"""In the home: what the base gives the rows, from night to night; only nights write it."""

T = TypeVar("T")


class Manifest(Record, frozen=True, kw_only=True):
    """One night: what was asked for, how far it has come, and how it ended.

    Picks count up to ``until``. ``answers`` are what was done about faults of the training, ``attempt`` is
    there while it is under way. ``failures`` counts how often the present stage failed without being stopped
    or killed; ``failure`` is why.
    """

    format: Literal[1] = 1
    id: str
    started_at: datetime
    until: datetime
    roles: tuple[AnnotatorRole, ...]
    recipe: Recipe
    gate: Gate
    base: BaseModel
    dataset_id: str
    data: DataRecipe = DataRecipe()
    done: tuple[str, ...] = ()
    failures: int = 0
    failure: str | None = None
    answers: tuple[Answer, ...] = ()
    attempt: Attempt | None = None
    adapter: str | None = None
    result: Result | None = None
    finished_at: datetime | None = None


class Night:
    """A night at work in its folder."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self._before: Callable[[str], None] = lambda stage: None

    def once(self, stage: str, kind: object, make: Callable[[], T]) -> T:
        """The product of a stage: made and kept now, or, if the stage is done, read back as a ``kind``."""
        path = self.folder / f"{stage}.json"
        if stage in self.manifest.done:
            product: T = read(path, kind)
            return product
        self._before(stage)
        product = make()
        disk.replace(path, pretty(product))
        self.update(done=(*self.manifest.done, stage), failures=0, failure=None)
        return product

    def update(self, **changes: object) -> None:
        """Change the manifest, on disk first."""
        manifest = structs.replace(self.manifest, **changes)
        disk.replace(self.folder / "manifest.json", pretty(manifest))
        self.manifest = manifest

    def close(self, result: Result, now: datetime) -> None:
        """End the night, and drop what only an unfinished one needs: its checkpoints and its adapter."""
        self.update(result=result, finished_at=now)
        for path in (*self.folder.glob(f"{STATE}*"), self.folder / "adapter"):
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def at_work(self, before: Callable[[str], None]) -> Iterator[None]:
        """Call ``before`` ahead of each stage; keep in the manifest why the work failed, if it does."""
        self._before = before
        try:
            yield
        except (NightStopped, TrainingInterrupted):
            raise
        except Exception as error:
            with suppress(OSError):
                self.update(failures=self.manifest.failures + 1, failure=f"{type(error).__name__}: {error}")
            raise

    @property
    def stage(self) -> str:
        """The stage that the night is in."""
        return next((stage for stage in STAGES if stage not in self.manifest.done), "report")


@contextmanager
def exclusive(home: Path, now: datetime) -> Iterator[None]:
    """Hold the one lock of a home's nights; the system lets go of it if the process dies.

    Raises ``NightRunning``, saying who holds it, at once.
    """
    folder = home / "nights"
    folder.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(folder / ".lock"), folder / ".running"
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        who = holder.read_text().strip() if holder.is_file() else "another process"
        raise NightRunning(
            f"a nightly run is at work in {home} ({who}); wait until it has finished, or stop it with "
            "SIGTERM: it saves its state"
        ) from error
    try:
        disk.sweep(folder)
        disk.sweep(home, f"{REFERENCES}-")
        with suppress(OSError):
            holder.write_text(
                f"process {os.getpid()} on {socket.gethostname()} since {now:%Y-%m-%d %H:%M} UTC"
            )
        yield
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def begin(home: Path, manifest: Manifest) -> Night:
    """Make the folder of a new night, manifest and all, under a name that sorts by time."""
    folder = home / "nights" / manifest.id
    temporary = disk.temporary_beside(folder)
    temporary.mkdir(parents=True)
    disk.write_new(temporary / "manifest.json", pretty(manifest))
    temporary.rename(folder)
    disk.sync_folder(folder.parent)
    return Night(folder, manifest)


def new_night_id(home: Path, now: datetime) -> str:
    """The second in which the night begins, as ``20261124T021500Z``, with a number if it is taken."""
    stem = f"{now:%Y%m%dT%H%M%SZ}"
    taken = {path.name for path in (home / "nights").glob(f"{stem}*")}
    return next(name for name in (stem, *(f"{stem}-{i}" for i in range(2, 1000))) if name not in taken)


def all_nights(home: Path) -> list[Night]:
    """Every night, oldest first. Raises ``StateCorrupt`` for a manifest that cannot be read."""
    folders = sorted(path.parent for path in (home / "nights").glob("[!.]*/manifest.json"))
    nights = [Night(folder, read(folder / "manifest.json", Manifest)) for folder in folders]
    return sorted(nights, key=lambda night: night.manifest.started_at)


def read(path: Path, kind: Any) -> Any:
    """A product of a night, decoded as a ``kind``; raises ``StateCorrupt``, saying what to delete."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        remedy = f"delete the folder {path.parent} and run again; picks and adapters do not lie there"
        raise StateCorrupt(path, str(error), remedy) from error


@contextmanager
def disk_has_room(home: Path) -> Iterator[None]:
    """Turn whatever a full disk raises, in any layer, into ``DiskFull``."""
    try:
        yield
    except Exception as error:
        if not _is_full(error):
            raise
        raise DiskFull(
            f"the disk that holds {home} is full, or a quota or file size limit is reached ({error}); free "
            "space and run again: it goes on where it stopped, and champion and challenger are as they were"
        ) from error


def _is_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        # Native writers put the system's error into words only: "No space left on device (os error 28)".
        if any(f"os error {number}" in str(error) or os.strerror(number) in str(error) for number in _FULL):
            return True
        error = error.__cause__ or error.__context__
    return False


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
