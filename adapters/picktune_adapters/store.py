"""The folder that a registry lives in: its format, its lock, and its JSON files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
from filelock import FileLock
from msgspec import Struct

from picktune_adapters import disk
from picktune_adapters.errors import AdapterError, RegistryCorrupt, RegistryTooNew, RegistryUnavailable

# What this Picktune understands, and what a registry of LoRA alone is: any Picktune reads such a one.
FORMAT = 2
FIRST_FORMAT = 1

T = TypeVar("T")


class _Format(Struct, frozen=True):
    """Newer formats may say more; only the number decides whether we can read the rest."""

    format: int


class Store:
    """A root folder that any number of processes read without a lock and write under one.

    It is made by the first write. ``lock_timeout`` is in seconds: how long a write waits for another
    process's. Its methods raise ``RegistryTooNew`` for a folder of a newer Picktune, ``RegistryCorrupt`` for
    a file that cannot be understood and ``RegistryUnavailable`` if the disk refuses.
    """

    def __init__(self, root: Path | str, *, lock_timeout: float = 60.0) -> None:
        self.root = Path(root)
        self._adapters = self.root / "adapters"
        self._removed = self.root / "removed"
        self._aliases = self.root / "aliases.json"
        self._history = self.root / "history.jsonl"
        self._format = self.root / "registry.json"
        self._lock_timeout = lock_timeout

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Be the only writer; what a killed one left is swept away first, and what we leave last."""
        with self._disk_errors():
            self.root.mkdir(parents=True, exist_ok=True)
            with FileLock(self.root / ".lock", timeout=self._lock_timeout):
                self._check_format()
                self._sweep()
                if not self._format.exists():
                    disk.replace(self._format, pretty(_Format(format=FIRST_FORMAT)))
                try:
                    yield
                finally:
                    self._sweep()

    def _sweep(self) -> None:
        for folder in (self.root, self._adapters, self._removed):
            disk.sweep(folder)

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except AdapterError:
            raise
        except TimeoutError as error:
            raise RegistryUnavailable(
                f"another process has held the registry {self.root} for {self._lock_timeout:g} s; wait for "
                "it, or end it"
            ) from error
        except OSError as error:
            raise RegistryUnavailable(
                f"the registry {self.root} cannot be used: {error}; free space or mend its permissions"
            ) from error

    def _check_format(self) -> None:
        found = self._read(self._format, _Format)
        if found is not None and found.format > FORMAT:
            raise RegistryTooNew(
                f"the registry {self.root} has format {found.format} and this Picktune knows {FORMAT}; "
                "upgrade with: pip install -U picktune"
            )

    def _needs_newest_format(self) -> None:
        """Say that an older Picktune cannot read what is written next."""
        found = self._read(self._format, _Format)
        if found is None or found.format < FORMAT:
            disk.replace(self._format, pretty(_Format(format=FORMAT)))

    def _read(self, path: Path, type: type[T]) -> T | None:
        """The record in a JSON file; ``None`` if there is no such file."""
        with self._disk_errors():
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                return None
        try:
            return msgspec.json.decode(content, type=type)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            mend = {
                self._aliases: "delete it: it is rebuilt from history.jsonl",
                self._format: f'write {{"format": {FORMAT}}} into it',
            }.get(path, "restore it from a backup")
            raise RegistryCorrupt(f"{path} cannot be read ({error}); {mend}") from error


def pretty(record: object) -> bytes:
    """A record as indented JSON, for people who look into the folder."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"
