"""Near-duplicates: openings that say almost the same, found by MinHash and locality-sensitive hashing.

Bulk mails and forms repeat themselves with another name or number in them. An opening's signature is 64
minima of hashes over its shingles (Broder 1997), of which the lowest 16 bits are kept (b-bit minwise
hashing, Li and König 2010); the share of equal ones estimates the Jaccard similarity of the shingles, with a
standard error of 0.05 at 0.8. Candidates are those that agree in one of 16 bands of four. A signature is 128
bytes, is kept for good, and holds nobody's words, so that an opening is known again when the log no longer
has it. That is why the arithmetic is ours and not a library's: it must never change. (The
index of datasketch keeps a dictionary a band in memory besides; here an array is sorted a band.)

Short openings are not compared: "Where is my parcel?" is what many people ask, and no copy. Those count as
the same only if their words are.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt

Signatures = npt.NDArray[np.uint16]
"""(openings, 64)."""

MINIMA, BANDS = 64, 16
SIMILAR = 0.8
LEAST, MOST = 80, 4000
"""Letters that an opening must have to be compared, a Han character counting for three; and how many are."""

_U64 = np.uint64
_PRIME = _U64(0x9E3779B97F4A7C15)


def signature(text: str) -> Signatures | None:
    """The signature of normalised words, (64,); ``None`` if they are too few to be compared."""
    letters = np.frombuffer(text[:MOST].encode("utf-32-le", "replace"), dtype=np.uint32).astype(_U64)
    han = int(((letters >= 0x3040) & (letters <= 0x9FFF)).sum())
    if len(letters) + 2 * han < LEAST:
        return None
    letters[(letters >= 0x30) & (letters <= 0x39)] = 0x30  # another order number is no other message
    length = 3 if 2 * han > len(letters) else 5
    shingles = np.zeros(len(letters) - length + 1, dtype=_U64)
    for i in range(length):
        shingles = shingles * _PRIME + letters[i : i + len(shingles)]
    shingles = np.unique(_mixed(shingles))
    factors, terms = _functions()
    hashed = (shingles[:, None] * factors + terms) >> _U64(32)
    found: Signatures = (hashed.min(axis=0) & _U64(0xFFFF)).astype(np.uint16)
    return found


def clusters(signatures: Signatures) -> npt.NDArray[np.int64]:
    """For each signature the number of its cluster: the least index among those that hang together."""
    parent = np.arange(len(signatures), dtype=np.int64)

    def find(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = int(parent[node])
        return node

    for one, other in _pairs(signatures):
        first, second = sorted((find(one), find(other)))
        parent[second] = first
    for i in range(len(parent)):
        parent[i] = find(i)
    return parent


def _pairs(signatures: Signatures) -> Iterator[tuple[int, int]]:
    """Pairs that are similar, enough of them to hold each cluster together."""
    width = MINIMA // BANDS
    for band in range(BANDS):
        keys = np.ascontiguousarray(signatures[:, band * width : (band + 1) * width]).view(_U64)[:, 0]
        # Beside whom one stands among those of a bucket is decided by another part of the signature, so that
        # those that are alike come to stand together.
        beside = np.ascontiguousarray(np.roll(signatures, -(band + 1) * width, axis=1)[:, :width]).view(_U64)
        order = np.lexsort((beside[:, 0], keys))
        sorted_keys = keys[order]
        starts = np.flatnonzero(np.r_[True, sorted_keys[1:] != sorted_keys[:-1]]) if len(order) else order
        first = np.repeat(starts, np.diff(np.r_[starts, len(order)]))
        for offset_of in (np.maximum(np.arange(len(order)) - 1, first), first):
            here = np.flatnonzero(offset_of != np.arange(len(order)))
            for start in range(0, len(here), 20_000):
                some = here[start : start + 20_000]
                ones, others = order[some], order[offset_of[some]]
                alike = (signatures[ones] == signatures[others]).mean(axis=1) >= SIMILAR
                yield from zip(ones[alike].tolist(), others[alike].tolist(), strict=True)


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele et al. 2014): every bit depends on every other."""
    values = (values ^ (values >> _U64(30))) * _U64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> _U64(27))) * _U64(0x94D049BB133111EB)
    return values ^ (values >> _U64(31))


@cache
def _functions() -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    numbers = _mixed(_PRIME * np.arange(1, 2 * MINIMA + 1, dtype=_U64))
    return numbers[:MINIMA] | _U64(1), numbers[MINIMA:]
