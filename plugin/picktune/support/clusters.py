"""Clusters: picks of one conversation, or of one annotator, resemble each other, and so say less."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from picktune.records import Decision
from picktune.support.answers import Clustering
from picktune.support.sequence import interval

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


class Clustered:
    """Counted decisions as arrays, so that the design effect of any beginning of them is quickly had.

    The variance of the rate is estimated from the clusters' sums of residuals (the sandwich of Liang and
    Zeger 1986, with G / (G − 1)); for conversations and annotators at once it is V(conversations) +
    V(annotators) − V(both) (Cameron, Gelbach and Miller 2011, equation 2.3). That sum may be too small by
    accident, or negative, so the largest of the three and of 1 is taken.
    """

    def __init__(self, choices: Sequence[Decision]) -> None:
        self.won: Floats = np.array([one.tuned in one.picked for one in choices], dtype=np.float64)
        self._conversations = _codes(one.conversation_id for one in choices)
        self._annotators = _codes(one.annotator for one in choices)
        self._both = _codes((one.conversation_id, one.annotator) for one in choices)

    def first(self, n: int, alpha: float) -> Clustering:
        """What the clusters take from the first ``n`` picks."""
        if n == 0:
            return Clustering()
        residuals = self.won[:n] - self.won[:n].mean()
        conversations, annotators = self._conversations[:n], self._annotators[:n]
        effects = [_effect(residuals, codes[:n]) for codes in (conversations, annotators, self._both)]
        by_conversation, by_annotator, by_both = effects
        both = 1.0
        if by_conversation is not None and by_annotator is not None and by_both is not None:
            both = by_conversation + by_annotator - by_both
        design_effect = max(1.0, by_conversation or 1.0, by_annotator or 1.0, both)
        # Rounding of floats must not widen anything where each pick has a conversation of its own.
        design_effect = 1.0 if design_effect < 1.0 + 1e-9 else design_effect
        low, high = interval(int(self.won[:n].sum()), n, alpha)
        return Clustering(
            conversations=int(conversations.max()) + 1,
            annotators=int(annotators.max()) + 1,
            by_conversation=by_conversation,
            by_annotator=by_annotator,
            design_effect=design_effect,
            effective=n / design_effect,
            low=low,
            high=high,
        )


def _codes(labels: Iterable[Hashable]) -> Codes:
    """Numbers from 0 in the order in which the labels appear, so that a beginning's highest counts them."""
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(label, len(known)) for label in labels], dtype=np.int64)


def _effect(residuals: Floats, codes: Codes) -> float | None:
    """The variance with these clusters over that without; ``None`` with one cluster or no variance."""
    n, clusters = len(residuals), int(codes.max()) + 1
    alone = float(residuals @ residuals) * n / (n - 1) if n > 1 else 0.0
    if clusters < 2 or alone == 0.0:
        return None
    sums = np.bincount(codes, weights=residuals)
    return float(sums @ sums) * clusters / (clusters - 1) / alone
