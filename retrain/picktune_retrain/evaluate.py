"""How well an adapter predicts held-out choices, beside chance and beside the base model as a chooser."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean

import numpy as np
from picktune.records import ChoiceSet, Record
from scipy.stats import t as student

from picktune_retrain.choice import Scores
from picktune_retrain.dataset import cluster_names
from picktune_retrain.records import Evaluation, Figures

CONFIDENCE = 0.95
_NUMBERS = 200_000


class Outcome(Record, frozen=True, kw_only=True):
    """What was predicted for one held-out set: a probability for each reply, in the order shown."""

    slate_id: str
    annotator: str
    chosen: int
    adapter: tuple[float, ...]
    base: tuple[float, ...]


class Judgement(Record, frozen=True, kw_only=True):
    """An evaluation with the outcomes and the scores behind it."""

    evaluation: Evaluation
    outcomes: tuple[Outcome, ...]
    scores: tuple[Scores, ...] = ()


class Prediction(Record, frozen=True, kw_only=True):
    """How one chooser did on one set: ``hit`` is 1, 0, or a share where replies tie for the first place."""

    hit: float
    loss: float


def evaluate(
    sets: Sequence[ChoiceSet],
    scores: Sequence[Scores],
    *,
    beta: float,
    seed: int = 0,
    a_token: bool = False,
) -> Evaluation:
    """Judge the scored sets.

    The adapter chooses by softmax of β (log π_θ − log π_base), as in the loss that it was trained with, or,
    ``a_token``, by that divided by the reply's tokens, as in a loss that is normalised by length; the
    base by softmax of its mean log-probability a token, so that length does not decide; chance gives every
    reply the same. A reply with the very words of the picked one counts as picked, as in the loss. Losses
    are in nats. ``gain_low`` and ``accuracy_low`` are the lower ends of one-sided 95 % bootstrap intervals
    over conversations, the latter of what the adapter finds more often than chance, added to chance.
    Raises ``ValueError`` if there are no sets, or if the scores are those of others.
    """
    if not sets:
        raise ValueError("no held-out choice sets to evaluate on")
    adapter, base, chance = [], [], []
    for one, score in zip(sets, scores, strict=True):
        if one.slate_id != score.slate_id:
            raise ValueError(f"the scores of {score.slate_id} stand in the place of those of {one.slate_id}")
        alike = picked(one)
        adapter.append(predict(rewards(score, beta, a_token), alike))
        base.append(predict(per_token(score), alike))
        chance.append(predict([0.0] * len(alike), alike))
    gains = [by_chance.loss - tuned.loss for by_chance, tuned in zip(chance, adapter, strict=True)]
    more_hits = [tuned.hit - by_chance.hit for by_chance, tuned in zip(chance, adapter, strict=True)]
    clusters = cluster_names(sets)
    return Evaluation(
        sets=len(sets),
        adapter=figures(adapter),
        base=figures(base),
        chance=figures(chance),
        gain=fmean(gains),
        gain_low=lower_bound(gains, clusters, seed=seed),
        accuracy_low=figures(chance).accuracy + lower_bound(more_hits, clusters, seed=seed),
    )


def outcomes(
    sets: Sequence[ChoiceSet], scores: Sequence[Scores], *, beta: float, a_token: bool = False
) -> list[Outcome]:
    """The probabilities behind an evaluation, set by set, for people to look at."""
    return [
        Outcome(
            slate_id=one.slate_id,
            annotator=one.annotator,
            chosen=one.chosen,
            adapter=_softmax(rewards(score, beta, a_token)),
            base=_softmax(per_token(score)),
        )
        for one, score in zip(sets, scores, strict=True)
    ]


def rewards(score: Scores, beta: float, a_token: bool = False) -> list[float]:
    """r_j = β [log π_θ(y_j|x) − log π_base(y_j|x)] for each reply, in nats (Rafailov et al. 2023, eq. 5)."""
    ratios = [tuned - base for tuned, base in zip(score.adapter, score.base, strict=True)]
    if a_token:
        ratios = [ratio / max(tokens, 1) for ratio, tokens in zip(ratios, score.tokens, strict=True)]
    return [beta * ratio for ratio in ratios]


def per_token(score: Scores) -> list[float]:
    """The base's mean log-probability a token of each reply, in nats."""
    return [total / max(tokens, 1) for total, tokens in zip(score.base, score.tokens, strict=True)]


def lower_bound(
    gains: Sequence[float],
    clusters: Sequence[str],
    *,
    seed: int,
    confidence: float = CONFIDENCE,
    resamples: int = 10_000,
) -> float:
    """The lower end of a one-sided bootstrap interval of the mean gain.

    Whole clusters are drawn, for the picks of one conversation are not independent. The percentile is moved
    outwards as Hesterberg (2015, "What teachers should know about the bootstrap", section 5.3) has it: with
    few clusters the plain one is too narrow (8 clusters of normal gains: misses 7.9 % of the time in place
    of 5; so moved, about 5). One cluster bounds nothing: the answer is then at most nought.
    """
    names = sorted(set(clusters))
    if len(names) < 2 or not all(map(math.isfinite, gains)):
        return min(0.0, fmean(gains))
    place = {name: i for i, name in enumerate(names)}
    sums, counts = np.zeros(len(names)), np.zeros(len(names))
    for gain, name in zip(gains, clusters, strict=True):
        sums[place[name]] += gain
        counts[place[name]] += 1
    n = len(names)
    level = NormalDist().cdf(math.sqrt(n / (n - 1)) * float(student.ppf(1 - confidence, n - 1)))
    rng = np.random.default_rng(seed)
    means = []
    # In slices of the same size in memory, however many conversations are held out.
    rows = max(1, min(500, _NUMBERS // n))
    for start in range(0, resamples, rows):
        drawn = rng.integers(0, n, size=(min(rows, resamples - start), n))
        means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    return float(np.quantile(np.concatenate(means), level))


def picked(one: ChoiceSet) -> list[bool]:
    """Which replies say the very words of the picked one."""
    return [reply == one.replies[one.chosen] for reply in one.replies]


def predict(values: Sequence[float], picked: Sequence[bool]) -> Prediction:
    """How somebody does who chooses by softmax of ``values``, in nats."""
    best = max(values)
    first = [mine for value, mine in zip(values, picked, strict=True) if value == best]
    probabilities = _log_softmax(values)
    mine = [value for value, is_mine in zip(probabilities, picked, strict=True) if is_mine]
    return Prediction(hit=sum(first) / max(len(first), 1), loss=-_log_sum(mine))


def figures(predictions: Sequence[Prediction]) -> Figures:
    """Their means."""
    return Figures(
        accuracy=fmean(one.hit for one in predictions), log_loss=fmean(one.loss for one in predictions)
    )


def _log_sum(values: Sequence[float]) -> float:
    top = max(values)
    if not math.isfinite(top):
        return top
    return top + math.log(sum(math.exp(value - top) for value in values))


def _log_softmax(values: Sequence[float]) -> list[float]:
    total = _log_sum(values)
    return [value - total for value in values]


def _softmax(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(math.exp(value) for value in _log_softmax(values))
