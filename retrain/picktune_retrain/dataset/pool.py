"""The rows of a log on their way into a dataset: the words on disk, some dozens of bytes a row in memory."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
from picktune.log.rows import micros, moment
from picktune.records import ChoiceSet

from picktune_retrain.dataset.clean import content_key, fault, picked_key
from picktune_retrain.dataset.habits import Columns, faults
from picktune_retrain.dataset.holdout import Frozen
from picktune_retrain.dataset.rows import Rows, Spool
from picktune_retrain.dataset.select import Key, unselected
from picktune_retrain.dataset.split import Openings, Splits
from picktune_retrain.records import DataRecipe, Dropped

Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]


class Pool:
    """Takes up rows, in any order, and knows of each what rules, split and selection ask.

    Rows of the ``frozen`` hold-out come in whatever is asked for, and no rule about many rows takes them out.
    """

    def __init__(
        self,
        recipe: DataRecipe,
        *,
        until: datetime,
        earlier: Splits,
        frozen: Frozen | None = None,
        poor: dict[Key, tuple[str, str]] | None = None,
        spool: Path | None = None,
    ) -> None:
        self.dropped: list[Dropped] = []
        self.unselected = 0
        self.openings = Openings(earlier)
        self._recipe, self._frozen, self._poor = recipe, frozen, poor or {}
        self._begins = recipe.begins(until)
        self._spool = Spool(ChoiceSet, spool)
        self._rows: Rows[ChoiceSet] | None = None
        self._slates: list[str] = []
        self._people: dict[tuple[str, str], int] = {}
        self._numbers = {name: array("q") for name in ("at", "person", "place", "shown", "old", "held")}
        self._keys = {name: array("Q") for name in ("content", "picked")}

    def __len__(self) -> int:
        return len(self._slates)

    def take(self, rows: Iterable[ChoiceSet], progress: Callable[[int], None] | None = None) -> None:
        """Take up the rows that are asked for and can be learned from; the others are counted."""
        for count, row in enumerate(rows, 1):
            self._add(row)
            if progress is not None and count % 500 == 0:
                progress(count)

    def drop(self, where: Bools, rule: str) -> None:
        """Leave out the rows at these places, by a rule."""
        self.dropped += [self._dropped(int(i), rule, "") for i in np.flatnonzero(where)]

    def clean(self, order: Integers) -> Bools:
        """Which rows are left when the rules about many rows together, in this ``order``, have been asked."""
        kept = np.ones(len(self), dtype=bool)
        held = self.column("held") > 0
        for i, rule, detail in faults(self.columns(order), self._recipe):
            row = int(order[i])
            if kept[row] and not held[row]:
                kept[row] = False
                self.dropped.append(self._dropped(row, rule, detail))
        return kept

    def order(self) -> Integers:
        """The rows by time, slate and annotator: the order of a dataset."""
        at, names = self.column("at"), {number: name for (_, name), number in self._people.items()}
        order = np.argsort(at, kind="stable")
        same = np.flatnonzero(np.diff(at[order]) == 0)
        if len(same):
            person = self.column("person")
            keys = [(int(at[i]), self._slates[i], names[int(person[i])]) for i in range(len(self))]
            order = np.array(sorted(range(len(self)), key=keys.__getitem__), dtype=np.int64)
        return order.astype(np.int64)

    def column(self, name: str) -> Integers:
        """A column of all rows, in the order of their coming."""
        return np.frombuffer(self._numbers[name], dtype=np.int64) if len(self) else np.zeros(0, np.int64)

    def columns(self, which: Integers) -> Columns:
        """The figures of these rows."""
        models = np.array([role == "model" for role, _ in self._people] or [False])
        person = self.column("person")[which]
        keys = {name: np.frombuffer(key, dtype=np.uint64)[which] for name, key in self._keys.items()}
        return Columns(
            at=self.column("at")[which],
            person=person,
            model=models[person],
            place=self.column("place")[which],
            shown=self.column("shown")[which],
            **keys,
        )

    def people(self, which: Integers) -> set[tuple[str, str]]:
        """Role and name of whoever decided these rows."""
        numbers = set(np.unique(self.column("person")[which]).tolist())
        return {who for who, number in self._people.items() if number in numbers}

    def conversations(self, which: Integers) -> int:
        """How many conversations these rows are of, which are those that ``openings`` has at these places."""
        return len(np.unique(np.frombuffer(self.openings.conversations, dtype=np.uint64)[which]))

    def rows(self, which: Integers) -> Rows[ChoiceSet]:
        """These rows themselves; none can be taken up after that."""
        if self._rows is None:
            self._rows = self._spool.rows()
        return self._rows.pick_out(which.tolist())

    def slate(self, row: int) -> str:
        """Of which slate a row is."""
        return self._slates[row]

    def _add(self, row: ChoiceSet) -> None:
        held = self._frozen is not None and self._frozen.holds(row)
        old = self._begins is not None and row.decided_at < self._begins
        asked = (not old or self._recipe.replay > 0) and unselected(row, self._recipe) is None
        if not asked and not held:
            self.unselected += 1
            return
        found = fault(row, self._recipe)
        if found is None and not held:
            found = self._poor.get((row.slate_id, row.annotator))
        if found is not None:
            rule, detail = found
            self.dropped.append(
                Dropped(slate_id=row.slate_id, decided_at=row.decided_at, rule=rule, detail=detail)
            )
            return
        self._spool.add(row)
        figures = {
            "at": micros(row.decided_at),
            "person": self._people.setdefault((row.role, row.annotator), len(self._people)),
            "place": row.chosen,
            "shown": len(row.replies),
            "old": old,
            "held": held,
        }
        for name, figure in figures.items():
            self._numbers[name].append(figure)
        self._keys["content"].append(content_key(row))
        self._keys["picked"].append(picked_key(row))
        self._slates.append(row.slate_id)
        self.openings.add(row)

    def _dropped(self, row: int, rule: str, detail: str) -> Dropped:
        at = moment(self._numbers["at"][row])
        return Dropped(slate_id=self._slates[row], decided_at=at, rule=rule, detail=detail)
