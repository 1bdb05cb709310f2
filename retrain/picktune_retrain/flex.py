"""The attention of packed rows by PyTorch's FlexAttention, whose kernels pass over what a mask hides.

Dong et al. 2024, *Flex Attention: A Programming Model for Generating Optimized Attention Kernels*. The mask
is one number for each token: where what goes on from its stretch ends. A row stands in the order of its tree,
so that a token sees those before it that have not ended: the prompt, and its own reply so far.
"""

from __future__ import annotations

import warnings
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from picktune_retrain.attention import Layout, Unpackable

# A kernel is compiled for each length: rows are filled up to few of them, with blocks that are passed over.
_SHORTEST = 128


def attend_flex(query: Tensor, key: Tensor, value: Tensor, layout: Layout, scaling: float) -> Tensor:
    """softmax(q kᵀ · scaling) v under the layout's mask: [H, L, D] and twice [G, L, D] -> [L, H, D].

    Compiled on a GPU; elsewhere as PyTorch does it without, which has no gradient on a CPU. Raises
    ``Unpackable`` for a layout that is no tree in order.
    """
    length = query.shape[1]
    mask = block_mask(layout, query.device)
    more = mask.seq_lengths[0] - length
    q, k, v = (torch.nn.functional.pad(x, (0, 0, 0, more))[None] for x in (query, key, value))
    attended: Tensor = _kernel(query.device.type)(q, k, v, block_mask=mask, scale=scaling, enable_gqa=True)
    return attended[0, :, :length].transpose(0, 1)


@lru_cache(maxsize=256)
def block_mask(layout: Layout, device: torch.device) -> BlockMask:
    """Which blocks of a row are computed at all; made once for a row, whatever number of layers asks."""
    ends = ends_of(layout)
    length = max(_SHORTEST, 1 << (len(ends) - 1).bit_length())
    # What a row is filled up with ends before it begins: nothing sees it.
    until = torch.tensor(ends + [0] * (length - len(ends)), device=device)

    def visible(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key <= query) & (query < until[key])

    return create_block_mask(visible, None, None, length, length, device=str(device))


def ends_of(layout: Layout) -> list[int]:
    """For each token of a row, the place from which on nothing sees it.

    Raises ``Unpackable`` unless all between a stretch and the last that goes on from it go on from it too.
    """
    segments = layout.segments
    for before, after in pairwise(segments):
        if before.stop != after.start:
            raise Unpackable(f"a gap between {before.stop} and {after.start}")
    ends: list[int] = []
    for i, one in enumerate(segments):
        stop, over = one.stop, False
        for other in segments[i + 1 :]:
            shared = sum(max(0, min(b, one.stop) - max(a, one.start)) for a, b in other.context)
            if shared not in (0, one.stop - one.start) or (shared and over):
                raise Unpackable(f"tokens {one.start} to {one.stop} are not gone on from in order")
            over = over or not shared
            stop = other.stop if shared else stop
        ends += [stop] * (one.stop - one.start)
    return ends


@cache
def _kernel(device: str) -> Any:
    if device != "cpu":
        return torch.compile(flex_attention, dynamic=False)

    def uncompiled(*tensors: Any, **options: Any) -> Any:
        with warnings.catch_warnings():
            # It says that it is slow so. On a CPU it is there to be compared with.
            warnings.filterwarnings("ignore", message="flex_attention called without torch.compile")
            return flex_attention(*tensors, **options)

    return uncompiled
