"""What one dataset version has that another has not."""

from __future__ import annotations

import hashlib
from pathlib import Path

from picktune.records import ChoiceSet, Record

from picktune_retrain.dataset.rows import Rows
from picktune_retrain.dataset.split import SPLITS
from picktune_retrain.records import DatasetVersion, SplitName

SHOWN = 20


class Moved(Record, frozen=True, kw_only=True):
    """A row that stands on another side. It never happens within a home whose splits were kept."""

    slate_id: str
    before: SplitName
    after: SplitName


class Difference(Record, frozen=True, kw_only=True):
    """Two versions: rows by split that only one of them has, and rows that are in both but differ.

    ``added`` and ``removed`` count; ``added_slates`` and ``removed_slates`` name the first of them.
    ``dropped`` has the rules by which they leave out different numbers: before and after.
    """

    before: str
    after: str
    added: dict[SplitName, int]
    removed: dict[SplitName, int]
    added_slates: tuple[str, ...]
    removed_slates: tuple[str, ...]
    moved: tuple[Moved, ...]
    changed: int
    unchanged: int
    dropped: dict[str, tuple[int, int]]
    asked: dict[str, tuple[str, str]]


def diff(before: DatasetVersion, after: DatasetVersion, folder: Path) -> Difference:
    """From one stored version to another; about 200 bytes a row are held in memory."""
    first, second = _index(folder / before.id), _index(folder / after.id)
    added = [key for key in second if key not in first]
    removed = [key for key in first if key not in second]
    both = [key for key in first if key in second]
    asked = {
        name: (str(getattr(before.recipe, name)), str(getattr(after.recipe, name)))
        for name in before.recipe.__struct_fields__
        if getattr(before.recipe, name) != getattr(after.recipe, name)
    }
    if before.roles != after.roles:
        asked["roles"] = ", ".join(before.roles), ", ".join(after.roles)
    return Difference(
        before=before.id,
        after=after.id,
        added={split: sum(second[key][0] == split for key in added) for split in SPLITS},
        removed={split: sum(first[key][0] == split for key in removed) for split in SPLITS},
        added_slates=tuple(slate for slate, _ in added[:SHOWN]),
        removed_slates=tuple(slate for slate, _ in removed[:SHOWN]),
        moved=tuple(
            Moved(slate_id=key[0], before=first[key][0], after=second[key][0])
            for key in both
            if first[key][0] != second[key][0]
        ),
        changed=sum(first[key][1] != second[key][1] for key in both),
        unchanged=sum(first[key] == second[key] for key in both),
        dropped={
            rule: (before.dropped.get(rule, 0), after.dropped.get(rule, 0))
            for rule in sorted({*before.dropped, *after.dropped})
            if before.dropped.get(rule, 0) != after.dropped.get(rule, 0)
        },
        asked=asked,
    )


def _index(home: Path) -> dict[tuple[str, bytes], tuple[SplitName, bytes]]:
    found: dict[tuple[str, bytes], tuple[SplitName, bytes]] = {}
    for split in SPLITS:
        rows = Rows.open(home / f"{split}.jsonl", ChoiceSet)
        for row, line in zip(rows, rows.lines(), strict=True):
            who = hashlib.sha256(f"{row.role}:{row.annotator}".encode()).digest()[:8]
            found[row.slate_id, who] = split, hashlib.sha256(line).digest()[:8]
    return found
