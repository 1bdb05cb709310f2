"""The adapter against other choosers on the very same held-out sets: places, the champion; and tag by tag."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

from picktune.records import ChoiceSet, Record

from picktune_retrain.dataset import cluster_names
from picktune_retrain.evaluate import CONFIDENCE, Prediction, figures, lower_bound, picked, predict
from picktune_retrain.records import Figures

MOST_TAGS = 20
LEAST_TAG = 5


class Rival(Record, frozen=True, kw_only=True):
    """Another chooser on the held-out sets: ``position`` or ``champion``.

    ``gain`` is the mean of its log-loss less the adapter's, in nats a set: above nought, the adapter is
    better. ``gain_low`` and ``gain_high`` bound it from either side, each with 95 % confidence.
    """

    name: str
    figures: Figures
    gain: float
    gain_low: float
    gain_high: float


class TagFigures(Record, frozen=True, kw_only=True):
    """The held-out sets with one tag: ``gain`` over chance in nats a set.

    ``gain_high`` bounds it from above with a confidence of 95 % for all tags together (Bonferroni).
    """

    tag: str
    sets: int
    accuracy: float
    chance: float
    gain: float
    gain_high: float


Places = Mapping[int, Sequence[float]]
Rewards = Sequence[float]
"""What a chooser gives each reply of a set, in nats: it picks by their softmax."""


def learn_places(sets: Sequence[ChoiceSet]) -> dict[int, tuple[float, ...]]:
    """How probable each place is, from the picks to train on, by the number of replies shown.

    One imagined pick at every place (Laplace's rule) keeps a place that nobody picked from nought.
    """
    counts: dict[int, Counter[int]] = defaultdict(Counter)
    for one in sets:
        counts[len(one.replies)][one.chosen] += 1
    return {
        shown: tuple((places[i] + 1) / (places.total() + shown) for i in range(shown))
        for shown, places in counts.items()
    }


def against_places(
    sets: Sequence[ChoiceSet], adapter: Sequence[Rewards], places: Places, *, seed: int = 0
) -> Rival:
    """The adapter against somebody who looks at nothing but where a reply stands.

    An adapter that is no better has learned nothing of what the replies say.
    """
    rival = []
    for one in sets:
        shown = len(one.replies)
        rival.append([math.log(share) for share in places.get(shown, (1 / shown,) * shown)])
    return _rival("position", sets, adapter, rival, seed)


def against_champion(
    sets: Sequence[ChoiceSet], adapter: Sequence[Rewards], champion: Sequence[Rewards], *, seed: int = 0
) -> Rival:
    """The adapter against the champion, each choosing by its own rewards."""
    return _rival("champion", sets, adapter, champion, seed)


def by_tag(sets: Sequence[ChoiceSet], adapter: Sequence[Rewards], *, seed: int = 0) -> tuple[TagFigures, ...]:
    """The figures of every tag with at least five held-out sets, the largest first, at most twenty."""
    members: dict[str, list[int]] = defaultdict(list)
    for place, one in enumerate(sets):
        for tag in sorted(set(one.tags)):
            members[tag].append(place)
    largest = sorted(
        (tag for tag in members if len(members[tag]) >= LEAST_TAG), key=lambda t: -len(members[t])
    )
    largest = largest[:MOST_TAGS]
    ours = _predictions(sets, adapter)
    chance = [predict([0.0] * len(one.replies), picked(one)) for one in sets]
    clusters = cluster_names(sets)
    made = []
    for tag in largest:
        places = members[tag]
        gains = [chance[i].loss - ours[i].loss for i in places]
        high = -lower_bound(
            [-gain for gain in gains],
            [clusters[i] for i in places],
            seed=seed,
            confidence=1 - (1 - CONFIDENCE) / len(largest),
        )
        made.append(
            TagFigures(
                tag=tag,
                sets=len(places),
                accuracy=fmean(ours[i].hit for i in places),
                chance=fmean(chance[i].hit for i in places),
                gain=fmean(gains),
                gain_high=high,
            )
        )
    return tuple(made)


def _predictions(sets: Sequence[ChoiceSet], values: Sequence[Rewards]) -> list[Prediction]:
    return [predict(value, picked(one)) for one, value in zip(sets, values, strict=True)]


def _rival(
    name: str,
    sets: Sequence[ChoiceSet],
    adapter: Sequence[Rewards],
    values: Sequence[Rewards],
    seed: int,
) -> Rival:
    ours, theirs = _predictions(sets, adapter), _predictions(sets, values)
    gains = [rival.loss - mine.loss for rival, mine in zip(theirs, ours, strict=True)]
    clusters = cluster_names(sets)
    return Rival(
        name=name,
        figures=figures(theirs),
        gain=fmean(gains),
        gain_low=lower_bound(gains, clusters, seed=seed),
        gain_high=-lower_bound([-gain for gain in gains], clusters, seed=seed),
    )
