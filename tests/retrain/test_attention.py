"""Packed attention is plain attention under the mask that keeps replies apart, forwards and backwards."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from picktune_retrain.attention import Layout, Segment, Unpackable, attend_sdpa, packed_attention
from torch import Tensor, nn


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """A tree of segments: each goes on from one before it, or from nothing."""
    segments: list[Segment] = []
    for length in draw(st.lists(st.integers(1, 150), min_size=1, max_size=5)):
        parents = [(), *(segment.seen for segment in segments)]
        start = segments[-1].stop if segments else 0
        segments.append(Segment(start, start + length, draw(st.sampled_from(parents))))
    return Layout(tuple(segments))


def prompt_and_replies(prompt: int, *replies: int) -> Layout:
    segments = [Segment(0, prompt)]
    for length in replies:
        start = segments[-1].stop
        segments.append(Segment(start, start + length, ((0, prompt),)))
    return Layout(tuple(segments))


def mask_of(layout: Layout) -> Tensor:
    """What the architecture says, token by token: the path so far."""
    length = layout.segments[-1].stop
    mask = torch.zeros(length, length, dtype=torch.bool)
    for segment in layout.segments:
        for query in range(segment.start, segment.stop):
            for start, stop in (*segment.context, (segment.start, query + 1)):
                mask[query, start:stop] = True
    return mask


def plain(query: Tensor, key: Tensor, value: Tensor, layout: Layout) -> Tensor:
    repeat = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeat, 1), value.repeat_interleave(repeat, 1)
    scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])
    weights = scores.masked_fill(~mask_of(layout), -math.inf).softmax(-1)
    return (weights @ value).transpose(1, 2)


def packed(query: Tensor, key: Tensor, value: Tensor, layout: Layout) -> Tensor:
    return packed_attention(nn.Identity(), query, key, value, None, layout=layout)[0]


def on_gpu(query: Tensor, key: Tensor, value: Tensor, layout: Layout) -> Tensor:
    return attend_sdpa(query[0], key[0], value[0], layout, query.shape[-1] ** -0.5)[None]


@pytest.mark.parametrize("attend", [packed, on_gpu])
@given(layout=layouts(), seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_values_and_gradients_are_those_of_masked_attention(attend, layout: Layout, seed: int) -> None:
    length = layout.segments[-1].stop
    generator = torch.Generator().manual_seed(seed)
    inputs = [torch.randn(1, heads, length, 8, generator=generator) for heads in (4, 2, 2)]
    upstream = torch.randn(1, length, 4, 8, generator=generator)
    results = []
    for function in (attend, plain):
        leaves = [x.clone().requires_grad_() for x in inputs]
        output = function(*leaves, layout)
        output.backward(upstream)
        results.append((output.detach(), *(leaf.grad for leaf in leaves)))
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, atol=2e-5, rtol=1e-4)


def test_what_one_reply_says_does_not_reach_another() -> None:
    layout = prompt_and_replies(10, 5, 7, 3)
    torch.manual_seed(1)
    query, key, value = (torch.randn(1, 4, 25, 8) for _ in range(3))
    before = packed(query, key, value, layout)
    key[:, :, 15:22] += 3.0
    value[:, :, 15:22] -= 2.0
    after = packed(query, key, value, layout)
    changed = (before != after).any(-1).any(-1)[0].nonzero().flatten().tolist()
    assert changed == list(range(15, 22))


@pytest.mark.parametrize(
    "odd", [{"sliding_window": 12}, {"softcap": 30.0}, {"dropout": 0.1}, {"layout": None}]
)
def test_what_it_cannot_express_is_refused(odd: dict[str, object]) -> None:
    layout = prompt_and_replies(10, 5, 7)
    query = torch.randn(1, 2, 22, 8)
    with pytest.raises(Unpackable):
        packed_attention(nn.Identity(), query, query, query, None, **{"layout": layout} | odd)
