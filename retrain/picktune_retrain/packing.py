"""Several choice sets as one row, in which whatever begins alike is computed once.

The prompt and a reply are a path. The paths of a row form a tree: the replies of a set share their prompt,
and sets share how their prompts begin, as with the system message of a shop. Each stretch of the tree stands
in the row once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile

import torch
from torch import Tensor

from picktune_retrain.attention import Layout, Segment
from picktune_retrain.encoding import EncodedSet

# A shorter common beginning costs more as a stretch of its own than it saves.
SHARED = 16
ROW_TOKENS = 2048
# From so many tokens on a set makes good use of a row of its own.
ALONE = 384


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedRow:
    """The tree of some sets. Replies stand without their last tokens, which nothing is predicted from.

    ``ids`` and ``positions`` are [1, L]; a token's position is its place on its own path. ``sources`` says
    from which of the L places each of the T reply tokens ``targets`` is predicted; ``owners`` says whose
    they are, counting the replies of all sets through; ``replies`` says how many each set has.
    """

    ids: Tensor
    positions: Tensor
    sources: Tensor
    targets: Tensor
    owners: Tensor
    replies: tuple[int, ...]
    layout: Layout


def bundles(sets: Iterable[EncodedSet], limit: int, tokens: int = ROW_TOKENS) -> Iterator[list[EncodedSet]]:
    """The sets in order, in rows of at most ``limit`` sets and, unless one alone has more, of ``tokens``.

    Sets of ``ALONE`` tokens share a row only if that saves a quarter of them: what the base gives a row is
    kept from night to night, and a row of one set is found again whatever sets come to stand beside it.
    """
    row: list[EncodedSet] = []
    for one in sets:
        full = len(row) == limit or sum(other.tokens for other in row) + one.tokens > tokens
        if row and (full or not _together(row[-1], one)):
            yield row
            row = []
        row.append(one)
    if row:
        yield row


def _together(before: EncodedSet, one: EncodedSet) -> bool:
    if max(before.tokens, one.tokens) < ALONE:
        return True
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(before.prompt, one.prompt, strict=False))
    return 4 * sum(1 for _ in alike) >= one.tokens


def pack(
    sets: Sequence[EncodedSet], device: torch.device | str = "cpu", *, shared: int = SHARED
) -> PackedRow:
    """One row out of some sets; beginnings of fewer than ``shared`` tokens are not worth sharing."""
    tree = _Tree([(*one.prompt, *reply[:-1]) for one in sets for reply in one.replies], shared)
    tree.grow(range(len(tree.paths)), 0, ())
    sources: list[int] = []
    targets: list[int] = []
    owners: list[int] = []
    starts_and_replies = [(len(one.prompt), reply) for one in sets for reply in one.replies]
    for owner, (n, reply) in enumerate(starts_and_replies):
        sources += tree.places[owner][n - 1 :]
        targets += reply
        owners += [owner] * len(reply)
    as_tensor = partial(torch.tensor, device=device)
    return PackedRow(
        ids=as_tensor([tree.ids]),
        positions=as_tensor([tree.positions]),
        sources=as_tensor(sources),
        targets=as_tensor(targets),
        owners=as_tensor(owners),
        replies=tuple(len(one.replies) for one in sets),
        layout=Layout(tuple(tree.segments)),
    )


@dataclass(slots=True)
class _Tree:
    """Grows by depth, so that a stretch mostly stands right behind the one that it goes on from."""

    paths: list[tuple[int, ...]]
    shared: int
    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    places: list[list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self.places = [[] for _ in self.paths]

    def grow(self, members: Sequence[int], start: int, context: tuple[tuple[int, int], ...]) -> None:
        """Place what these paths, alike before ``start``, still have to say behind ``context``."""
        stop = self._alike(members, start)
        if len(members) == 1 or stop - start >= self.shared:
            context, start = self._place(members, start, stop, context), stop
        branches: dict[int | None, list[int]] = {}
        for member in members:
            path = self.paths[member]
            branches.setdefault(path[stop] if stop < len(path) else None, []).append(member)
        for token, branch in branches.items():
            if token is None:
                self._place(branch, start, stop, context)
            else:
                self.grow(branch, start, context)

    def _alike(self, members: Sequence[int], start: int) -> int:
        first = self.paths[members[0]]
        stop = min(len(self.paths[member]) for member in members)
        for member in members[1:]:
            path = self.paths[member]
            stop = next((i for i in range(start, stop) if path[i] != first[i]), stop)
        return stop

    def _place(
        self, members: Sequence[int], start: int, stop: int, context: tuple[tuple[int, int], ...]
    ) -> tuple[tuple[int, int], ...]:
        if start == stop:
            return context
        at = len(self.ids)
        self.ids += self.paths[members[0]][start:stop]
        self.positions += range(start, stop)
        for member in members:
            self.places[member] += range(at, len(self.ids))
        segment = Segment(at, len(self.ids), context)
        self.segments.append(segment)
        return segment.seen
