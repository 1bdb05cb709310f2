"""The split into train, validation and test: by conversation, without leaks, and the same every night.

A conversation is held together with every conversation that opens with the same words, for imports and
bulk mails repeat themselves. Such a cluster is placed once, and its place is remembered in ``Splits``; new
clusters are dealt out in the order of a salted hash, each to the split that is furthest below its share.
So the shares hold from the first few dozen picks on, where a bare hash would often leave the test empty,
and what was held out once is never trained on later.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol, TypeVar

from msgspec import field
from picktune.records import Message, Record

from picktune_retrain.dataset.rows import pick_out
from picktune_retrain.records import SplitName

SHARES: dict[SplitName, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}


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
    """Where conversations and opening messages were placed, by hash: it holds nobody's words."""

    format: Literal[1] = 1
    places: dict[str, SplitName] = field(default_factory=dict)


def deal(rows: Sequence[Row], earlier: Splits, *, seed: int) -> tuple[dict[SplitName, Sequence[Row]], int]:
    """Place every row; returns the rows by split, and how many were left out.

    A row is left out only if its conversation and its opening message were placed on different sides on
    earlier nights, so that it would leak whichever side it joined.
    """
    places = dict(earlier.places)
    nodes = [_nodes(row) for row in rows]
    kept = _spread(nodes, places)
    clusters = _clusters([nodes[i] for i in kept])
    sizes: Counter[str] = Counter()
    filled: Counter[SplitName] = Counter()
    for i in kept:
        if nodes[i][0] in places:
            filled[places[nodes[i][0]]] += 1
        else:
            sizes[clusters[nodes[i][0]]] += 1
    dealt: dict[str, SplitName] = {}
    for cluster in sorted(sizes, key=lambda name: _hash(f"{seed}:{name}")):
        # Sainte-Laguë's rule, with whole clusters in place of single seats: a big one goes where it fits.
        split = min(SHARES, key=lambda name: (filled[name] + sizes[cluster] / 2) / SHARES[name])
        filled[split] += sizes[cluster]
        dealt[cluster] = split
    found: dict[SplitName, list[int]] = {name: [] for name in SHARES}
    for i in kept:
        split = places.get(nodes[i][0]) or dealt[clusters[nodes[i][0]]]
        places.update(dict.fromkeys(nodes[i], split))
        found[split].append(i)
    return {name: pick_out(rows, places) for name, places in found.items()}, len(rows) - len(kept)


def remember(splits: Splits, rows: Mapping[SplitName, Iterable[Placed]]) -> Splits:
    """The splits with the places of these rows added; a place that is known already stands."""
    places = dict(splits.places)
    for split, members in rows.items():
        for row in members:
            for node in _nodes(row):
                places.setdefault(node, split)
    return Splits(places=places)


def cluster_names(rows: Sequence[Placed]) -> list[str]:
    """For each row the name of its cluster: equal for rows that hang together by conversation or opening."""
    nodes = [_nodes(row) for row in rows]
    clusters = _clusters(nodes)
    return [clusters[conversation] for conversation, _ in nodes]


def _nodes(row: Placed) -> tuple[str, str]:
    opening = next((message.content for message in row.messages if message.role == "user"), None)
    if opening is None or not opening.strip():
        opening = next(message.content for message in row.messages if message.content.strip())
    words = " ".join(unicodedata.normalize("NFKC", opening).casefold().split())
    return _hash(f"conversation:{row.conversation_id}"), _hash(f"opening:{words}")


def _spread(nodes: Sequence[tuple[str, str]], places: dict[str, SplitName]) -> list[int]:
    """Pass places on along rows until nothing moves; the indices of the rows that do not contradict them."""
    waiting = list(range(len(nodes)))
    kept: list[int] = []
    moved = True
    while moved:
        moved, undecided = False, []
        for i in waiting:
            known = {places[node] for node in nodes[i] if node in places}
            if not known:
                undecided.append(i)
                continue
            moved = True
            if len(known) == 1:
                places.update(dict.fromkeys(nodes[i], known.pop()))
                kept.append(i)
        waiting = undecided
    return sorted(kept + waiting)


def _clusters(nodes: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Each node's cluster, named by the smallest of its nodes: the connected components."""
    parent: dict[str, str] = {}

    def find(node: str) -> str:
        while parent.setdefault(node, node) != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for one, other in nodes:
        first, second = sorted((find(one), find(other)))
        parent[second] = first
    return {node: find(node) for node in list(parent)}


def _hash(text: str) -> str:
    return hashlib.sha256(f"picktune-split-1:{text}".encode()).hexdigest()[:32]
