"""The registry of adapter versions: immutable folders, and aliases that say which of them speak.

::

    root/registry.json                 the format's number
    root/adapters/NAME/                adapter_model.safetensors, adapter_config.json, version.json
    root/aliases.json                  who is champion and challenger now
    root/history.jsonl                 every move of an alias; aliases.json can be rebuilt from it
    root/removed/NAME.json             what stays of a version whose files were removed

Any number of processes may read and write at once. Reading takes no lock. A writer that is killed leaves
either the old state or the new one, and perhaps a ``.tmp-`` entry that the next writer sweeps away.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec
from filelock import FileLock
from msgspec import Struct

from picktune_adapters import aliases as moves
from picktune_adapters import disk, names
from picktune_adapters.check import CONFIG, MAX_RANK, WEIGHTS, check_adapter
from picktune_adapters.errors import (
    AdapterCorrupt,
    AdapterError,
    AdapterExists,
    AdapterInUse,
    AdapterNotFound,
    NothingToRollBack,
    RegistryCorrupt,
    RegistryTooNew,
    RegistryUnavailable,
)
from picktune_adapters.records import AdapterVersion, AliasChange, Aliases, AliasName, RemovedAdapter

FORMAT = 1
VERSION = "version.json"

T = TypeVar("T")


class _Format(Struct, frozen=True):
    """Newer formats may say more; only the number decides whether we can read the rest."""

    format: int


class Registry:
    """All adapter versions under one root folder, which is made by the first write.

    ``lock_timeout`` is in seconds: how long a write waits for another process's write. Every method raises
    ``RegistryTooNew`` for a registry of a newer Picktune, ``RegistryCorrupt`` for one whose own files cannot
    be understood, and ``RegistryUnavailable`` if the disk refuses.
    """

    def __init__(self, root: Path | str, *, lock_timeout: float = 60.0) -> None:
        self.root = Path(root)
        self._adapters = self.root / "adapters"
        self._removed = self.root / "removed"
        self._aliases = self.root / "aliases.json"
        self._history = self.root / "history.jsonl"
        self._format = self.root / "registry.json"
        self._lock_timeout = lock_timeout

    # Versions

    def add(
        self,
        folder: Path,
        *,
        name: str,
        base_model: str,
        run_id: str,
        dataset_id: str,
        picks: int,
        now: datetime,
        picks_until: datetime | None = None,
        parent: str | None = None,
        simulated: bool = False,
        metrics: Mapping[str, float] | None = None,
        method: str = "lora",
        base: Path | None = None,
        max_rank: int = MAX_RANK,
    ) -> AdapterVersion:
        """Check an adapter folder and keep a copy of it for good under a name that was never used.

        Only the weights and the configuration are taken. ``base`` is the base model's folder, against which
        modules and shapes are checked. Raises ``InvalidAdapterName``, ``AdapterExists``, ``AdapterCorrupt``,
        and ``AdapterNotFound`` for an unknown ``parent``; then the registry is as it was.
        """
        names.check_name(name)
        metrics = {key: float(value) for key, value in (metrics or {}).items()}
        for key, value in metrics.items():
            if not math.isfinite(value):
                raise AdapterCorrupt(
                    f"the metric {key!r} of adapter {name!r} is {value}; train again, or leave it out",
                    field="metrics",
                )
        check_adapter(folder, base=base, max_rank=max_rank)
        with self._writing():
            if name in self._used():
                raise AdapterExists(
                    f"an adapter named {name!r} was already registered and names are never used twice; "
                    f"take {self.next_name(now)!r}",
                    field="name",
                )
            if parent is not None and parent not in self._used():
                raise AdapterNotFound(parent, self._known())
            target = self._adapters / name
            staged = disk.temporary_beside(target)
            staged.mkdir(parents=True)
            for file in (CONFIG, WEIGHTS):
                disk.copy(folder / file, staged / file)
            # Again, on what was really copied: the source may have changed under our hands.
            shape = check_adapter(staged, base=base, max_rank=max_rank)
            version = AdapterVersion(
                name=name,
                base_model=base_model,
                sha256=disk.sha256(staged / CONFIG, staged / WEIGHTS),
                method=method,
                rank=shape.rank,
                run_id=run_id,
                dataset_id=dataset_id,
                picks=picks,
                picks_until=picks_until,
                parent=parent,
                simulated=simulated,
                metrics=metrics,
                created_at=now.astimezone(UTC),
            )
            disk.write_new(staged / VERSION, _pretty(version))
            disk.sync_folder(staged)
            staged.rename(target)
            disk.sync_folder(self._adapters)
            return version

    def get(self, name: str) -> AdapterVersion:
        """The record of a version. Raises ``AdapterNotFound``, or ``AdapterCorrupt`` if it is unreadable."""
        version = self.folder(name) / VERSION
        try:
            record = msgspec.json.decode(version.read_bytes(), type=AdapterVersion)
        except FileNotFoundError:
            raise _damaged(name, f"{version} is missing") from None
        except (msgspec.MsgspecError, ValueError) as error:
            raise _damaged(name, f"{version} cannot be read: {error}") from error
        except OSError as error:
            raise _unavailable(self.root, error) from error
        if record.name != name:
            raise _damaged(name, f"{version} is the record of {record.name!r}")
        return record

    def folder(self, name: str) -> Path:
        """The absolute folder of a version, as an engine loads it. Raises ``AdapterNotFound``."""
        self._check_format()
        folder = self._adapters / name if names.is_name(name) else None
        if folder is None or not folder.is_dir():
            raise AdapterNotFound(name, self._known())
        if folder.is_symlink():
            raise _damaged(name, f"{folder} is a link")
        return folder.absolute()

    def versions(self) -> list[AdapterVersion]:
        """The readable versions, oldest first; ``faults`` has the others."""
        return sorted(
            (
                record
                for record in map(self._get_or_fault, self._names())
                if isinstance(record, AdapterVersion)
            ),
            key=lambda record: (record.created_at, len(record.name), record.name),
        )

    def faults(self) -> list[AdapterCorrupt]:
        """What is wrong with the versions whose record cannot be read; see ``verify`` for the weights."""
        return [
            fault for fault in map(self._get_or_fault, self._names()) if isinstance(fault, AdapterCorrupt)
        ]

    def verify(
        self,
        name: str,
        *,
        base: Path | None = None,
        base_model: str | None = None,
        max_rank: int = MAX_RANK,
    ) -> AdapterVersion:
        """Read a version's files in full and raise ``AdapterCorrupt`` unless they are what was registered.

        With ``base_model``, the version must have been trained on the model of that name; with ``base``, its
        modules must exist in that model folder. Raises ``AdapterNotFound``.
        """
        version = self.get(name)
        folder = self.folder(name)
        shape = check_adapter(folder, base=base, max_rank=max_rank)
        try:
            found = disk.sha256(folder / CONFIG, folder / WEIGHTS)
        except OSError as error:
            raise _unavailable(self.root, error) from error
        if found != version.sha256:
            raise _damaged(name, f"its files hash to {found[:16]}… instead of {version.sha256[:16]}…")
        if shape.rank != version.rank:
            raise _damaged(name, f"its rank is {shape.rank}, and {VERSION} says {version.rank}")
        if base_model is not None and version.base_model != base_model:
            raise AdapterCorrupt(
                f"adapter {name!r} was trained on {version.base_model!r}, not on {base_model!r}; serve that "
                "model, or train an adapter for this one"
            )
        return version

    def remove(self, name: str, *, by: str, reason: str, now: datetime) -> RemovedAdapter:
        """Delete a version's files; its name and lineage stay on record. Unload it from engines first.

        Raises ``AdapterNotFound``, and ``AdapterInUse`` while an alias names it.
        """
        with self._writing():
            folder = self.folder(name)
            aliases = self.aliases()
            if name in (aliases.champion, aliases.challenger):
                alias = "champion" if name == aliases.champion else "challenger"
                raise AdapterInUse(
                    f"adapter {name!r} is the {alias}; roll back or move that alias first", field="name"
                )
            version = self._get_or_fault(name)
            removed = RemovedAdapter(
                name=name,
                version=version if isinstance(version, AdapterVersion) else None,
                by=by,
                reason=reason,
                at=now.astimezone(UTC),
            )
            # The tombstone first: killed in between, the version is still whole and the name still taken.
            self._removed.mkdir(exist_ok=True)
            disk.replace(self._removed / f"{name}.json", _pretty(removed))
            folder.rename(disk.temporary_beside(folder))
            disk.sync_folder(self._adapters)
            disk.sweep(self._adapters)
            return removed

    def removed(self) -> list[RemovedAdapter]:
        """What stays of the removed versions, oldest removal first."""
        self._check_format()
        records = [
            record
            for path in sorted(self._removed.glob("[!.]*.json"))
            if (record := self._read(path, RemovedAdapter)) is not None
        ]
        return sorted(records, key=lambda record: record.at)

    def next_name(self, now: datetime) -> str:
        """A name that was never used, also not by a removed version: the day and a number, ``2026-11-24-1``.

        Two processes that ask at once get the same; the second to ``add`` it gets ``AdapterExists``.
        """
        self._check_format()
        return names.next_name(self._used(), now)

    # Aliases

    def aliases(self) -> Aliases:
        """Which versions are champion and challenger now."""
        self._check_format()
        aliases = self._read(self._aliases, Aliases)
        return moves.fold(self.history()) if aliases is None else aliases

    def history(self) -> list[AliasChange]:
        """Every move of an alias, oldest first."""
        self._check_format()
        try:
            content = self._history.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unavailable(self.root, error) from error
        changes = []
        # What comes after the last line end is a write that has not finished, or never will.
        for number, line in enumerate(content.split(b"\n")[:-1], start=1):
            try:
                changes.append(msgspec.json.decode(line, type=AliasChange))
            except (msgspec.MsgspecError, ValueError) as error:
                raise RegistryCorrupt(
                    f"line {number} of {self._history} cannot be read ({error}); restore the file from a "
                    "backup, or delete that line"
                ) from error
        return changes

    def move(self, alias: AliasName, name: str | None, *, by: str, reason: str, now: datetime) -> AliasChange:
        """Let an alias name a version, or none (``None``: the base).

        A challenger that becomes champion is challenger no more. Moving an alias to where it already stands
        changes nothing. Raises ``AdapterNotFound``, ``AdapterCorrupt`` if its files are damaged, and
        ``AdapterInUse`` if the champion would have to challenge itself.
        """
        with self._writing():
            if name is not None:
                self.verify(name, max_rank=_ANY_RANK)
            return self._move(alias, name, by=by, reason=reason, now=now)

    def promote(self, name: str, *, by: str, reason: str, now: datetime) -> AliasChange:
        """Make a version the champion; if it was the challenger, there is no challenger any more."""
        return self.move("champion", name, by=by, reason=reason, now=now)

    def rollback(self, *, by: str, reason: str, now: datetime) -> AliasChange:
        """Take the last promotion back: the champion before speaks again, or, if there was none, the base.

        Rolling back again goes further back; versions whose files are gone or damaged are passed over. A
        challenger stays on trial; but where there is no champion to go back from, it is the challenger that
        is withdrawn. Raises ``NothingToRollBack`` if the base answers alone already.
        """
        with self._writing():
            aliases = self.aliases()
            target = moves.previous_champion(self.history(), self._is_sound)
            if target != aliases.champion:
                return self._move("champion", target, by=by, reason=reason, now=now, rollback=True)
            if aliases.challenger is not None:
                return self._move("challenger", None, by=by, reason=reason, now=now, rollback=True)
            raise NothingToRollBack(
                "there is nothing to roll back: no adapter is champion or challenger, so the base model "
                "answers already"
            )

    # Inside

    def _move(
        self,
        alias: AliasName,
        name: str | None,
        *,
        by: str,
        reason: str,
        now: datetime,
        rollback: bool = False,
    ) -> AliasChange:
        before = self.aliases()

        def change(alias: AliasName, after: str | None, reason: str, rollback: bool) -> AliasChange:
            was = before.champion if alias == "champion" else before.challenger
            at = now.astimezone(UTC)
            return AliasChange(
                alias=alias, before=was, after=after, by=by, reason=reason, at=at, rollback=rollback
            )

        if alias == "challenger" and name is not None and name == before.champion:
            raise AdapterInUse(
                f"adapter {name!r} is the champion and cannot challenge itself; roll back first", field="name"
            )
        first = change(alias, name, reason, rollback)
        if first.before == first.after:
            return first
        changes = [first]
        if alias == "champion" and name is not None and name == before.challenger:
            changes.append(change("challenger", None, "became champion", False))
        # The history goes first: it is what aliases.json is rebuilt from if we are killed in between.
        disk.append(self._history, b"".join(msgspec.json.encode(one) + b"\n" for one in changes))
        self._settle()
        return first

    def _settle(self) -> None:
        """Bring aliases.json up to the history."""
        now = moves.fold(self.history())
        if self._read(self._aliases, Aliases) != now:
            disk.replace(self._aliases, _pretty(now))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with FileLock(self.root / ".lock", timeout=self._lock_timeout):
                self._check_format()
                for folder in (self.root, self._adapters, self._removed):
                    disk.sweep(folder)
                if not self._format.exists():
                    disk.replace(self._format, _pretty(_Format(format=FORMAT)))
                self._settle()
                try:
                    yield
                finally:
                    disk.sweep(self._adapters)
        except AdapterError:
            raise
        except TimeoutError as error:
            raise RegistryUnavailable(
                f"another process has held the registry {self.root} for {self._lock_timeout:g} s; wait for "
                "it, or end it"
            ) from error
        except OSError as error:
            raise _unavailable(self.root, error) from error

    def _check_format(self) -> None:
        found = self._read(self._format, _Format)
        if found is not None and found.format > FORMAT:
            raise RegistryTooNew(
                f"the registry {self.root} has format {found.format} and this Picktune knows {FORMAT}; "
                "upgrade with: pip install -U picktune"
            )

    def _read(self, path: Path, type: type[T]) -> T | None:
        try:
            return msgspec.json.decode(path.read_bytes(), type=type)
        except FileNotFoundError:
            return None
        except (msgspec.MsgspecError, ValueError) as error:
            mend = {
                self._aliases: "delete it: it is rebuilt from history.jsonl",
                self._format: f'write {{"format": {FORMAT}}} into it',
            }.get(path, "restore it from a backup")
            raise RegistryCorrupt(f"{path} cannot be read ({error}); {mend}") from error
        except OSError as error:
            raise _unavailable(self.root, error) from error

    def _get_or_fault(self, name: str) -> AdapterVersion | AdapterCorrupt | None:
        try:
            return self.get(name)
        except AdapterCorrupt as fault:
            return fault
        except AdapterNotFound:
            return None  # removed while we were looking

    def _is_sound(self, name: str) -> bool:
        try:
            self.verify(name, max_rank=_ANY_RANK)
        except (AdapterNotFound, AdapterCorrupt):
            return False
        return True

    def _names(self) -> list[str]:
        self._check_format()
        try:
            return sorted(entry.name for entry in self._adapters.iterdir() if names.is_name(entry.name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unavailable(self.root, error) from error

    def _used(self) -> set[str]:
        return {*self._names(), *(path.stem for path in self._removed.glob("[!.]*.json"))}

    def _known(self) -> list[str]:
        known = self._names()
        return known if len(known) <= _SHOWN else ["…", *known[-_SHOWN:]]


_SHOWN = 20
_ANY_RANK = 1 << 30


def _pretty(record: Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def _damaged(name: str, what: str) -> AdapterCorrupt:
    return AdapterCorrupt(
        f"adapter {name!r} is damaged: {what}; restore its folder from a backup, or remove it and train again"
    )


def _unavailable(root: Path, error: OSError) -> RegistryUnavailable:
    return RegistryUnavailable(
        f"the registry {root} cannot be used: {error}; free space or mend its permissions"
    )
