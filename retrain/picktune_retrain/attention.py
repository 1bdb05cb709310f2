"""Attention over a packed row: paths that share their beginnings and otherwise do not see one another.

The row is never compared with itself as a whole. Its queries fall into blocks. A block sees all keys before
it on its own path, and itself causally, so that little time goes into pairs that a mask would throw away.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

NAME = "picktune_packed"
_BLOCK = 192


class Unpackable(Exception):
    """The model's attention does something that a packed row cannot express."""


Stretch = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Segment:
    """Tokens ``start:stop`` of a row, which go on from the stretches ``context`` before them."""

    start: int
    stop: int
    context: tuple[Stretch, ...] = ()

    @property
    def seen(self) -> tuple[Stretch, ...]:
        """The context with the segment itself: what its last token sees."""
        *before, last = (*self.context, (self.start, self.start))
        if before and before[-1][1] == self.start:
            last = before.pop()
        return (*before, (last[0], self.stop))

    def blocks(self, size: int) -> Iterator[Segment]:
        """The segment in pieces of at most ``size`` tokens, each going on from the ones before it."""
        for start in range(self.start, self.stop, size):
            before = Segment(self.start, start, self.context).seen if start > self.start else self.context
            yield Segment(start, min(start + size, self.stop), before)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a row is packed: its segments, in order and without gaps."""

    segments: tuple[Segment, ...]

    @property
    def longest(self) -> int:
        """The number of tokens on the longest path."""
        return max(sum(b - a for a, b in segment.seen) for segment in self.segments)

    def blocks(self, size: int = _BLOCK) -> list[Segment]:
        """The row's queries in pieces that are small enough for little to be computed in vain."""
        return [block for segment in self.segments for block in segment.blocks(size)]


def install() -> str:
    """Make the packed attention known to transformers, and return the name that it goes by there."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, packed_attention)
    return NAME


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    layout: Layout | None = None,
    kernel: str = "blocks",
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers calls it: query [1, H, L, D], key and value [1, G, L, D] -> [1, L, H, D].

    ``layout`` says how the row is packed, ``kernel`` what computes it: ``blocks`` on a CPU, ``sdpa``, or
    ``flex``. Raises ``Unpackable`` where the model wants what is not done here:
    windows shorter than a path, capped or sunk scores, dropout, several rows.
    """
    if layout is None or query.shape[0] != 1 or dropout or (sliding_window or math.inf) < layout.longest:
        raise Unpackable(
            f"layout {layout}, rows {query.shape[0]}, dropout {dropout}, window {sliding_window}"
        )
    if odd := [name for name in ("softcap", "s_aux", "position_bias") if kwargs.get(name) is not None]:
        raise Unpackable(f"attention with {', '.join(odd)}")
    if (prefix := module.__dict__.get("picktune_prefix")) is not None:
        # The row begins with virtual tokens, whose keys and values are learned.
        n = prefix[0].shape[1]
        key = torch.cat([prefix[0][None], key[:, :, n:]], dim=2)
        value = torch.cat([prefix[1][None], value[:, :, n:]], dim=2)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    return _function(kernel)(query[0], key[0], value[0], layout, scaling)[None], None


def kernels(wanted: str, device: str) -> tuple[str, ...]:
    """What may compute packed attention on a device, in the order in which to try it."""
    own = ("blocks",) if device == "cpu" else ("sdpa",)
    first = ("flex",) if device == "cuda" else own
    return tuple(dict.fromkeys((*(first if wanted == "auto" else (wanted,)), *own)))


def _function(kernel: str) -> Any:
    if kernel == "flex":
        from picktune_retrain.flex import attend_flex

        return attend_flex
    return _BlockAttention.apply if kernel == "blocks" else attend_sdpa


def attend_sdpa(query: Tensor, key: Tensor, value: Tensor, layout: Layout, scaling: float) -> Tensor:
    """The same by PyTorch's own kernels: those on a GPU are faster than blocks, those on a CPU slower."""
    length = query.shape[1]
    mask = torch.zeros(length, length, dtype=torch.bool, device=query.device)
    for segment in layout.segments:
        for start, stop in segment.seen:
            mask[segment.start : segment.stop, start:stop] = True
    mask &= torch.ones_like(mask).tril()
    attended = torch.nn.functional.scaled_dot_product_attention(
        query[None], key[None], value[None], attn_mask=mask, scale=scaling, enable_gqa=True
    )
    return attended[0].transpose(0, 1)


class _BlockAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, layout: Layout, scaling: float
    ) -> Tensor:
        output, weights = attend(query, key, value, layout, scaling)
        ctx.save_for_backward(query, key, value, *weights)
        ctx.layout, ctx.scaling = layout, scaling
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, *weights = ctx.saved_tensors
        upstream = gradients[0].transpose(0, 1)
        return (
            *attend_backward(upstream, query, key, value, weights, ctx.layout, ctx.scaling),
            None,
            None,
        )


def attend(
    query: Tensor, key: Tensor, value: Tensor, layout: Layout, scaling: float
) -> tuple[Tensor, list[Tensor]]:
    """softmax(q kᵀ · scaling) v, [H, L, D] and twice [G, L, D] -> [L, H, D], with the weights of each block.

    The heads that share a key are rows of one product. On a CPU this runs at the speed of the
    matrix products, forwards twice and backwards some five times as fast as PyTorch's own attention.
    """
    q = _fold(query, len(key), scaling)
    output = torch.empty_like(q)
    saved = []
    for block in layout.blocks():
        scores = torch.bmm(_rows(q, block), _gather(key, block).transpose(1, 2))
        _hide_future(scores, block)
        weights = torch.softmax(scores, -1)
        torch.bmm(weights, _gather(value, block), out=_rows(output, block))
        saved.append(weights)
    return output.transpose(0, 1).reshape(query.shape[1], *query.shape[::2]), saved


def attend_backward(
    upstream: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    saved: Sequence[Tensor],
    layout: Layout,
    scaling: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of query, key and value, shaped like them, from that of the output [H, L, D]."""
    q = _fold(query, len(key), scaling)
    g = _fold(upstream, len(key))
    d_query = torch.empty_like(q)
    # Every block adds to the prompt's keys and values: sums of that many terms are kept in fp32.
    d_key = torch.zeros(key.shape, dtype=torch.float32)
    d_value = torch.zeros(value.shape, dtype=torch.float32)
    for block, weights in zip(layout.blocks(), saved, strict=True):
        _scatter(torch.bmm(weights.transpose(1, 2), _rows(g, block)), d_value, block)
        d_scores = torch.bmm(_rows(g, block), _gather(value, block).transpose(1, 2))
        d_scores = torch._softmax_backward_data(d_scores, weights, -1, weights.dtype)
        torch.bmm(d_scores, _gather(key, block), out=_rows(d_query, block))
        _scatter(torch.bmm(d_scores.transpose(1, 2), _rows(q, block)), d_key, block)
    d_query = d_query.mul_(scaling).transpose(1, 2).reshape(query.shape)
    return d_query, d_key.to(key.dtype), d_value.to(value.dtype)


def _fold(x: Tensor, groups: int, factor: float = 1.0) -> Tensor:
    """x [H, L, D] · factor, the heads that share a key side by side for every token: [G, L, H/G, D]."""
    folded = x.reshape(groups, -1, *x.shape[1:]).transpose(1, 2)
    return torch.mul(folded, factor, out=x.new_empty(folded.shape))


def _rows(folded: Tensor, block: Segment) -> Tensor:
    """The block's rows of what was folded, as a view: [G, n · H/G, D]."""
    return folded[:, block.start : block.stop].flatten(1, 2)


def _gather(x: Tensor, block: Segment) -> Tensor:
    stretches = [x[:, start:stop] for start, stop in block.seen]
    return stretches[0] if len(stretches) == 1 else torch.cat(stretches, dim=1)


def _scatter(x: Tensor, into: Tensor, block: Segment) -> None:
    offset = 0
    for start, stop in block.seen:
        into[:, start:stop] += x[:, offset : offset + stop - start]
        offset += stop - start


def _hide_future(scores: Tensor, block: Segment) -> None:
    n = block.stop - block.start
    scores.view(len(scores), n, -1, scores.shape[-1])[..., -n:] += _future(n, scores.dtype)


@cache
def _future(n: int, dtype: torch.dtype) -> Tensor:
    return torch.full((n, n), -math.inf, dtype=dtype).triu(1)[:, None]
