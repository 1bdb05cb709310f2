"""The losses of a row of examples under a recipe's objectives, and how many of them were told right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from picktune_retrain import forward
from picktune_retrain.choice import choice_loss, choice_scores
from picktune_retrain.encoding import EncodedSet
from picktune_retrain.examples import Batch
from picktune_retrain.mixture import Objective
from picktune_retrain.models import Model
from picktune_retrain.objectives import dpo_loss, kl_reference_point, kto_loss
from picktune_retrain.records import Recipe

# Examples with the log-probabilities that the base gives their replies, in nats; a demonstration needs none.
KnownRow = Sequence[tuple[EncodedSet, tuple[float, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What the rows of a step came to: the losses of each objective, and hits (a share where several tie)."""

    losses: dict[Objective, list[float]] = field(default_factory=dict)
    hits: list[float] = field(default_factory=list)
    tokens: list[float] = field(default_factory=list)

    def parts(self) -> dict[Objective, float]:
        """The mean loss of each objective; that of demonstrations is in nats a token."""
        means: dict[Objective, float] = {
            name: fmean(values) for name, values in self.losses.items() if name != "sft"
        }
        if self.tokens:
            means["sft"] = sum(self.losses["sft"]) / sum(self.tokens)
        return means

    def accuracy(self) -> float | None:
        """The share of hits; ``None`` if nothing was to be told apart."""
        return fmean(self.hits) if self.hits else None


class Losses:
    """The objectives of a training, with what they need beside the rows."""

    def __init__(
        self,
        model: Model,
        recipe: Recipe,
        weights: Mapping[Objective, float],
        places: Mapping[int, Tensor],
        label_weights: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        self.model = model
        self.recipe = recipe
        self.weights = weights
        self.places = places
        self.label_weights = label_weights

    def backward(self, batch: Sequence[KnownRow]) -> Tally:
        """Add the gradient of a step's loss, Σ weight · mean over its examples, row by row."""
        tally = Tally()
        point = self._reference_point(batch)
        sizes = self._sizes(batch)
        for row in batch:
            total: Tensor | None = None
            for name, losses in self.of_row(row, tally, point).items():
                mean = losses.sum() / sizes[name]
                weight = self.weights[name]
                part = mean if weight == 1.0 else weight * mean
                total = part if total is None else total + part
            if total is not None:
                total.backward()  # type: ignore[no-untyped-call]
        return tally

    def of_row(self, row: KnownRow, tally: Tally, point: Tensor | None = None) -> dict[Objective, Tensor]:
        """The losses of each example in a row, in nats, by objective; what they come to joins the tally."""
        sets = [one for one, _ in row]
        policies = forward.policy_log_probs(self.model, sets, grad=torch.is_grad_enabled())
        known = [
            torch.tensor(base, device=policy.device) for (_, base), policy in zip(row, policies, strict=True)
        ]
        match sets[0].kind:
            case "set":
                made = self._of_sets(sets, policies, known, tally)
            case "label":
                made = {"kto": self._of_labels(sets, policies, known, tally, point)}
            case "text":
                weights = torch.tensor([one.weight for one in sets], device=policies[0].device)
                made = {"sft": -torch.cat(policies) * weights}
                tally.tokens.extend(one.weight * len(one.replies[0]) for one in sets)
        for name, losses in made.items():
            tally.losses.setdefault(name, []).extend(losses.tolist())
        return made

    def _of_sets(
        self, sets: Sequence[EncodedSet], policies: Sequence[Tensor], known: Sequence[Tensor], tally: Tally
    ) -> dict[Objective, Tensor]:
        recipe = self.recipe
        found: dict[Objective, list[Tensor]] = {}
        for one, policy, reference in zip(sets, policies, known, strict=True):
            offsets = self._offsets(one, policy)
            lengths = _lengths(one, policy) if recipe.length_normalised else None
            tie = bool(one.tied)
            if "choice" in self.weights:
                loss = choice_loss(
                    policy,
                    reference,
                    one.chosen,
                    tokens=len(one.replies[one.chosen]),
                    same=one.same,
                    beta=recipe.beta,
                    lam=0.0 if tie else recipe.lam,  # a tie prefers nothing
                    epsilon=recipe.epsilon,
                    weight=one.weight,
                    offsets=offsets,
                    lengths=lengths,
                    even=tie and recipe.ties == "even",
                )
                found.setdefault("choice", []).append(loss)
            if "dpo" in self.weights:
                found.setdefault("dpo", []).append(self._dpo(one, policy, reference, offsets))
            if not tie:
                scores = choice_scores(
                    policy.detach(), reference, beta=recipe.beta, offsets=offsets, lengths=lengths
                )
                top = (scores == scores.max()).tolist()
                hit = sum(best and alike for best, alike in zip(top, one.same, strict=True))
                tally.hits.append(hit / max(sum(top), 1))
        return {name: torch.stack(losses) for name, losses in found.items()}

    def _dpo(self, one: EncodedSet, policy: Tensor, reference: Tensor, offsets: Tensor | None) -> Tensor:
        """The mean over the pairs of a set, times its weight; a set without a pair has nothing to say."""
        if not one.rejected or one.tied:
            return policy.sum() * 0.0
        recipe, losers = self.recipe, list(one.rejected)
        lengths = _lengths(one, policy)
        if offsets is not None:
            # β Δ + b_w − b_l is the loss of log-probabilities moved by b / β.
            policy = policy + offsets * (lengths if recipe.length_normalised else 1.0) / recipe.beta
        winners = [one.chosen] * len(losers)
        losses = dpo_loss(
            policy[winners],
            policy[losers],
            reference[winners],
            reference[losers],
            beta=recipe.beta,
            label_smoothing=recipe.epsilon,
            tokens=(lengths[winners], lengths[losers]) if recipe.length_normalised else None,
        )
        return one.weight * losses.mean()

    def _of_labels(
        self,
        sets: Sequence[EncodedSet],
        policies: Sequence[Tensor],
        known: Sequence[Tensor],
        tally: Tally,
        point: Tensor | None,
    ) -> Tensor:
        policy, reference = (torch.stack([one[0] for one in some]) for some in (policies, known))
        liked = torch.tensor([one.desirable for one in sets], device=policy.device)
        weights = torch.tensor([one.weight for one in sets], device=policy.device)
        z = _point(policies, known) if point is None else point
        losses = kto_loss(
            policy,
            reference,
            liked,
            z,
            beta=self.recipe.beta,
            desirable_weight=self.label_weights[0],
            undesirable_weight=self.label_weights[1],
        )
        gains = (policy.detach() - reference - z) * (liked * 2.0 - 1.0)
        tally.hits.extend(1.0 if gain > 0 else 0.5 if gain == 0 else 0.0 for gain in gains.tolist())
        return losses * weights

    def _reference_point(self, batch: Sequence[KnownRow]) -> Tensor | None:
        """z of a step, taken before its gradient; a single row of labels has all that it needs itself."""
        rows = [row for row in batch if row and row[0][0].kind == "label"]
        if len(rows) < 2:
            return None
        policies: list[Tensor] = []
        known: list[Tensor] = []
        for row in rows:
            found = forward.policy_log_probs(self.model, [one for one, _ in row], grad=False)
            policies += found
            known += [torch.tensor(base, device=found[0].device) for _, base in row]
        return _point(policies, known)

    def _sizes(self, batch: Sequence[KnownRow]) -> dict[Objective, float]:
        """What the sum of each objective's losses is divided by, over all rows of the step."""
        found = [one for row in batch for one, _ in row]
        sets = float(sum(one.kind == "set" for one in found))
        tokens = sum(one.weight * len(one.replies[0]) for one in found if one.kind == "text")
        return {
            "choice": sets,
            "dpo": sets,
            "kto": float(sum(one.kind == "label" for one in found)),
            "sft": tokens,
        }

    def _offsets(self, one: EncodedSet, policy: Tensor) -> Tensor | None:
        offsets = self.places.get(len(one.replies)) if one.placed else None
        if self.recipe.length_penalty:
            longer = self.recipe.length_penalty * _lengths(one, policy)
            offsets = longer if offsets is None else offsets + longer
        return offsets


def known_batches(steps: Iterable[Batch], known: Any) -> list[list[KnownRow]]:
    """The steps with the base's log-probabilities, which come one example after the other."""
    return [[[(one, next(known)) for one in row] for row in batch] for batch in steps]


def _point(policies: Sequence[Tensor], known: Sequence[Tensor]) -> Tensor:
    pairs = [(a[1], b[1]) for a, b in zip(policies, known, strict=True) if len(a) > 1]
    if not pairs:
        return policies[0].new_zeros(())
    policy, reference = (torch.stack(some) for some in zip(*pairs, strict=True))
    return kl_reference_point(policy, reference)


def _lengths(one: EncodedSet, like: Tensor) -> Tensor:
    return torch.tensor([float(len(reply)) for reply in one.replies], device=like.device)
