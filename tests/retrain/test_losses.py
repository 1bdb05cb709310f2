"""The losses of rows: what each objective makes of packed examples, beside its pure function."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from picktune_retrain import forward, models
from picktune_retrain.choice import choice_loss
from picktune_retrain.encoding import EncodedSet
from picktune_retrain.examples import Examples, batches, label_weights
from picktune_retrain.losses import Losses, Tally
from picktune_retrain.objectives import dpo_loss, kl_reference_point, kto_loss, mismatched, nll_loss
from picktune_retrain.records import Recipe

FP32 = Recipe(dtype="float32", rank=4, beta=0.3, lam=0.0)


def one(number: int, replies: int = 3, **fields: Any) -> EncodedSet:
    words = [tuple(b"Where is my parcel, please? %d" % number)]
    words += [tuple(b"Reply %d.%d" % (number, i)) + (7,) * i for i in range(replies)]
    return EncodedSet(slate_id=f"s{number}", prompt=words[0], replies=tuple(words[1:]), chosen=0, **fields)


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> models.Model:
    """The tiny model with an adapter that says something else than the base."""
    made = models.load(tiny_model, FP32)
    models.add_adapter(made, FP32)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in made.parameters().values():
            weight.normal_(0.0, 0.1, generator=generator)
    forward.choose_layout(made, [one(0)])
    return made


def known(model: models.Model, sets: Sequence[EncodedSet]) -> list[tuple[EncodedSet, tuple[float, ...]]]:
    return list(zip(sets, forward.reference_log_probs(model, sets), strict=True))


def both(model: models.Model, sets: Sequence[EncodedSet]) -> tuple[list[Any], list[Any]]:
    policies = forward.policy_log_probs(model, sets, grad=False)
    return list(policies), [torch.tensor(one) for one in forward.reference_log_probs(model, sets)]


def values(
    model: models.Model, sets: Sequence[EncodedSet], recipe: Recipe, **weights: float
) -> dict[Any, Any]:
    with torch.no_grad():
        return Losses(model, recipe, weights, {}).of_row(known(model, sets), Tally())  # type: ignore[arg-type]


def test_all_pairs_are_the_mean_of_the_pure_loss(model: models.Model) -> None:
    sets = [one(i, weight=w, rejected=(1, 2)) for i, w in enumerate((1.0, 2.0))]
    recipe = Recipe(beta=0.3, epsilon=0.1)
    found = values(model, sets, recipe, dpo=1.0)["dpo"]
    for loss, single, policy, base in zip(found, sets, *both(model, sets), strict=True):
        pairs = dpo_loss(policy[[0, 0]], policy[1:], base[[0, 0]], base[1:], beta=0.3, label_smoothing=0.1)
        torch.testing.assert_close(loss, single.weight * pairs.mean())


def test_a_set_of_two_is_the_same_to_choice_and_to_dpo_whatever_sways(model: models.Model) -> None:
    sets = [one(i, 2, rejected=(1,)) for i in range(2)]
    for extra in ({}, {"length_penalty": 0.05}, {"length_normalised": True, "length_penalty": 0.05}):
        recipe = Recipe(beta=0.3, lam=0.0, **extra)
        places = {2: torch.tensor([0.4, -0.4])}
        with torch.no_grad():
            weights: Any = {"choice": 1.0, "dpo": 1.0}
            found = Losses(model, recipe, weights, places).of_row(known(model, sets), Tally())
        torch.testing.assert_close(found["choice"], found["dpo"])


def test_length_explains_its_share_of_a_preference(model: models.Model) -> None:
    # s_j + α |y_j| (Park et al. 2024, R-DPO): what is longer needs less of a preference to be picked.
    single = replace(one(0, 2), chosen=1, rejected=(0,))
    (policy,), (base,) = both(model, [single])
    longer = len(single.replies[1]) - len(single.replies[0])
    margin = 0.3 * float((policy - base)[1] - (policy - base)[0]) + 0.2 * longer
    loss = values(model, [single], Recipe(beta=0.3, length_penalty=0.2), dpo=1.0)["dpo"]
    assert float(loss) == pytest.approx(math.log1p(math.exp(-margin)), rel=1e-4)
    tokens = torch.tensor([float(len(reply)) for reply in single.replies])
    ratios = (policy - base) / tokens
    normalised = values(model, [single], Recipe(beta=0.3, lam=0.0, length_normalised=True), choice=1.0)[
        "choice"
    ]
    assert float(normalised) == pytest.approx(
        math.log1p(math.exp(-0.3 * float(ratios[1] - ratios[0]))), rel=1e-4
    )


def test_ties_as_sets_and_as_even_choices(model: models.Model) -> None:
    whole, part = one(0, tied=(0, 1, 2)), one(1, tied=(0, 2))
    (_, policy), (_, base) = both(model, [whole, part])
    as_set = values(model, [whole, part], Recipe(beta=0.3, ties="set"), choice=1.0)["choice"]
    assert float(as_set[0]) == pytest.approx(0.0, abs=1e-6)  # nothing is preferred to anything
    shares = (0.3 * (policy - base)).log_softmax(-1)
    torch.testing.assert_close(as_set[1], -shares[[0, 2]].logsumexp(-1))
    even = values(model, [whole, part], Recipe(beta=0.3, ties="even"), choice=1.0)["choice"]
    torch.testing.assert_close(even[1], -shares[[0, 2]].mean())
    assert float(even[0]) >= math.log(3) - 1e-6  # least, log 3, where all three score alike
    tally = Tally()
    with torch.no_grad():
        Losses(model, Recipe(ties="set"), {"choice": 1.0}, {}).of_row(known(model, [whole]), tally)
    assert tally.accuracy() is None  # a tie is no hit


def test_kto_is_the_pure_loss_with_the_reference_point_of_the_whole_step(model: models.Model) -> None:
    labels = [one(i, 1, kind="label", desirable=i % 2 == 0, weight=1.0 + i) for i in range(5)]
    recipe = Recipe(beta=0.3, batch=5, seed=4)
    (step,) = batches(Examples(sets=[], labels=labels, texts=[]), recipe)
    (row,) = step
    order = [single.replies[0] for single in row]
    assert [single.replies[1] for single in row] == mismatched(order)
    policies, bases = both(model, row)
    own, own_base = (torch.stack([x[0] for x in some]) for some in (policies, bases))
    z = kl_reference_point(*(torch.stack([x[1] for x in some]) for some in (policies, bases)))
    liked = torch.tensor([single.desirable for single in row])
    weights = torch.tensor([single.weight for single in row])
    lambdas = label_weights(labels, recipe)
    assert lambdas == (1.0, 1.5)
    expected = weights * kto_loss(
        own, own_base, liked, z, beta=0.3, desirable_weight=1.0, undesirable_weight=1.5
    )

    losses = Losses(model, recipe, {"kto": 1.0}, {}, lambdas)
    whole = losses.backward([known(model, row)])
    torch.testing.assert_close(torch.tensor(whole.losses["kto"]), expected)
    together = gradient(model)
    # In several rows, as long prompts make it, the point and the gradient are those of the whole step.
    parts = losses.backward([known(model, row[:2]), known(model, row[2:])])
    torch.testing.assert_close(torch.tensor(parts.losses["kto"]), expected, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(gradient(model), together, atol=2e-5, rtol=1e-3)
    assert 0 <= (whole.accuracy() or 0) <= 1


def test_demonstrations_weigh_by_the_token_however_the_step_is_cut(model: models.Model) -> None:
    texts = [one(i, 1, kind="text") for i in range(4)]
    texts[1] = replace(texts[1], replies=((*texts[1].replies[0], *range(40, 60)),))
    unknown = [(single, ()) for single in texts]
    losses = Losses(model, FP32, {"sft": 1.0}, {})
    tally = losses.backward([unknown])
    whole = gradient(model)
    policies, _ = both(model, texts)
    tokens = torch.tensor([float(len(single.replies[0])) for single in texts])
    assert tally.parts()["sft"] == pytest.approx(float(nll_loss(torch.cat(policies), tokens)), rel=1e-5)
    losses.backward([unknown[:1], unknown[1:]])
    torch.testing.assert_close(gradient(model), whole, atol=1e-5, rtol=1e-3)


def test_a_mixture_is_the_weighted_sum(model: models.Model) -> None:
    sets = [one(i, rejected=(1,)) for i in range(2)]
    texts = [one(9, 1, kind="text")]
    gradients = {}
    for name, weights in (
        ("choice", {"choice": 1.0}),
        ("dpo", {"dpo": 1.0}),
        ("sft", {"sft": 1.0}),
        ("all", {"choice": 2.0, "dpo": 0.5, "sft": 0.25}),
    ):
        rows: list[Any] = [] if name == "sft" else [known(model, sets)]
        if name in ("sft", "all"):
            rows.append([(texts[0], ())])
        Losses(model, FP32, weights, {}).backward(rows)  # type: ignore[arg-type]
        gradients[name] = gradient(model)
    expected = 2.0 * gradients["choice"] + 0.5 * gradients["dpo"] + 0.25 * gradients["sft"]
    torch.testing.assert_close(gradients["all"], expected, atol=1e-5, rtol=1e-3)


def test_choice_alone_is_the_choice_loss_to_the_last_bit(model: models.Model) -> None:
    sets = [one(i) for i in range(3)]
    tally = Losses(model, FP32, {"choice": 1.0}, {}).backward([known(model, sets)])
    ours = gradient(model)
    policies = forward.policy_log_probs(model, sets)
    bases = [torch.tensor(base) for base in forward.reference_log_probs(model, sets)]
    losses = torch.stack(
        [choice_loss(p, b, 0, tokens=9, beta=0.3) for p, b in zip(policies, bases, strict=True)]
    )
    (losses.sum() / 3).backward()  # type: ignore[no-untyped-call]
    assert torch.equal(ours, gradient(model))
    assert tally.losses["choice"] == losses.tolist()


def gradient(model: models.Model) -> torch.Tensor:
    """The gradient as one vector; it is taken away, so that the next one stands alone."""
    weights = list(model.parameters().values())
    found = torch.cat([weight.grad.flatten() for weight in weights if weight.grad is not None])
    for weight in weights:
        weight.grad = None
    return found
