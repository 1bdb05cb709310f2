"""Rows of a step that add up to the same, and layers that are computed again on the way back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from picktune.errors import InvalidInput
from picktune_retrain import forward, models
from picktune_retrain.decoder import release_layers
from picktune_retrain.encoding import EncodedSet
from picktune_retrain.examples import Examples, batches_of
from picktune_retrain.losses import Losses, known_batches
from picktune_retrain.memory import Work, measure
from picktune_retrain.models import Model
from picktune_retrain.recompute import recompute_layers
from picktune_retrain.records import Recipe
from picktune_retrain.shape import shape
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

RECIPE = Recipe(dtype="float32", rank=4, beta=0.3, batch=6)


def one(number: int) -> EncodedSet:
    replies = tuple(tuple(b"Reply %d.%d" % (number, i)) + (7,) * 9 * i for i in range(3))
    prompt = tuple(b"%d: Where is my parcel, please? " % number * 2)
    return EncodedSet(slate_id=f"s{number}", prompt=prompt, replies=replies, chosen=number % 3)


SETS = [one(number) for number in range(6)]


def adapted(base: Path, recipe: Recipe = RECIPE) -> Model:
    model = models.load(base, recipe)
    models.add_adapter(model, recipe)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters().values():
            weight.normal_(0.0, 0.1, generator=generator)
    forward.choose_layout(model, SETS)
    return model


def gradients(
    model: Model, row_tokens: int = 2048, seed: int = 0
) -> tuple[list[float], dict[str, Tensor], int]:
    """The losses of a step of all sets, its gradient, and in how many rows it was taken."""
    recipe = Recipe(**{**{f: getattr(RECIPE, f) for f in RECIPE.__struct_fields__}, "row_tokens": row_tokens})
    steps = batches_of(Examples(sets=SETS, labels=[], texts=[]), recipe)
    assert len(steps) == 1
    reference = (values for row in steps[0] for values in forward.reference_log_probs(model, row))
    (batch,) = known_batches(steps, reference)
    for weight in model.parameters().values():
        weight.grad = None
    with models.dropout(model, seed):
        tally = Losses(model, recipe, {"choice": 1.0}, {}).backward(batch)
    found = {name: weight.grad for name, weight in model.parameters().items() if weight.grad is not None}
    return tally.losses["choice"], found, len(batch)


def test_a_step_in_several_rows_has_the_loss_and_gradient_of_one(tiny_model: Path) -> None:
    model = adapted(tiny_model)
    losses, whole, rows = gradients(model)
    split_losses, parts, split_rows = gradients(model, row_tokens=300)
    assert rows == 1 < split_rows
    assert split_losses == pytest.approx(losses, abs=1e-4)
    assert len(parts) == len(whole) > 0
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("layers", ["written out", "own", "plain rows", "dropout"])
def test_layers_that_are_computed_again_give_the_same_gradient(tiny_model: Path, layers: str) -> None:
    dropout = 0.3 if layers == "dropout" else 0.0
    model = adapted(tiny_model, Recipe(dtype="float32", rank=4, dropout=dropout))
    if layers == "own":
        release_layers(model.network.get_base_model())
    if layers == "plain rows":
        model.packed = False
        model.network.set_attn_implementation("eager")
    losses, expected, _ = gradients(model, seed=5)
    assert recompute_layers(model) == 2
    again, found, _ = gradients(model, seed=5)
    assert again == losses
    assert found.keys() == expected.keys() != set()
    assert all(torch.equal(found[name], gradient) for name, gradient in expected.items())


@pytest.mark.parametrize("written_out", [True, False])
def test_they_hold_less(tiny_model: Path, written_out: bool) -> None:
    model = adapted(tiny_model)
    if not written_out:
        release_layers(model.network.get_base_model())

    def held() -> int:
        """The bytes that are still there after the way forward, as the allocator counts them."""
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as counted:
            values = forward.policy_log_probs(model, SETS)
        del values
        return sum(event.self_cpu_memory_usage for event in counted.key_averages())

    before = held()
    recompute_layers(model)
    assert 0 < held() < before / 2


def test_the_planner_knows() -> None:
    one = shape(None)
    whole, less = (measure(one, Work(prompt=512, reply=100, checkpointing=on)) for on in (False, True))
    assert less.activations < whole.activations / 6
    assert less.attention == whole.attention // one.layers
    assert less.peak < whole.peak


def test_virtual_tokens_do_without(tiny_model: Path) -> None:
    from picktune_retrain import methods

    recipe = Recipe(method="prefix", dtype="float32")
    model = models.load(tiny_model, recipe)
    methods.prepare(model, recipe)
    with pytest.raises(InvalidInput, match="virtual tokens"):
        recompute_layers(model)
