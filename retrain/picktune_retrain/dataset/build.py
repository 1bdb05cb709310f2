"""A dataset version: what the log holds at a moment, selected, cleaned, split and named by its content."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from picktune.log.base import LogReader
from picktune.records import AnnotatorRole, ChoiceSet

from picktune_retrain.dataset.extras import Row, encode_extra, read_extras, read_scenarios, scenario_rows
from picktune_retrain.dataset.holdout import Frozen, HoldOut
from picktune_retrain.dataset.pool import Pool
from picktune_retrain.dataset.quality import measure
from picktune_retrain.dataset.rows import Rows
from picktune_retrain.dataset.select import extra_selection, poor_rows
from picktune_retrain.dataset.split import (
    LEFT_OUT,
    SHARES,
    SPLITS,
    Splits,
    deal,
    deal_nodes,
    remember_nodes,
)
from picktune_retrain.records import (
    DataRecipe,
    Dataset,
    DatasetVersion,
    Dropped,
    Extra,
    ExtraKind,
    Labelled,
    SplitName,
)

PLAIN = DataRecipe()
# What a second import leaves, or what is on both sides already, says nothing of how good picks are.
BLAMELESS = ("repeated", "bridges_splits")


def build_dataset(
    reader: LogReader,
    *,
    until: datetime,
    roles: Sequence[AnnotatorRole],
    seed: int = 0,
    now: datetime,
    earlier: Splits | None = None,
    extras: Collection[ExtraKind] = (),
    recipe: DataRecipe = PLAIN,
    hold_out: HoldOut | None = None,
    spool: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Dataset:
    """Freeze the standing picks made by ``roles`` before ``until``, and ``extras`` of these kinds.

    Conversations that ``earlier`` places keep their place: pass what ``load_splits`` gives, and hand the
    dataset to ``save_splits`` for its places to last. The same log with the same ``earlier`` gives the same
    id. ``seed`` decides only where *new* conversations go. Extras follow the choice sets of their
    conversation, and change neither their places nor, where there are none, the id. What ``hold_out`` froze
    is in the test split whatever the recipe selects; raises ``HoldOutChanged`` if the log says otherwise now.

    The rows are streamed: they go to a nameless file in ``spool`` (or where the system keeps such files), and
    what stays in memory is about 700 bytes a row. ``progress`` hears now and then how many have been read.
    """
    earlier = earlier or Splits()
    pool = Pool(
        recipe,
        until=until,
        earlier=earlier,
        frozen=Frozen(hold_out) if hold_out else None,
        poor=poor_rows(reader, recipe, until=until, roles=roles),
        spool=spool,
    )
    pool.take(reader.choice_sets(until=until, roles=tuple(roles)), progress)
    order = pool.order()
    kept = pool.clean(order)
    # Rows that a rule left out are not placed either, as if they were not there.
    kept_rows = order[kept[order]]
    pool.openings.keep(kept_rows)
    dealt = deal_nodes(pool.openings, earlier, seed=seed)
    places = remember_nodes(earlier, pool.openings, dealt)
    sides = np.full(len(pool), LEFT_OUT, dtype=np.int8)
    sides[kept_rows] = dealt
    pool.drop(kept & (sides == LEFT_OUT), "bridges_splits")
    old, held = pool.column("old") > 0, pool.column("held") > 0
    replayed = _replayed(pool, (sides == SPLITS.index("train")) & old, sides, recipe, seed)
    chosen = (sides != LEFT_OUT) & (~old | replayed | held)
    which = {name: order[chosen[order] & (sides[order] == n)] for n, name in enumerate(SPLITS)}
    by_split: dict[SplitName, Rows[ChoiceSet]] = {name: pool.rows(some) for name, some in which.items()}

    found: dict[SplitName, tuple[Extra, ...]] = {}
    dropped = sorted(pool.dropped, key=lambda one: (one.decided_at, one.slate_id, one.rule))
    people = set().union(*(pool.people(some) for some in which.values()))
    if extras:
        others, faults = read_extras(reader, extras, extra_selection(recipe, until, roles))
        placed, bridging = deal(others, places, seed=seed)
        dropped += faults + [_bridging(row) for row in bridging]
        known = read_scenarios(reader, until=until, roles=roles) if "scenario" in extras else {}
        for name in SHARES:
            if some := (*placed[name], *scenario_rows(chain(by_split[name], placed[name]), known)):
                found[name] = some
        people |= {(row.role, row.annotator) for some in placed.values() for row in some}
    labels = [row.desirable for row in found.get("train", ()) if isinstance(row, Labelled)]
    everything = np.concatenate(list(which.values()))
    at = np.zeros(len(pool), dtype=np.int64)
    at[kept_rows] = np.arange(len(kept_rows))
    blamed = sum(one.rule not in BLAMELESS for one in pool.dropped)
    kinds: Counter[ExtraKind] = Counter(_kind_of(row) for row in found.get("train", ()))
    return Dataset(
        version=DatasetVersion(
            id=dataset_id({name: rows.lines() for name, rows in by_split.items()}, found),
            until=until,
            counts={name: len(rows) for name, rows in by_split.items()},
            conversations={name: pool.conversations(at[some]) for name, some in which.items()},
            annotators=len(people),
            dropped=dict(sorted(Counter(one.rule for one in dropped).items())),
            simulated=any(role == "model" for role, _ in people),
            created_at=now,
            extras=dict(sorted(kinds.items())),
            roles=tuple(roles),
            recipe=recipe,
            quality=measure(
                pool.columns(np.sort(everything)),
                dropped=blamed,
                liked=sum(labels),
                disliked=len(labels) - sum(labels),
            ),
            unselected=pool.unselected + int(((sides != LEFT_OUT) & ~chosen).sum()),
            replayed=int((chosen & old & ~held).sum()),
            hold_out=hold_out.name if hold_out else None,
            frozen=int((chosen & held).sum()),
        ),
        **by_split,
        extras=found,
        dropped=tuple(dropped),
    )


def dataset_id(
    by_split: Mapping[SplitName, Iterable[bytes]],
    extras: Mapping[SplitName, Sequence[Extra]] | None = None,
) -> str:
    """SHA-256 (hex) over the splits' names and their rows as canonical JSON lines, in order.

    Extras follow after all of them; a dataset without any has the id that it had before there were any.
    """
    digest = hashlib.sha256()
    for name in SHARES:
        digest.update(f"{name}\n".encode())
        for line in by_split[name]:
            digest.update(line)
    for name in SHARES:
        for place, extra in enumerate((extras or {}).get(name, ())):
            digest.update(b"" if place else f"{name}.extras\n".encode())
            digest.update(encode_extra(extra))
    return digest.hexdigest()


def encode(row: ChoiceSet) -> bytes:
    """A row as its line of JSON: fields in a fixed order, UTF-8, no spaces."""
    return msgspec.json.encode(row, order="deterministic") + b"\n"


def encoded(rows: Sequence[ChoiceSet]) -> Iterable[bytes]:
    """The lines of rows; those that lie in a file are taken from there."""
    return rows.lines() if isinstance(rows, Rows) else map(encode, rows)


def _replayed(
    pool: Pool, older: npt.NDArray[np.bool_], sides: npt.NDArray[np.int8], recipe: DataRecipe, seed: int
) -> npt.NDArray[np.bool_]:
    """Which of the older picks are trained on once more: as many as make up the recipe's share, by hash."""
    chosen = np.zeros(len(pool), dtype=bool)
    candidates = np.flatnonzero(older)
    new = int(((sides == SPLITS.index("train")) & (pool.column("old") == 0)).sum())
    count = min(len(candidates), round(recipe.replay / (1 - recipe.replay) * new))
    by_hash = sorted(
        candidates.tolist(), key=lambda i: hashlib.sha256(f"replay:{seed}:{pool.slate(i)}".encode()).digest()
    )
    chosen[by_hash[:count]] = True
    return chosen


def _bridging(row: Row) -> Dropped:
    return Dropped(slate_id=row.slate_id, decided_at=row.decided_at, rule="bridges_splits")


def _kind_of(row: Extra) -> ExtraKind:
    kind: Any = row.__struct_config__.tag
    found: ExtraKind = kind
    return found


__all__ = ["build_dataset", "dataset_id", "encode", "encoded"]
