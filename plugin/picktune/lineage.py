"""Which picks a dataset version holds, and which adapters learned from them.

The nightly run writes ``<home>/lineage/<dataset id>.jsonl`` before it trains: a head, then a line for each
pick with its split, its slate and when it was decided. That holds nobody's words and nobody's name, and stays
when the dataset itself is deleted. Where it is missing (an older night), the dataset's own rows are read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct
from picktune_adapters import AdapterVersion, disk
from picktune_adapters.registry import Registry

from picktune.errors import StateUnreadable
from picktune.log.rows import micros, moment
from picktune.records import Record

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
FOLDER = "lineage"


class DatasetHead(Record, frozen=True, kw_only=True):
    """One dataset version: its id, up to when picks count in it, and how many are in each split."""

    format: Literal[1] = 1
    dataset_id: str
    until: datetime
    created_at: datetime
    counts: dict[str, int]


class PickUse(Record, frozen=True, kw_only=True):
    """That a dataset holds a pick, in which split, and which adapters were made from that dataset.

    A slate on which two people decided is in a dataset twice; ``decided_at`` tells the two apart.
    """

    slate_id: str
    decided_at: datetime
    dataset_id: str
    split: SplitName
    adapters: tuple[str, ...] = ()


class _Row(Struct, frozen=True):
    """As much of a dataset's row as is needed here; the rest of its fields is passed over."""

    slate_id: str
    decided_at: datetime


class _Manifest(Struct, frozen=True):
    id: str
    until: datetime
    created_at: datetime
    counts: dict[str, int]


_Line = tuple[SplitName, str, int]


def keep_lineage(home: Path, head: DatasetHead, picks: Iterable[tuple[SplitName, str, datetime]]) -> Path:
    """Write down which picks (split, slate, when decided) a dataset holds, whole or not at all."""
    lines = (msgspec.json.encode((split, slate, micros(at))) + b"\n" for split, slate, at in picks)
    path = home / FOLDER / f"{head.dataset_id}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    disk.replace(path, chain((msgspec.json.encode(head) + b"\n",), lines))
    return path


def datasets(home: Path) -> list[DatasetHead]:
    """Every dataset version whose picks are known, oldest first. Raises ``StateUnreadable``."""
    return sorted(_heads(home).values(), key=lambda head: (head.created_at, head.dataset_id))


def picks_of(home: Path, dataset_id: str) -> Iterator[tuple[SplitName, str, datetime]]:
    """Split, slate and time of decision of each pick in the dataset; nothing if it is unknown.

    Raises ``StateUnreadable`` for a file that cannot be understood.
    """
    path = home / FOLDER / f"{dataset_id}.jsonl"
    if path.is_file():
        for line in _lines(path)[1:]:
            split, slate_id, at = _decode(line, _Line, path)
            yield split, slate_id, moment(at)
        return
    for split in SPLITS:
        rows = home / "datasets" / dataset_id / f"{split}.jsonl"
        for line in _lines(rows) if rows.is_file() else ():
            row = _decode(line, _Row, rows)
            yield split, row.slate_id, row.decided_at


def uses_of(home: Path, slate_ids: Collection[str], registry: Registry | None = None) -> list[PickUse]:
    """Every dataset that holds a pick on one of the slates, oldest dataset first, with its adapters.

    ``registry`` is the home's unless given. Adapters that were removed are named too, and so are those that
    went on from one of them (``parent``).
    """
    wanted = frozenset(slate_ids)
    made = _adapters_by_dataset(registry or Registry(home / "registry"))
    return [
        PickUse(
            slate_id=slate_id,
            decided_at=decided_at,
            dataset_id=head.dataset_id,
            split=split,
            adapters=made.get(head.dataset_id, ()),
        )
        for head in (datasets(home) if wanted else ())
        for split, slate_id, decided_at in picks_of(home, head.dataset_id)
        if slate_id in wanted
    ]


def adapters_of(
    home: Path, slate_ids: Collection[str], registry: Registry | None = None
) -> dict[str, tuple[str, ...]]:
    """The adapters that learned from picks on these slates, each with the slates: the train split only.

    What was held out to judge an adapter by did not teach it anything; ``uses_of`` has that too.
    """
    learned: dict[str, dict[str, None]] = {}
    for use in uses_of(home, slate_ids, registry):
        for name in use.adapters if use.split == "train" else ():
            learned.setdefault(name, {})[use.slate_id] = None
    return {name: tuple(slates) for name, slates in sorted(learned.items())}


def all_versions(registry: Registry) -> list[AdapterVersion]:
    """The registered versions and what is known of the removed ones, oldest first."""
    gone = [one.version for one in registry.removed() if one.version is not None]
    found = {one.name: one for one in (*gone, *registry.versions())}
    return sorted(found.values(), key=lambda one: (one.created_at, one.name))


def _adapters_by_dataset(registry: Registry) -> dict[str, tuple[str, ...]]:
    versions = all_versions(registry)
    made: dict[str, set[str]] = {}
    by_name = {one.name: one for one in versions}
    for version in versions:
        ancestor: AdapterVersion | None = version
        seen: set[str] = set()
        while ancestor is not None and ancestor.name not in seen:
            seen.add(ancestor.name)
            made.setdefault(ancestor.dataset_id, set()).add(version.name)
            ancestor = by_name.get(ancestor.parent or "")
    return {dataset_id: tuple(sorted(names)) for dataset_id, names in made.items()}


def _heads(home: Path) -> dict[str, DatasetHead]:
    found = {}
    for manifest in (home / "datasets").glob("[!.]*/manifest.json"):
        one = _decode(_read(manifest), _Manifest, manifest)
        found[one.id] = DatasetHead(
            dataset_id=one.id, until=one.until, created_at=one.created_at, counts=one.counts
        )
    for path in (home / FOLDER).glob("[!.]*.jsonl"):
        head = _decode(_lines(path)[0], DatasetHead, path)
        found[head.dataset_id] = head
    return found


def _lines(path: Path) -> list[bytes]:
    return _read(path).splitlines() or [b""]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StateUnreadable(path, error.strerror or str(error)) from error


def _decode(content: bytes, kind: Any, path: Path) -> Any:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StateUnreadable(path, str(error)) from error
