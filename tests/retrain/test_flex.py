"""FlexAttention gives what masked attention gives, and is passed over where it does not work."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from picktune_retrain import forward, models
from picktune_retrain.attention import Layout, Segment, Unpackable, attend_sdpa, kernels
from picktune_retrain.encoding import EncodedSet
from picktune_retrain.flex import attend_flex, block_mask, ends_of
from picktune_retrain.packing import pack
from picktune_retrain.records import Recipe
from torch import Tensor
from torch._higher_order_ops.flex_attention import flex_attention as reference
from torch.nn.attention.flex_attention import _identity

SYSTEM = tuple(range(60))


def one(number: int, prompt: int, *replies: int) -> EncodedSet:
    words = tuple((n + number) % 90 for n in range(prompt))
    said = tuple((number, i, *((i + n) % 90 for n in range(length))) for i, length in enumerate(replies))
    return EncodedSet(slate_id=f"s{number}", prompt=SYSTEM + words, replies=said, chosen=0)


ROWS = {
    "prompt and replies": [one(1, 40, 20, 35, 7, 20)],
    "two sets of a shop": [one(1, 30, 12, 9), one(2, 45, 30, 3, 18)],
    "over a block": [one(3, 150, 60, 50, 40), one(4, 20, 8, 8)],
}
PAIR = Layout((Segment(0, 4), Segment(4, 6, ((0, 4),))))


def inputs(length: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(length)
    return [torch.randn(heads, length, 8, generator=generator) for heads in (4, 2, 2)]


@pytest.mark.parametrize("name", ROWS)
def test_values_are_those_of_masked_attention(name: str) -> None:
    layout = pack(ROWS[name]).layout
    tensors = inputs(layout.segments[-1].stop)
    found = attend_flex(*tensors, layout, 0.3)
    torch.testing.assert_close(found, attend_sdpa(*tensors, layout, 0.3), atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("name", ROWS)
def test_gradients_are_those_of_masked_attention(name: str) -> None:
    layout = pack(ROWS[name]).layout
    length = layout.segments[-1].stop
    mask = block_mask(layout, torch.device("cpu"))
    upstream = torch.randn(length, 4, 8, generator=torch.Generator().manual_seed(1))

    def flex(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        # What the public function refuses on a CPU: the operator that it and its kernels stand for.
        padded = [
            torch.nn.functional.pad(x, (0, 0, 0, mask.seq_lengths[0] - length))[None] for x in (q, k, v)
        ]
        return reference(*padded, _identity, mask.as_tuple(), 0.3, {})[0][0, :, :length].transpose(0, 1)

    gradients = []
    for function in (flex, lambda *x: attend_sdpa(*x, layout, 0.3)):
        leaves = [x.requires_grad_() for x in inputs(length)]
        function(*leaves).backward(upstream)
        gradients.append([leaf.grad for leaf in leaves])
    for ours, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, expected, atol=2e-5, rtol=1e-4)


def test_blocks_that_nothing_sees_are_passed_over() -> None:
    layout = Layout((Segment(0, 128), *(Segment(128 * n, 128 * n + 128, ((0, 128),)) for n in range(1, 4))))
    assert block_mask(layout, torch.device("cpu")).sparsity() == pytest.approx(100 * (1 - 7 / 16))
    assert ends_of(PAIR) == [6] * 4 + [6] * 2


@pytest.mark.parametrize(
    "odd",
    [
        Layout((Segment(0, 4), Segment(4, 6), Segment(6, 8, ((0, 4),)))),  # not in the order of a tree
        Layout((Segment(0, 4), Segment(4, 6, ((0, 2),)))),  # goes on from the midst of a stretch
        Layout((Segment(0, 4), Segment(5, 6, ((0, 4),)))),
    ],
)
def test_a_layout_that_it_cannot_express_is_refused(odd: Layout) -> None:
    with pytest.raises(Unpackable):
        ends_of(odd)


def test_a_gpu_tries_it_first() -> None:
    assert kernels("auto", "cuda") == ("flex", "sdpa")
    assert kernels("auto", "cpu") == ("blocks",)
    assert kernels("flex", "cpu") == ("flex", "blocks")


def test_a_model_scores_with_it_and_trains_without(
    tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = Recipe(dtype="float32", rank=4, attention="flex")
    model = models.load(tiny_model, recipe)
    sets = [replace(a, chosen=1) for a in ROWS["two sets of a shop"]]
    forward.choose_layout(model, sets)
    assert (model.packed, model.kernel, model.written_out) == (True, "flex", False)
    with_flex = torch.cat(forward.policy_log_probs(model, sets, grad=False))
    plain = models.load(tiny_model, Recipe(dtype="float32"))
    forward.choose_layout(plain, sets)
    assert plain.kernel == "blocks"
    torch.testing.assert_close(
        with_flex, torch.cat(forward.policy_log_probs(plain, sets, grad=False)), atol=1e-3, rtol=0
    )

    model = models.load(tiny_model, recipe)
    models.add_adapter(model, recipe)
    with caplog.at_level(logging.WARNING):
        forward.choose_layout(model, sets)
    assert (model.packed, model.kernel) == (True, "blocks")
    assert (
        "attention by flex is not used here, blocks is: FlexAttention does not support backward"
        in caplog.text
    )
    assert forward.policy_log_probs(model, sets)[0].requires_grad
