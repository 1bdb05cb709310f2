"""A dataset version: what the log holds at a moment, cleaned, split and named by its content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from picktune.log.base import LogReader
from picktune.records import AnnotatorRole, ChoiceSet

from picktune_retrain.dataset.clean import clean
from picktune_retrain.dataset.split import SHARES, Splits, deal
from picktune_retrain.records import Dataset, DatasetVersion, SplitName


def build_dataset(
    reader: LogReader,
    *,
    until: datetime,
    roles: Sequence[AnnotatorRole],
    seed: int = 0,
    now: datetime,
    earlier: Splits | None = None,
) -> Dataset:
    """Freeze the standing picks made by ``roles`` before ``until``.

    Conversations that ``earlier`` places keep their place: pass what ``load_splits`` gives, and hand the
    dataset to ``save_splits`` for its places to last. The same log with the same ``earlier`` gives the same
    id. ``seed`` decides only where *new* conversations go.
    """
    rows = sorted(reader.choice_sets(until=until, roles=tuple(roles)), key=_order)
    kept, dropped = clean(rows)
    by_split, bridging = deal(kept, earlier or Splits(), seed=seed)
    if bridging:
        dropped["bridges_splits"] = bridging
    return assemble(by_split, until=until, dropped=dropped, now=now)


def assemble(
    by_split: Mapping[SplitName, Sequence[ChoiceSet]],
    *,
    until: datetime,
    dropped: dict[str, int],
    now: datetime,
) -> Dataset:
    """A dataset out of rows that are split already."""
    rows = [row for members in by_split.values() for row in members]
    version = DatasetVersion(
        id=dataset_id(by_split),
        until=until,
        counts={name: len(members) for name, members in by_split.items()},
        conversations={
            name: len({row.conversation_id for row in members}) for name, members in by_split.items()
        },
        annotators=len({(row.role, row.annotator) for row in rows}),
        dropped=dropped,
        simulated=any(row.role == "model" for row in rows),
        created_at=now,
    )
    return Dataset(
        version=version,
        train=tuple(by_split["train"]),
        validation=tuple(by_split["validation"]),
        test=tuple(by_split["test"]),
    )


def dataset_id(by_split: Mapping[SplitName, Sequence[ChoiceSet]]) -> str:
    """SHA-256 (hex) over the splits' names and their rows as canonical JSON lines, in order."""
    digest = hashlib.sha256()
    for name in SHARES:
        digest.update(f"{name}\n".encode())
        for row in by_split[name]:
            digest.update(encode(row))
    return digest.hexdigest()


def encode(row: ChoiceSet) -> bytes:
    """A row as its line of JSON: fields in a fixed order, UTF-8, no spaces."""
    return msgspec.json.encode(row, order="deterministic") + b"\n"


def _order(row: ChoiceSet) -> tuple[datetime, str, str]:
    return row.decided_at, row.slate_id, row.annotator
