"""What only shows in many rows together: repeated and contradictory picks, bursts, always the same place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from picktune_retrain.records import DataRecipe

Integers = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]

MINUTE = 60_000_000
ONE_PLACE = 0.95
CHANCE = 1e-6
"""An annotator is left out for always picking one place only if chance would do that once in a million."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Rows as numbers, in their order: some dozens of bytes each, whatever was said in them.

    ``at`` is in microseconds; ``content`` and ``picked`` are hashes; ``person`` numbers the annotators and
    ``model`` says which rows are of simulated ones.
    """

    at: Integers
    content: Keys
    picked: Keys
    person: Integers
    model: npt.NDArray[np.bool_]
    place: Integers
    shown: Integers

    def __len__(self) -> int:
        return len(self.at)


Fault = tuple[int, str, str]
"""A row's index, the rule that it breaks, and what that is about."""


def faults(rows: Columns, recipe: DataRecipe) -> Iterator[Fault]:
    """Every row that breaks a rule together with others. A row may come twice, by two rules."""
    people = np.flatnonzero(~rows.model)
    yield from _contradicted(rows)
    yield from _repeated(rows)
    if recipe.min_agreement > 0:
        yield from _disputed(rows, recipe.min_agreement)
    if recipe.most_a_minute:
        yield from _bursts(rows, people, recipe.most_a_minute)
    if recipe.one_place:
        yield from _one_place(rows, people, recipe.one_place)


def groups(*keys: npt.NDArray[np.generic]) -> list[Integers]:
    """The indices of rows with the same keys, two or more together, each group in the rows' order."""
    if not len(keys[0]):
        return []
    order = np.lexsort((np.arange(len(keys[0])), *keys))
    same = np.ones(len(order) - 1, dtype=bool)
    for key in keys:
        same &= key[order][1:] == key[order][:-1]
    starts = np.r_[0, np.flatnonzero(~same) + 1]
    lengths = np.diff(np.r_[starts, len(order)])
    several = lengths > 1
    return [
        order[start : start + length].astype(np.int64)
        for start, length in zip(starts[several].tolist(), lengths[several].tolist(), strict=True)
    ]


def _contradicted(rows: Columns) -> Iterator[Fault]:
    for group in groups(rows.content, rows.person):
        if len(set(rows.picked[group].tolist())) > 1:
            yield from ((int(i), "contradicted", f"one of {len(group)} picks") for i in group)


def _repeated(rows: Columns) -> Iterator[Fault]:
    for group in groups(rows.content, rows.person, rows.picked):
        yield from ((int(i), "repeated", f"one of {len(group)}") for i in group[1:])


def _disputed(rows: Columns, least: float) -> Iterator[Fault]:
    for group in groups(rows.content):
        picked = rows.picked[group]
        if len(set(rows.person[group].tolist())) < 2:
            continue
        for i, mine in zip(group, picked, strict=True):
            share = float((picked == mine).mean())
            if share < least:
                yield int(i), "disputed", f"{share:.0%} of {len(group)} picked it"


def _bursts(rows: Columns, people: Integers, most: int) -> Iterator[Fault]:
    """Where more than ``most`` picks, at different moments, lie within a minute.

    Rows that share a moment to the microsecond were imported from where the time was not kept.
    """
    for group in groups(rows.person[people]):
        mine = people[group]
        at, first, copies = np.unique(rows.at[mine], return_index=True, return_counts=True)
        first, at = first[copies == 1], at[copies == 1]
        if len(at) <= most:
            continue
        within = np.searchsorted(at, at + MINUTE, side="left") - np.arange(len(at))
        hit = np.zeros(len(at) + 1, dtype=np.int64)
        starts = np.flatnonzero(within > most)
        np.add.at(hit, starts, 1)
        np.add.at(hit, starts + within[starts], -1)
        for i in mine[first[np.cumsum(hit)[:-1] > 0]]:
            yield int(i), "burst", f"more than {most} within a minute"


def _one_place(rows: Columns, people: Integers, least: int) -> Iterator[Fault]:
    for group in groups(rows.person[people]):
        mine = people[group]
        if len(mine) < least:
            continue
        place, counts = np.unique(rows.place[mine], return_counts=True)
        top, n = int(counts.max()), len(mine)
        if top / n < ONE_PLACE:
            continue
        from scipy.stats import binom

        # The chance of so many at any one place, if the places were drawn blindly (a union bound).
        shown = float(rows.shown[mine].mean())
        if shown * float(binom.sf(top - 1, n, 1 / float(rows.shown[mine].min()))) < CHANCE:
            where = int(place[counts.argmax()]) + 1
            yield from ((int(i), "one_place", f"{top} of {n} at place {where}") for i in mine)
