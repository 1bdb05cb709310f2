"""Following a chain from its first row to its end, and saying which rows are not what they were."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from picktune.log.chain import GENESIS

_REMEMBERED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A row as a link: what it follows, its own hash, and what of it was altered, if anything was."""

    id: int
    name: str
    previous: bytes | None
    hash: bytes | None
    altered: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where a chain ends: how many rows it has, and the hash of the last."""

    length: int
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """One thing that is wrong with a chain, and where."""

    kind: Literal["changed", "removed", "inserted"]
    id: int | None
    message: str


def breaks(noun: str, links: Iterable[Link], head: Head | None) -> Iterator[Break]:
    """What is wrong with a chain of ``noun``, given its rows by id, in bounded memory.

    A row that is still what was hashed can be believed in what it follows: that tells whether the rows
    before it were changed in place, slipped in, or taken away.
    """
    walk = _Walk(noun)
    for link in links:
        yield from walk.step(link)
    yield from walk.end(head)


class _Walk:
    """How far a chain has been followed: its last rows, those that were altered not yet reported."""

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self._rows: deque[Link] = deque([Link(id=0, name="", previous=None, hash=GENESIS)])
        self._doubtful = 0
        self._count = 0

    def step(self, link: Link) -> Iterator[Break]:
        self._count += 1
        if link.altered is not None:
            self._doubtful += 1
        elif self._doubtful or link.previous != self._rows[-1].hash:
            yield from self._judge(link.previous, link)
        self._rows.append(link)
        if len(self._rows) > _REMEMBERED:
            gone = self._rows.popleft()
            if gone.altered is not None:
                self._doubtful -= 1
                yield self._changed(gone)

    def end(self, head: Head | None) -> Iterator[Break]:
        if head is None:
            yield from self._settle()
            yield Break(kind="removed", id=None, message=f"the end of the chain of {self._noun}s was removed")
            return
        if self._doubtful or head.hash != self._rows[-1].hash:
            yield from self._judge(head.hash, None, intact=head.length == self._count)
        missing = head.length - self._count
        if missing > 0:
            after = self._rows[-1].id
            which = f"the last {missing} {self._noun}s" if missing > 1 else f"the last {self._noun}"
            message = f"{which} after {after} {'are' if missing > 1 else 'is'} missing: "
            message += f"the log counted {head.length}"
            yield Break(kind="removed", id=after + 1, message=message)
        elif missing < 0:
            message = f"the log counted {head.length} {self._noun}s, and holds {self._count}"
            yield Break(kind="inserted", id=None, message=message)

    def _judge(self, follows: bytes | None, link: Link | None, *, intact: bool = True) -> Iterator[Break]:
        """What became of the rows before one that can be believed, or before the chain's end (``None``)."""
        place = self._place(follows)
        if place is None:
            doubtful = bool(self._doubtful)
            yield from self._settle()
            last = self._rows[-1]
            if link is not None and (missing := range(last.id + 1, link.id)):
                self._count += len(missing)
                several = f"s {missing[0]} to {missing[-1]} are" if len(missing) > 1 else f" {missing[0]} is"
                message = f"{self._noun}{several} missing: {link.name} follows another one"
                yield Break(kind="removed", id=missing[0], message=message)
            elif not doubtful and intact:
                anew = link if last.hash == GENESIS and link is not None else last
                name = anew.name or f"the end of the chain of {self._noun}s"
                message = f"{name} was written anew: it does not fit what stands beside it"
                yield Break(kind="changed", id=anew.id or None, message=message)
            return
        slipped_in = [self._rows.pop() for _ in range(len(self._rows) - 1 - place)][::-1]
        self._doubtful -= sum(one.altered is not None for one in slipped_in)
        self._count -= len(slipped_in)
        yield from self._settle()
        for one in slipped_in:
            message = f"{one.name} was slipped in: no row of the log follows it"
            yield Break(kind="inserted", id=one.id, message=message)

    def _place(self, follows: bytes | None) -> int | None:
        """Where the row of that hash stands; a row that was altered may only bear another's."""
        places = [place for place, one in enumerate(self._rows) if one.hash == follows]
        sure = [place for place in places if self._rows[place].altered is None]
        found = sure or places
        return found[-1] if found else None

    def _settle(self) -> Iterator[Break]:
        """The altered rows that are in their place were changed."""
        for place, one in enumerate(self._rows):
            if one.altered is not None:
                yield self._changed(one)
                self._rows[place] = replace(one, altered=None)
        self._doubtful = 0

    def _changed(self, link: Link) -> Break:
        message = f"{link.name} is not what it was: {link.altered}"
        return Break(kind="changed", id=link.id, message=message)
