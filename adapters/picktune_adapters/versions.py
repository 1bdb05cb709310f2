"""Adapter versions: immutable folders, each under a name that is used once and never again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from picktune_adapters import disk, names
from picktune_adapters.check import MAX_RANK
from picktune_adapters.checks import check_version
from picktune_adapters.errors import AdapterCorrupt, AdapterExists, AdapterNotFound
from picktune_adapters.kinds import digest, files_of, kind_of
from picktune_adapters.probes import PROBES, read_probes
from picktune_adapters.records import AdapterVersion, RemovedAdapter
from picktune_adapters.store import Store, pretty

VERSION = "version.json"
_SHOWN = 20


class Versions(Store):
    """The versions of a registry."""

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
        """Check a folder, of whatever kind, and keep a copy of it for good under a name that was never used.

        Only the weights, the configuration, a checkpoint's tokenizer and the trainer's probes are taken.
        ``base`` is the base model's folder, against which names and shapes are checked. Raises
        ``InvalidAdapterName``, ``AdapterExists``, ``AdapterCorrupt``, and ``AdapterNotFound`` for an unknown
        ``parent``; then the registry is as it was.
        """
        names.check_name(name)
        figures = _finite(name, metrics or {})
        kind = check_version(folder, base=base, max_rank=max_rank).kind
        with self._writing():
            used = self._used()
            if name in used:
                raise AdapterExists(
                    f"an adapter named {name!r} was already registered and names are never used twice; "
                    f"take {names.next_name(used, now)!r}",
                    field="name",
                )
            if parent is not None and parent not in used:
                raise AdapterNotFound(parent, self._known())
            target = self._adapters / name
            staged = disk.temporary_beside(target)
            staged.mkdir(parents=True)
            for file in files_of(folder, kind):
                disk.copy(folder / file, staged / file)
            sha256 = digest(staged, kind)
            if (folder / PROBES).is_file():
                disk.copy(folder / PROBES, staged / PROBES)
                read_probes(staged, sha256)
            # Again, on what was really copied: the source may have changed under our hands.
            sound = check_version(staged, base=base, max_rank=max_rank)
            if sound.kind != kind:
                raise AdapterCorrupt(f"the files in {folder} were changed while they were read; add it again")
            if kind != "lora":
                self._needs_newest_format()
            version = AdapterVersion(
                name=name,
                base_model=base_model,
                sha256=sha256,
                kind=kind,
                method=method,
                rank=sound.rank,
                run_id=run_id,
                dataset_id=dataset_id,
                picks=picks,
                picks_until=picks_until,
                parent=parent,
                simulated=simulated,
                metrics=figures,
                created_at=now.astimezone(UTC),
            )
            disk.write_new(staged / VERSION, stored(version))
            disk.sync_folder(staged)
            staged.rename(target)
            disk.sync_folder(self._adapters)
            return version

    def get(self, name: str) -> AdapterVersion:
        """The record of a version. Raises ``AdapterNotFound``, or ``AdapterCorrupt`` if it is unreadable."""
        path = self.folder(name) / VERSION
        with self._disk_errors():
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                raise damaged(name, f"{path} is missing") from None
        try:
            version = msgspec.json.decode(content, type=AdapterVersion)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise damaged(name, f"{path} cannot be read: {error}") from error
        if version.name != name:
            raise damaged(name, f"{path} is the record of {version.name!r}")
        return version

    def folder(self, name: str) -> Path:
        """The absolute folder of a version, as an engine loads it. Raises ``AdapterNotFound``."""
        self._check_format()
        folder = self._adapters / name if names.is_name(name) else None
        if folder is None or not folder.is_dir():
            raise AdapterNotFound(name, self._known())
        if folder.is_symlink():
            raise damaged(name, f"{folder} is a link")
        return folder.absolute()

    def versions(self) -> list[AdapterVersion]:
        """The readable versions, oldest first; ``faults`` has the others."""
        readable = [one for one in self._looked_up() if isinstance(one, AdapterVersion)]
        return sorted(readable, key=lambda one: (one.created_at, len(one.name), one.name))

    def faults(self) -> list[AdapterCorrupt]:
        """What is wrong with the versions whose record cannot be read; ``verify`` looks into the weights."""
        return [one for one in self._looked_up() if isinstance(one, AdapterCorrupt)]

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
        if kind_of(folder) != version.kind:
            raise damaged(name, f"it was registered as {version.kind} and its files are {kind_of(folder)}")
        sound = check_version(folder, base=base, max_rank=max_rank)
        with self._disk_errors():
            found = digest(folder, version.kind)
        if found != version.sha256:
            raise damaged(name, f"its files hash to {found[:16]}… instead of {version.sha256[:16]}…")
        if sound.rank != version.rank:
            raise damaged(name, f"its rank is {sound.rank}, and {VERSION} says {version.rank}")
        if base_model is not None and version.base_model != base_model:
            raise AdapterCorrupt(
                f"adapter {name!r} was trained on {version.base_model!r}, not on {base_model!r}; serve that "
                "model, or train an adapter for this one"
            )
        return version

    def size(self, name: str) -> int:
        """How many bytes a version takes on the disk. Raises ``AdapterNotFound``."""
        folder = self.folder(name)
        with self._disk_errors():
            return sum(file.stat().st_size for file in folder.iterdir())

    def removed(self) -> list[RemovedAdapter]:
        """What stays of the removed versions, in the order of their removal."""
        self._check_format()
        # A removal that was killed half-way left the version whole: it is not removed.
        gone = [name for name in self._removed_names() if not (self._adapters / name).is_dir()]
        read = [self._read(self._tombstone(name), RemovedAdapter) for name in gone]
        return sorted((one for one in read if one is not None), key=lambda one: one.at)

    def next_name(self, now: datetime) -> str:
        """A name that was never used, also not by a removed version: the day and a number, ``2026-11-24-1``.

        Two processes that ask at once get the same; the second to ``add`` it gets ``AdapterExists``.
        """
        self._check_format()
        return names.next_name(self._used(), now)

    def _looked_up(self) -> list[AdapterVersion | AdapterCorrupt | None]:
        return [self._get_or_fault(name) for name in self._names()]

    def _get_or_fault(self, name: str) -> AdapterVersion | AdapterCorrupt | None:
        try:
            return self.get(name)
        except AdapterCorrupt as fault:
            return fault
        except AdapterNotFound:
            return None  # removed while we were looking

    def _names(self) -> list[str]:
        self._check_format()
        return sorted(name for name in self._entries(self._adapters) if names.is_name(name))

    def _removed_names(self) -> list[str]:
        files = self._entries(self._removed)
        return sorted(file[: -len(".json")] for file in files if file.endswith(".json") and file[0] != ".")

    def _tombstone(self, name: str) -> Path:
        return self._removed / f"{name}.json"

    def _entries(self, folder: Path) -> list[str]:
        with self._disk_errors():
            try:
                return [entry.name for entry in folder.iterdir()]
            except FileNotFoundError:
                return []

    def _used(self) -> set[str]:
        return {*self._names(), *self._removed_names()}

    def _known(self) -> list[str]:
        known = self._names()
        return known if len(known) <= _SHOWN else ["…", *known[-_SHOWN:]]


def stored(record: AdapterVersion | RemovedAdapter) -> bytes:
    """A record as it is kept: of a LoRA without its kind, which an older Picktune does not know."""
    fields = msgspec.to_builtins(record)
    version = fields.get("version", fields)
    if version is not None and version.get("kind") == "lora":
        del version["kind"]
    return pretty(fields)


def damaged(name: str, what: str) -> AdapterCorrupt:
    """The error for files that are no longer what was registered."""
    return AdapterCorrupt(
        f"adapter {name!r} is damaged: {what}; restore its folder from a backup, or remove it and train again"
    )


def _finite(name: str, metrics: Mapping[str, float]) -> dict[str, float]:
    # JSON has no number for these, so the record could not be read back.
    for key, value in metrics.items():
        if not math.isfinite(value):
            raise AdapterCorrupt(
                f"the metric {key!r} of adapter {name!r} is {value}; train again, or leave it out",
                field="metrics",
            )
    return {key: float(value) for key, value in metrics.items()}
