"""How much the place of a reply sways those who pick, fitted on the log and then frozen.

Only replies of one arm are compared with one another. They come from the same model and stand in random
order, so that nothing but their places can make one of them win more often.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np
from picktune.records import Decision
from scipy.optimize import minimize

# For each number of replies shown, one offset a place in nats; those of one number sum to nought.
Offsets = Mapping[int, tuple[float, ...]]


def fit_offsets(decisions: Iterable[Decision]) -> dict[int, tuple[float, ...]]:
    """b of every place, by the number of replies shown; a number without evidence is left out.

    A pick of a reply of an arm that showed several, in the places S, counts as exp(b_p) / Σ_{q ∈ S} exp(b_q):
    the conditional logit (McFadden 1974, *Conditional logit analysis of qualitative choice behavior*) on the
    places alone. A normal prior of unit width keeps b small where there is little evidence, and nought where
    there is none. Picks that are not for one arm alone, and slates that lack a candidate, are left out.
    """
    counts: dict[int, dict[tuple[int, tuple[int, ...]], int]] = defaultdict(lambda: defaultdict(int))
    for one in decisions:
        shown = len(one.arms) if one.shown is None else one.shown
        if one.position is None or not one.complete or len(one.picked) != 1 or len(one.arms) != shown:
            continue
        places = tuple(place for place, arm in enumerate(one.arms) if arm == one.picked[0])
        if len(places) > 1 and one.position in places:
            counts[shown][one.position, places] += 1
    return {shown: _fit(shown, found) for shown, found in sorted(counts.items())}


def _fit(shown: int, counts: Mapping[tuple[int, tuple[int, ...]], int]) -> tuple[float, ...]:
    picked = np.array([place for place, _ in counts])
    among = np.zeros((len(counts), shown), dtype=bool)
    for row, (_, places) in enumerate(counts):
        among[row, list(places)] = True
    weight = np.array(list(counts.values()), dtype=float)
    wins = np.bincount(picked, weights=weight, minlength=shown)

    def loss(b: np.ndarray) -> tuple[float, np.ndarray]:
        values = np.where(among, b, -np.inf)
        totals = np.logaddexp.reduce(values, axis=1)
        shares = np.exp(values - totals[:, None])
        value = float(weight @ totals - wins @ b + 0.5 * b @ b)
        return value, weight @ shares - wins + b

    b = minimize(loss, np.zeros(shown), jac=True, method="L-BFGS-B").x
    return tuple(float(x) for x in b - b.mean())
