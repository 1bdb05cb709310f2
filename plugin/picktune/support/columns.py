"""Decisions as columns: the same breakdowns of the support rate, from a copy in memory.

A million records would be slow to read and to walk through each time that somebody looks. What decides where
a decision counts and in which groups it is, is worked out once, by ``counting`` and ``groups``, and kept as
numbers: about 120 bytes a decision. A property test holds that the answers are those of ``support_rate``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from picktune.errors import InvalidInput
from picktune.records import AnnotatorRole, Decision
from picktune.support.answers import Share
from picktune.support.counting import Bin, bin_alone, check_cap
from picktune.support.groups import GROUPS, shares_of
from picktune.support.sequence import check_alpha

Places = npt.NDArray[np.int64]

_BINS = get_args(Bin)
_COUNTED = _BINS.index("counted")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_WEEK = 7 * 86_400_000_000
_MONDAY = 3 * 86_400_000_000  # 1970 began on a Thursday
_START = 1024
# The columns that a decision's groups depend on.
_DEPENDS = {
    "arms": "tuned",
    "tag": "tags",
    "scenario": "scenario",
    "locale": "locale",
    "annotator": "annotator",
    "role": "role",
    "position": "position",
}
_CODED = ("annotator", "tuned", "model", "tags", "scenario", "locale", "role", "position")
_KEPT = ("at", "bin", "won", "stands", *_CODED)


class Columns:
    """Standing decisions; not safe for several threads at once."""

    def __init__(self) -> None:
        self._count = 0
        self._slates: list[str] = []
        self._columns: dict[str, Places] = {name: np.zeros(_START, dtype=np.int64) for name in _KEPT}
        self._codes: dict[str, dict[Any, int]] = {name: {} for name in _CODED}
        self._values: dict[str, list[Any]] = {name: [] for name in _CODED}

    def __len__(self) -> int:
        return int(self._column("stands").sum())

    def add(self, decision: Decision) -> None:
        """Take in a decision that stands."""
        place = self._count
        if place == len(self._columns["at"]):
            self._columns = {
                name: np.concatenate((column, np.zeros_like(column)))
                for name, column in self._columns.items()
            }
        columns = self._columns
        columns["at"][place] = _micros(decision.decided_at)
        columns["bin"][place] = _BINS.index(bin_alone(decision))
        columns["won"][place] = decision.tuned in decision.picked
        columns["stands"][place] = 1
        for name in _CODED:
            columns[name][place] = self._code(name, getattr(decision, name))
        self._slates.append(decision.slate_id)
        self._count += 1

    def withdraw(self, slate_id: str, annotator: str) -> None:
        """Leave out what the annotator had decided on the slate."""
        code = self._codes["annotator"].get(annotator)
        if code is None:
            return
        found = np.flatnonzero((self._column("annotator") == code) & (self._column("stands") == 1))
        for place in found.tolist():
            if self._slates[place] == slate_id:
                self._columns["stands"][place] = 0

    def shares(
        self,
        by: str,
        *,
        model: str | None,
        since: datetime | None = None,
        until: datetime | None = None,
        roles: Sequence[AnnotatorRole] | None = None,
        alpha: float = 0.05,
        annotator_cap: int = 200,
    ) -> tuple[Share, ...]:
        """What ``support_rate`` gives as ``by_…`` of the decisions of that time and of those roles.

        Raises ``InvalidInput`` for an unknown breakdown.
        """
        check_alpha(alpha)
        check_cap(annotator_cap)
        if by not in GROUPS:
            raise InvalidInput(f"no breakdown by {by!r}; choose one of {', '.join(GROUPS)}", field="by")
        counted = self._counted(self._of(model, since, until, roles), annotator_cap)
        tallies = defaultdict[str, list[int]](lambda: [0, 0])
        for example, wins, n in self._classes(by, counted):
            for name in GROUPS[by](self._decision(example)):
                tallies[name][0] += wins
                tallies[name][1] += n
        return shares_of(tallies, alpha)

    def _of(
        self,
        model: str | None,
        since: datetime | None,
        until: datetime | None,
        roles: Sequence[AnnotatorRole] | None,
    ) -> Places:
        """Where the decisions of a comparison are, in the order in which they count."""
        column, of = ("tuned", "base-b") if model is None else ("model", model)
        mine = (self._column("stands") == 1) & (self._column(column) == self._codes[column].get(of, -1))
        at = self._column("at")
        if since is not None:
            mine &= at >= _micros(since)
        if until is not None:
            mine &= at < _micros(until)
        if roles is not None:
            known = [self._codes["role"][role] for role in set(roles) if role in self._codes["role"]]
            mine &= np.isin(self._column("role"), known)
        found = np.flatnonzero(mine)
        found = found[np.argsort(at[found], kind="stable")]
        times = at[found]
        if not (times[1:] == times[:-1]).any():
            return found
        return np.array(
            [place for _, same in groupby(found.tolist(), at.__getitem__) for place in self._sorted(same)],
            dtype=np.int64,
        )

    def _sorted(self, places: Any) -> list[int]:
        annotators, names = self._column("annotator"), self._values["annotator"]
        return sorted(places, key=lambda place: (self._slates[place], names[annotators[place]]))

    def _counted(self, mine: Places, annotator_cap: int) -> Places:
        """Those that count: each slate once, and each annotator up to the cap, as in ``counting.bins``."""
        alone = mine[self._column("bin")[mine] == _COUNTED]
        slates, annotators = set[str](), Counter[int]()
        kept = []
        for place, annotator in zip(alone.tolist(), self._column("annotator")[alone].tolist(), strict=True):
            slate = self._slates[place]
            if slate not in slates and annotators[annotator] < annotator_cap:
                slates.add(slate)
                annotators[annotator] += 1
                kept.append(place)
        return np.array(kept, dtype=np.int64)

    def _classes(self, by: str, counted: Places) -> list[tuple[int, int, int]]:
        """The counted decisions that are in the same groups: one of them, how many were won, and how many."""
        if by == "week":
            keys = (self._column("at")[counted] + _MONDAY) // _WEEK
        else:
            keys = self._column(_DEPENDS[by])[counted]
        _, first, codes = np.unique(keys, return_index=True, return_inverse=True)
        n = np.bincount(codes, minlength=len(first))
        wins = np.bincount(codes, weights=self._column("won")[counted], minlength=len(first))
        return [
            (int(counted[place]), int(won), int(count))
            for place, won, count in zip(first.tolist(), wins.tolist(), n.tolist(), strict=True)
        ]

    def _decision(self, place: int) -> Decision:
        """What the groups of a decision depend on, as a decision."""
        fields = {name: self._values[name][self._columns[name][place]] for name in _CODED}
        return Decision(
            slate_id=self._slates[place],
            conversation_id="",
            verdict="chosen",
            arms=(),
            complete=True,
            decided_at=_EPOCH + int(self._columns["at"][place]) * _MICROSECOND,
            **fields,
        )

    def _column(self, name: str) -> Places:
        return self._columns[name][: self._count]

    def _code(self, name: str, value: Any) -> int:
        code = self._codes[name].setdefault(value, len(self._values[name]))
        if code == len(self._values[name]):
            self._values[name].append(value)
        return code


def _micros(time: datetime) -> int:
    return (time - _EPOCH) // _MICROSECOND
