"""A dataset version: what the log holds at a moment, cleaned, split and named by its content."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs
from picktune.log.base import LogReader
from picktune.records import AnnotatorRole, ChoiceSet

from picktune_retrain.dataset.clean import clean
from picktune_retrain.dataset.extras import encode_extra, read_extras, read_scenarios, scenario_rows
from picktune_retrain.dataset.rows import Rows, Spool
from picktune_retrain.dataset.split import SHARES, Splits, deal, remember
from picktune_retrain.records import Dataset, DatasetVersion, Extra, ExtraKind, Scenario, SplitName


def build_dataset(
    reader: LogReader,
    *,
    until: datetime,
    roles: Sequence[AnnotatorRole],
    seed: int = 0,
    now: datetime,
    earlier: Splits | None = None,
    extras: Collection[ExtraKind] = (),
    spool: Path | None = None,
) -> Dataset:
    """Freeze the standing picks made by ``roles`` before ``until``, and ``extras`` of these kinds.

    Conversations that ``earlier`` places keep their place: pass what ``load_splits`` gives, and hand the
    dataset to ``save_splits`` for its places to last. The same log with the same ``earlier`` gives the same
    id. ``seed`` decides only where *new* conversations go. Extras follow the choice sets of their
    conversation, and change neither their places nor, where there are none, the id.

    The rows are put down in a file without a name, in the folder ``spool`` (the system's for temporary files
    unless given), and read from there, so that they need not fit into the memory.
    """
    rows = _put_down(reader.choice_sets(until=until, roles=tuple(roles)), spool)
    kept, dropped = clean(rows)
    by_split, bridging = deal(kept, earlier or Splits(), seed=seed)
    if bridging:
        dropped["bridges_splits"] = bridging
    found: dict[SplitName, list[Extra]] = {}
    if extras:
        others, faults = read_extras(reader, extras, until=until, roles=roles)
        dealt, bridging = deal(others, remember(earlier or Splits(), by_split), seed=seed)
        if bridging:
            faults["bridges_splits"] = faults.get("bridges_splits", 0) + bridging
        for reason, count in sorted(faults.items()):
            dropped[reason] = dropped.get(reason, 0) + count
        scenarios = read_scenarios(reader, until=until, roles=roles) if "scenario" in extras else {}
        found = {
            name: [*dealt[name], *scenario_rows([*by_split[name], *dealt[name]], scenarios)]
            for name in SHARES
        }
    return assemble(by_split, until=until, dropped=dropped, now=now, extras=found)


def assemble(
    by_split: Mapping[SplitName, Sequence[ChoiceSet]],
    *,
    until: datetime,
    dropped: dict[str, int],
    now: datetime,
    extras: Mapping[SplitName, Sequence[Extra]] | None = None,
) -> Dataset:
    """A dataset out of rows that are split already."""
    frozen = {name: tuple(members) for name, members in (extras or {}).items() if members}
    others = [row for members in frozen.values() for row in members if not isinstance(row, Scenario)]
    kinds: Counter[ExtraKind] = Counter(kind_of(row) for row in frozen.get("train", ()))
    conversations: dict[str, int] = {}
    people: set[tuple[AnnotatorRole, str]] = {(row.role, row.annotator) for row in others}
    for name, members in by_split.items():
        seen: set[str] = set()
        for row in members:
            seen.add(row.conversation_id)
            people.add((row.role, row.annotator))
        conversations[name] = len(seen)
    version = DatasetVersion(
        id=dataset_id(by_split, frozen),
        until=until,
        counts={name: len(members) for name, members in by_split.items()},
        conversations=conversations,
        annotators=len(people),
        dropped=dropped,
        simulated=any(role == "model" for role, _ in people),
        created_at=now,
        extras=dict(sorted(kinds.items())),
    )
    return Dataset(
        version=version,
        train=by_split["train"],
        validation=by_split["validation"],
        test=by_split["test"],
        extras=frozen,
    )


def dataset_id(
    by_split: Mapping[SplitName, Sequence[ChoiceSet]],
    extras: Mapping[SplitName, Sequence[Extra]] | None = None,
) -> str:
    """SHA-256 (hex) over the splits' names and their rows as canonical JSON lines, in order.

    Extras follow after all of them; a dataset without any has the id that it had before there were any.
    """
    digest = hashlib.sha256()
    for name in SHARES:
        digest.update(f"{name}\n".encode())
        for line in encoded(by_split[name]):
            digest.update(line)
    for name in SHARES:
        for place, extra in enumerate((extras or {}).get(name, ())):
            digest.update(b"" if place else f"{name}.extras\n".encode())
            digest.update(encode_extra(extra))
    return digest.hexdigest()


def kind_of(row: Extra) -> ExtraKind:
    """The kind of an extra row, as its line of JSON says it."""
    kind: Any = row.__struct_config__.tag
    found: ExtraKind = kind
    return found


def encode(row: ChoiceSet) -> bytes:
    """A row as its line of JSON: fields in a fixed order, UTF-8, no spaces."""
    return msgspec.json.encode(row, order="deterministic") + b"\n"


def encoded(rows: Sequence[ChoiceSet]) -> Iterator[bytes]:
    """The lines of rows; those that lie in a file are taken from there."""
    return rows.lines() if isinstance(rows, Rows) else map(encode, rows)


def _put_down(rows: Iterable[ChoiceSet], folder: Path | None) -> Rows[ChoiceSet]:
    """The rows in their order, in a file."""
    spool = Spool(ChoiceSet, folder)
    order = []
    for row in rows:
        # JSON has no word for what is no number; either is no weight.
        spool.add(row if math.isfinite(row.weight) else structs.replace(row, weight=0.0))
        order.append(_order(row))
    return spool.rows().pick_out(sorted(range(len(order)), key=order.__getitem__))


def _order(row: ChoiceSet) -> tuple[datetime, str, str]:
    return row.decided_at, row.slate_id, row.annotator
