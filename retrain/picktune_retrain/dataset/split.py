"""The split into train, validation and test: by conversation, without leaks, and the same every night.

A conversation is held together with every conversation that opens with the same words, or with nearly the
same (see ``near``), for imports, forms and bulk mails repeat themselves. Such a cluster is placed once, and
its place is remembered in ``Splits``; new clusters are dealt out in the order of a salted hash, each to the
split that is furthest below its share. So the shares hold from the first few dozen picks on, where a bare
hash would often leave the test empty, and what was held out once is never trained on later. A cluster may
grow and merge: a row keeps the place that it has, and one that has none and would join two sides is left
out.
"""

from __future__ import annotations

import hashlib
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from picktune.records import Message, Record

from picktune_retrain.dataset import near
from picktune_retrain.records import SplitName

SHARES: dict[SplitName, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}
SPLITS: tuple[SplitName, ...] = tuple(SHARES)
LEFT_OUT = -1

Nodes = npt.NDArray[np.uint64]


class Placed(Protocol):
    """What is placed: anything that was said in a conversation."""

    @property
    def conversation_id(self) -> str:
        """Whatever has the same one stays together."""
        ...

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages before the reply; the first that a person says is the opening."""
        ...


Row = TypeVar("Row", bound=Placed)


class Splits(Record, frozen=True, kw_only=True):
    """Where conversations and opening messages were placed, by hash: it holds nobody's words.

    Each split has 8 bytes a conversation or opening, sorted. ``near`` has the signatures of the openings that
    are long enough for one: 8 bytes of hash and 128 of signature each, sorted too.
    """

    format: Literal[2] = 2
    train: bytes = b""
    validation: bytes = b""
    test: bytes = b""
    near: bytes = b""

    def nodes(self, split: SplitName) -> Nodes:
        """The hashes that were placed there, ascending."""
        held: bytes = getattr(self, split)
        return np.frombuffer(held, dtype=">u8").astype(np.uint64)


class OldSplits(Record, frozen=True, kw_only=True):
    """The same as it was written before there were signatures, with the hashes in hexadecimal digits."""

    format: Literal[1] = 1
    places: dict[str, SplitName]

    def renewed(self) -> Splits:
        """In the present form."""
        by_split: dict[SplitName, list[int]] = {split: [] for split in SPLITS}
        for node, split in self.places.items():
            by_split[split].append(int(node[:16], 16))
        return _splits({split: np.array(nodes, np.uint64) for split, nodes in by_split.items()})


_SIGNED = np.dtype([("node", ">u8"), ("signature", "<u2", near.MINIMA)])


class Openings:
    """What the split has to know of rows: 16 bytes a row, and a signature for each long opening."""

    def __init__(self, earlier: Splits | None = None) -> None:
        self.conversations = array("Q")
        self.openings = array("Q")
        self.signed = np.frombuffer((earlier or Splits()).near, dtype=_SIGNED)
        self._signatures: dict[int, bytes] = {}
        self._looked_at = set(self.signed["node"].tolist())

    def __len__(self) -> int:
        return len(self.conversations)

    def add(self, row: Placed) -> None:
        """Take up a row."""
        words = _opening(row)
        opening = _hash(f"opening:{words}")
        self.conversations.append(_hash(f"conversation:{row.conversation_id}"))
        self.openings.append(opening)
        if opening not in self._looked_at:
            self._looked_at.add(opening)
            if (found := near.signature(words)) is not None:
                self._signatures[opening] = found.tobytes()

    def keep(self, which: npt.NDArray[np.int64]) -> None:
        """Forget all rows but these, which come in this order now, and the others' signatures."""
        self.conversations, self.openings = (
            array("Q", np.frombuffer(one, dtype=np.uint64)[which].tobytes())
            for one in (self.conversations, self.openings)
        )
        left = set(self.openings)
        self._signatures = {node: one for node, one in self._signatures.items() if node in left}

    def all_signed(self) -> npt.NDArray[np.void]:
        """Hash and signature of every long opening, those of earlier nights too, by hash."""
        new = np.zeros(len(self._signatures), dtype=_SIGNED)
        new["node"] = list(self._signatures)
        new["signature"] = np.frombuffer(b"".join(self._signatures.values()), dtype="<u2").reshape(
            -1, near.MINIMA
        )
        both = np.concatenate([self.signed, new])
        found: npt.NDArray[np.void] = both[np.argsort(both["node"], kind="stable")]
        return found


class _Graph:
    """Rows, the nodes that they touch, where those were placed, and what is near to what.

    ``near_of`` gives a node the number of its cluster of near-duplicates, which comes after all nodes.
    """

    def __init__(self, found: Openings, earlier: Splits) -> None:
        signed = found.all_signed()
        conversations, openings = (
            np.frombuffer(one, dtype=np.uint64) for one in (found.conversations, found.openings)
        )
        signers = signed["node"].astype(np.uint64)
        self.nodes = np.unique(np.concatenate([conversations, openings, signers]))
        self.conversation = np.searchsorted(self.nodes, conversations)
        self.opening = np.searchsorted(self.nodes, openings)
        self.place = np.full(len(self.nodes), LEFT_OUT, dtype=np.int8)
        for number, split in enumerate(SPLITS):
            known = earlier.nodes(split)
            self.place[np.isin(self.nodes, known)] = number
        self.near_of = np.full(len(self.nodes), -1, dtype=np.int64)
        if len(signed):
            cluster = near.clusters(np.ascontiguousarray(signed["signature"]).astype(np.uint16))
            sizes = np.bincount(cluster, minlength=len(cluster))
            several = sizes[cluster] > 1
            self.near_of[np.searchsorted(self.nodes, signers)[several]] = cluster[several]

    def components(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """For each of these rows the node that names what hangs together with it: the least of them all."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        count = len(self.nodes)
        openings = np.unique(self.opening[rows])
        openings = openings[self.near_of[openings] >= 0]
        ones = np.concatenate([self.conversation[rows], openings])
        others = np.concatenate([self.opening[rows], count + self.near_of[openings]])
        size = count + (int(others.max()) + 1 if len(others) else 0)
        edges = coo_array((np.ones(len(ones), dtype=np.int8), (ones, others)), shape=(size, size))
        _, label = connected_components(edges, directed=False)
        least = np.full(size, size, dtype=np.int64)
        touched = np.concatenate([self.conversation[rows], self.opening[rows]])
        np.minimum.at(least, label[touched], touched)
        names: npt.NDArray[np.int64] = least[label[self.conversation[rows]]]
        return names


def deal_nodes(found: Openings, earlier: Splits, *, seed: int) -> npt.NDArray[np.int8]:
    """For each row the number of its split in ``SPLITS``, or ``LEFT_OUT``.

    A row is left out only if its conversation and its opening message were placed on different sides on
    earlier nights, or if it has no place and what it nearly repeats stands on two sides, so that it would
    leak whichever side it joined.
    """
    graph = _Graph(found, earlier)
    sides = np.full(len(found), LEFT_OUT, dtype=np.int8)
    waiting = _spread(graph, sides)
    names = graph.components(waiting)
    filled = Counter({split: int((sides == number).sum()) for number, split in enumerate(SPLITS)})
    clusters, members = np.unique(names, return_counts=True)
    dealt: dict[int, int] = {}
    sizes = dict(zip(clusters.tolist(), members.tolist(), strict=True))
    # One that is too big for a held-out split comes first: the others then make up for it.
    big = SHARES["test"] * len(waiting)
    for cluster in sorted(
        sizes, key=lambda name: (sizes[name] <= big, _hash(f"{seed}:{int(graph.nodes[name]):016x}"))
    ):
        # Sainte-Laguë's rule, with whole clusters in place of single seats: a big one goes where it fits.
        split = min(SPLITS, key=lambda name: (filled[name] + sizes[cluster] / 2) / SHARES[name])
        filled[split] += sizes[cluster]
        dealt[cluster] = SPLITS.index(split)
    sides[waiting] = [dealt[name] for name in names.tolist()]
    return sides


def deal(rows: Sequence[Row], earlier: Splits, *, seed: int) -> tuple[dict[SplitName, list[Row]], list[Row]]:
    """Place every row; returns the rows by split, and those that were left out."""
    found = Openings(earlier)
    for row in rows:
        found.add(row)
    by_split: dict[SplitName, list[Row]] = {name: [] for name in SHARES}
    left_out: list[Row] = []
    for row, side in zip(rows, deal_nodes(found, earlier, seed=seed).tolist(), strict=True):
        (left_out if side == LEFT_OUT else by_split[SPLITS[side]]).append(row)
    return by_split, left_out


def remember(splits: Splits, rows: Mapping[SplitName, Iterable[Placed]]) -> Splits:
    """The splits with the places of these rows added; a place that is known already stands."""
    found, sides = Openings(splits), array("b")
    for split, members in rows.items():
        for row in members:
            found.add(row)
            sides.append(SPLITS.index(split))
    return remember_nodes(splits, found, np.frombuffer(sides, dtype=np.int8))


def remember_nodes(splits: Splits, found: Openings, sides: npt.NDArray[np.int8]) -> Splits:
    """The same, of rows whose nodes and sides are known; those that were left out are not remembered."""
    known = {split: splits.nodes(split) for split in SPLITS}
    taken = np.concatenate(list(known.values()))
    conversations, openings = (
        np.frombuffer(one, dtype=np.uint64) for one in (found.conversations, found.openings)
    )
    for number, split in enumerate(SPLITS):
        here = sides == number
        new = np.unique(np.concatenate([conversations[here], openings[here]]))
        new = new[~np.isin(new, taken)]
        known[split] = np.union1d(known[split], new)
        taken = np.concatenate([taken, new])
    signed = found.all_signed()
    kept = signed[np.isin(signed["node"].astype(np.uint64), taken)]
    return _splits(known, kept.tobytes())


def merge(splits: Splits, more: Splits) -> Splits:
    """The splits with the places of others added; a place that is known already stands."""
    taken = np.concatenate([splits.nodes(split) for split in SPLITS])
    found = {}
    for split in SPLITS:
        new = more.nodes(split)
        found[split] = np.union1d(splits.nodes(split), new[~np.isin(new, taken)])
    signed = np.concatenate([np.frombuffer(one.near, dtype=_SIGNED) for one in (splits, more)])
    _, first = np.unique(signed["node"], return_index=True)
    return _splits(found, signed[first].tobytes())


def cluster_names(rows: Iterable[Placed]) -> list[str]:
    """For each row the name of its cluster: equal for rows that hang together, as the split keeps them."""
    found = Openings()
    for row in rows:
        found.add(row)
    graph = _Graph(found, Splits())
    names = graph.components(np.arange(len(found), dtype=np.int64))
    return [f"{int(graph.nodes[name]):016x}" for name in names.tolist()]


def _opening(row: Placed) -> str:
    opening = next((message.content for message in row.messages if message.role == "user"), None)
    if opening is None or not opening.strip():
        opening = next((message.content for message in row.messages if message.content.strip()), "")
    return " ".join(unicodedata.normalize("NFKC", opening).casefold().split())


def _spread(graph: _Graph, sides: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
    """Pass places on along rows until nothing moves, writing ``sides``; the rows that no place reaches."""
    place, near_of = graph.place.tolist(), graph.near_of.tolist()
    beside: dict[int, set[int]] = {}
    for node, side in enumerate(place):
        if side != LEFT_OUT and near_of[node] >= 0:
            beside.setdefault(near_of[node], set()).add(side)
    conversation, opening = graph.conversation.tolist(), graph.opening.tolist()
    waiting = list(range(len(conversation)))
    moved = True
    while moved:
        moved, undecided = False, []
        for i in waiting:
            own = (conversation[i], opening[i])
            known = {place[node] for node in own} - {LEFT_OUT}
            cluster = near_of[opening[i]]
            known = known or beside.get(cluster, set())
            if not known:
                undecided.append(i)
                continue
            moved = True
            if len(known) == 1:
                (side,) = known
                sides[i] = side
                for node in own:
                    place[node] = side
                if cluster >= 0:
                    beside.setdefault(cluster, set()).add(side)
        waiting = undecided
    return np.array(waiting, dtype=np.int64)


def _splits(nodes: Mapping[SplitName, Nodes], signed: bytes = b"") -> Splits:
    train, validation, test = (np.unique(nodes[split]).astype(">u8").tobytes() for split in SPLITS)
    return Splits(train=train, validation=validation, test=test, near=signed)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(f"picktune-split-1:{text}".encode("utf-8", "replace")).digest()[:8])
