"""Where dataset versions lie: ``<home>/datasets/<id>/`` with a manifest and one JSONL file a split.

What else a dataset holds to learn from lies beside them in ``<split>.extras.jsonl``, a line of JSON each with
its kind as ``type``, and in ``dropped.jsonl`` which rows were left out, and why; such a file is there only if
it has lines. Rows are written and read one at a time.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, get_args

import msgspec
from msgspec import structs
from picktune.lineage import DatasetHead, keep_lineage
from picktune.records import ChoiceSet
from picktune_adapters import disk

from picktune_retrain.dataset.build import dataset_id, encoded
from picktune_retrain.dataset.extras import encode_extra
from picktune_retrain.dataset.holdout import load_hold_out
from picktune_retrain.dataset.rows import Rows
from picktune_retrain.dataset.split import OldSplits, Placed, Splits, merge, remember
from picktune_retrain.dataset.versions import check_format
from picktune_retrain.dataset.writing import writing
from picktune_retrain.errors import DatasetAmbiguous, DatasetCorrupt, DatasetNotFound, StateCorrupt
from picktune_retrain.records import (
    Dataset,
    DatasetVersion,
    Dropped,
    Extra,
    Labelled,
    Scenario,
    SplitName,
    Tie,
    Written,
)

_SPLITS: tuple[SplitName, ...] = get_args(SplitName)
DROPPED = "dropped.jsonl"
FORMAT = 1


def save_dataset(dataset: Dataset, folder: Path) -> Path:
    """Store a version under ``folder``, whole or not at all; one that is there already keeps its rows.

    Which rows were left out is brought up to date in that, for more may have come since that cannot be used.
    What a writer that was killed left half-written in ``folder`` is removed.
    """
    home = folder / dataset.version.id
    with writing(folder):
        if home.exists():
            _renew(dataset, home)
        else:
            _write(dataset, home)
    return home


def load_dataset(version_id: str, folder: Path) -> Dataset:
    """Read a version back and verify it against its id; its rows stay on disk until they are looked at.

    Raises ``DatasetNotFound``; ``DatasetCorrupt`` if a file is missing, cannot be decoded or holds other rows
    than the id says; ``WrittenByNewer`` for one of a newer Picktune.
    """
    home = folder / version_id
    if not home.is_dir():
        raise DatasetNotFound(version_id, folder)
    remedy = _remedy(home)
    version = load_version(home)
    try:
        rows = {name: Rows.open(home / f"{name}.jsonl", ChoiceSet) for name in _SPLITS}
        extras = {name: tuple(read) for name in _SPLITS if (read := _extras(home / f"{name}.extras.jsonl"))}
        dropped = tuple(_lines(home / DROPPED, Dropped))
        found = dataset_id({name: map(_checked, some.lines()) for name, some in rows.items()}, extras)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DatasetCorrupt(f"dataset {version_id} cannot be read ({error}); {remedy}") from error
    if not version_id == version.id == found:
        raise DatasetCorrupt(f"dataset {version_id} holds other rows than its id says ({found}); {remedy}")
    return Dataset(version=version, **rows, extras=extras, dropped=dropped)


def load_version(home: Path) -> DatasetVersion:
    """The manifest of a stored version; raises ``DatasetCorrupt`` and ``WrittenByNewer``."""
    path = home / "manifest.json"
    try:
        content = path.read_bytes()
        check_format(content, path, FORMAT)
        return msgspec.json.decode(content, type=DatasetVersion)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DatasetCorrupt(f"dataset {home.name} cannot be read ({error}); {_remedy(home)}") from error


def stored_versions(folder: Path) -> list[DatasetVersion]:
    """Every stored version, the oldest first. Raises ``DatasetCorrupt`` and ``WrittenByNewer``."""
    found = [load_version(manifest.parent) for manifest in folder.glob("[!.]*/manifest.json")]
    return sorted(found, key=lambda version: (version.created_at, version.id))


def find_dataset(name: str | None, folder: Path) -> DatasetVersion:
    """The stored version whose id begins so; without a name, the newest.

    Raises ``DatasetNotFound``, and ``DatasetAmbiguous`` if several do.
    """
    known = stored_versions(folder)
    if name in (None, "", "newest"):
        if not known:
            raise DatasetNotFound("newest", folder)
        return known[-1]
    found = [version for version in known if version.id.startswith(str(name))]
    if not found:
        raise DatasetNotFound(str(name), folder)
    if len(found) > 1:
        raise DatasetAmbiguous(str(name), [version.id for version in found])
    return found[0]


def dropped_rows(home: Path) -> Iterator[Dropped]:
    """The rows that a stored version leaves out; raises ``DatasetCorrupt``."""
    try:
        yield from _lines(home / DROPPED, Dropped)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DatasetCorrupt(f"dataset {home.name} cannot be read ({error}); {_remedy(home)}") from error


def save_lineage(dataset: Dataset, home: Path) -> Path:
    """Write down in a home which picks the dataset holds; that stays when the dataset is deleted."""
    version = dataset.version
    head = DatasetHead(
        dataset_id=version.id, until=version.until, created_at=version.created_at, counts=version.counts
    )
    others = [(name, row.slate_id, row.decided_at) for name in _SPLITS for row in _others(dataset, name)]
    known = {(slate, at) for _, slate, at in others}
    # An edit is known by its pick already.
    seen = set()

    def picks() -> Iterator[tuple[SplitName, str, Any]]:
        for name in _SPLITS:
            for row in _rows(dataset, name):
                if (key := (row.slate_id, row.decided_at)) in known:
                    seen.add((name, *key))
                yield name, row.slate_id, row.decided_at

    more = (one for one in dict.fromkeys(others) if one not in seen)
    return keep_lineage(home, head, chain(picks(), more))


def load_splits(folder: Path) -> Splits:
    """The places remembered in ``folder``; won back from the stored datasets if the file is missing.

    Those of the frozen hold-out are in the test split whatever the file says of what it does not know. Raises
    ``StateCorrupt`` if the file is there but cannot be read: placing everything afresh would train on what
    earlier nights held out; ``WrittenByNewer`` for one of a newer Picktune.
    """
    path = folder / "splits.json"
    try:
        content = path.read_bytes()
        check_format(content, path, 2)
        found: Splits | OldSplits = msgspec.json.decode(content, type=_Either).either
    except FileNotFoundError:
        found = _won_back(folder)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        remedy = "delete it, and the places are won back from the stored datasets"
        raise StateCorrupt(path, str(error), remedy) from error
    hold_out = load_hold_out(folder)
    splits = found.renewed() if isinstance(found, OldSplits) else found
    return merge(splits, hold_out.places) if hold_out else splits


def save_splits(dataset: Dataset, folder: Path) -> Splits:
    """Remember where the dataset placed its conversations, beside what was remembered before."""
    with writing(folder):
        splits = remember(load_splits(folder), _by_split(dataset))
        disk.replace(folder / "splits.json", msgspec.json.encode(splits, order="deterministic"))
    return splits


class _Either(msgspec.Struct):
    """Whichever form the file has."""

    format: int = 1
    places: dict[str, SplitName] = {}
    train: bytes = b""
    validation: bytes = b""
    test: bytes = b""
    near: bytes = b""

    @property
    def either(self) -> Splits | OldSplits:
        if self.format == 1:
            return OldSplits(places=self.places)
        return Splits(train=self.train, validation=self.validation, test=self.test, near=self.near)


def _won_back(folder: Path) -> Splits:
    splits = Splits()
    for manifest in sorted(folder.glob("[!.]*/manifest.json"), key=lambda path: path.stat().st_mtime):
        splits = remember(splits, _by_split(load_dataset(manifest.parent.name, folder)))
    return splits


def _by_split(dataset: Dataset) -> Mapping[SplitName, Iterable[Placed]]:
    return {name: chain(_rows(dataset, name), _others(dataset, name)) for name in _SPLITS}


def _others(dataset: Dataset, name: SplitName) -> list[Labelled | Written | Tie]:
    return [row for row in dataset.extras.get(name, ()) if not isinstance(row, Scenario)]


def _extras(path: Path) -> list[Extra]:
    return list(_lines(path, Extra))


def _lines(path: Path, kind: Any) -> Iterator[Any]:
    if not path.exists():
        return
    decode = msgspec.json.Decoder(kind).decode
    with path.open("rb") as file:
        for line in file:
            yield decode(line)


_decode = msgspec.json.Decoder(ChoiceSet).decode


def _checked(line: bytes) -> bytes:
    """The line, if it is a choice set."""
    _decode(line)
    return line


def _line(record: object) -> bytes:
    return msgspec.json.encode(record) + b"\n"


def _write(dataset: Dataset, home: Path) -> None:
    temporary = disk.temporary_beside(home)
    try:
        temporary.mkdir()
        for name in _SPLITS:
            disk.write_new(temporary / f"{name}.jsonl", encoded(_rows(dataset, name)))
            if extras := dataset.extras.get(name):
                disk.write_new(temporary / f"{name}.extras.jsonl", map(encode_extra, extras))
        if dataset.dropped:
            disk.write_new(temporary / DROPPED, map(_line, dataset.dropped))
        manifest = msgspec.json.format(msgspec.json.encode(dataset.version), indent=2)
        disk.write_new(temporary / "manifest.json", manifest)
        disk.sync_folder(temporary)
        temporary.rename(home)
        disk.sync_folder(home.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _renew(dataset: Dataset, home: Path) -> None:
    disk.sweep(home)
    version = load_version(home)
    # The rows are the same; by what they were chosen, and what was left out, may not be.
    changed = structs.replace(dataset.version, created_at=version.created_at)
    if structs.replace(changed, until=version.until) == version:
        return
    disk.replace(home / DROPPED, map(_line, dataset.dropped))
    disk.replace(home / "manifest.json", msgspec.json.format(msgspec.json.encode(changed), indent=2))


def _remedy(home: Path) -> str:
    return f"delete {home} and run the night afresh (--fresh); the log still has the picks"


def _rows(dataset: Dataset, name: SplitName) -> Sequence[ChoiceSet]:
    rows: Sequence[ChoiceSet] = getattr(dataset, name)
    return rows
