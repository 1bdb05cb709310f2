"""Where dataset versions lie: ``<home>/datasets/<id>/`` with a manifest and one JSONL file a split.

What else a dataset holds to learn from lies beside them in ``<split>.extras.jsonl``, a line of JSON each with
its kind as ``type``; such a file is there only if it has lines.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import get_args

import msgspec
from picktune.lineage import DatasetHead, keep_lineage
from picktune.records import ChoiceSet
from picktune_adapters import disk

from picktune_retrain.dataset.build import dataset_id, encoded
from picktune_retrain.dataset.extras import encode_extra
from picktune_retrain.dataset.rows import Rows
from picktune_retrain.dataset.split import Placed, Splits, remember
from picktune_retrain.errors import DatasetCorrupt, DatasetNotFound, StateCorrupt
from picktune_retrain.records import (
    Dataset,
    DatasetVersion,
    Extra,
    Labelled,
    Scenario,
    SplitName,
    Tie,
    Written,
)

_Use = tuple[SplitName, str, datetime]
_SPLITS: tuple[SplitName, ...] = get_args(SplitName)


def save_dataset(dataset: Dataset, folder: Path) -> Path:
    """Store a version under ``folder``, whole or not at all; one that is there already stays as it is."""
    home = folder / dataset.version.id
    if home.exists():
        return home
    folder.mkdir(parents=True, exist_ok=True)
    temporary = disk.temporary_beside(home)
    try:
        temporary.mkdir()
        for name in _SPLITS:
            disk.write_new(temporary / f"{name}.jsonl", encoded(_rows(dataset, name)))
            if extras := dataset.extras.get(name):
                disk.write_new(temporary / f"{name}.extras.jsonl", map(encode_extra, extras))
        manifest = msgspec.json.format(msgspec.json.encode(dataset.version), indent=2)
        disk.write_new(temporary / "manifest.json", manifest)
        disk.sync_folder(temporary)
        temporary.rename(home)
        disk.sync_folder(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return home


def load_dataset(version_id: str, folder: Path) -> Dataset:
    """Open a version and verify it against its id; its rows stay on the disk until somebody looks at them.

    Raises ``DatasetNotFound``, and ``DatasetCorrupt`` if a file is missing, cannot be decoded or holds
    other rows than the id says.
    """
    home = folder / version_id
    if not home.is_dir():
        raise DatasetNotFound(version_id, folder)
    remedy = f"delete {home} and run the night afresh (--fresh); the log still has the picks"
    try:
        version = msgspec.json.decode((home / "manifest.json").read_bytes(), type=DatasetVersion)
        rows = {name: Rows.open(home / f"{name}.jsonl", ChoiceSet) for name in _SPLITS}
        extras = {name: tuple(read) for name in _SPLITS if (read := _extras(home / f"{name}.extras.jsonl"))}
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DatasetCorrupt(f"dataset {version_id} cannot be read ({error}); {remedy}") from error
    found = dataset_id(rows, extras)
    if not version_id == version.id == found:
        raise DatasetCorrupt(f"dataset {version_id} holds other rows than its id says ({found}); {remedy}")
    return Dataset(version=version, **{name: rows[name] for name in _SPLITS}, extras=extras)


def save_lineage(dataset: Dataset, home: Path) -> Path:
    """Write down in a home which picks the dataset holds; that stays when the dataset is deleted."""
    version = dataset.version
    head = DatasetHead(
        dataset_id=version.id, until=version.until, created_at=version.created_at, counts=version.counts
    )
    picks: Iterable[_Use] = (
        (name, row.slate_id, row.decided_at) for name in _SPLITS for row in _rows(dataset, name)
    )
    others = ((name, row.slate_id, row.decided_at) for name in _SPLITS for row in _others(dataset, name))
    if more := dict.fromkeys(others):
        # An edit is known by its pick already.
        known = dict.fromkeys(picks)
        picks = (*known, *(one for one in more if one not in known))
    return keep_lineage(home, head, picks)


def load_splits(folder: Path) -> Splits:
    """The places remembered in ``folder``; won back from the stored datasets if the file is missing.

    Raises ``StateCorrupt`` if the file is there but cannot be read: placing everything afresh would train on
    what earlier nights held out.
    """
    path = folder / "splits.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Splits)
    except FileNotFoundError:
        return _won_back(folder)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        remedy = "delete it, and the places are won back from the stored datasets"
        raise StateCorrupt(path, str(error), remedy) from error


def save_splits(dataset: Dataset, folder: Path) -> Splits:
    """Remember where the dataset placed its conversations, beside what was remembered before."""
    splits = remember(load_splits(folder), _by_split(dataset))
    folder.mkdir(parents=True, exist_ok=True)
    disk.replace(folder / "splits.json", msgspec.json.encode(splits, order="deterministic"))
    return splits


def _won_back(folder: Path) -> Splits:
    splits = Splits()
    for manifest in sorted(folder.glob("*/manifest.json"), key=lambda path: path.stat().st_mtime):
        splits = remember(splits, _by_split(load_dataset(manifest.parent.name, folder)))
    return splits


def _by_split(dataset: Dataset) -> dict[SplitName, Iterable[Placed]]:
    return {name: chain(_rows(dataset, name), _others(dataset, name)) for name in _SPLITS}


def _others(dataset: Dataset, name: SplitName) -> list[Labelled | Written | Tie]:
    return [row for row in dataset.extras.get(name, ()) if not isinstance(row, Scenario)]


def _extras(path: Path) -> list[Extra]:
    if not path.exists():
        return []
    found: list[Extra] = msgspec.json.Decoder(Extra).decode_lines(path.read_bytes())
    return found


def _rows(dataset: Dataset, name: SplitName) -> Sequence[ChoiceSet]:
    rows: Sequence[ChoiceSet] = getattr(dataset, name)
    return rows
