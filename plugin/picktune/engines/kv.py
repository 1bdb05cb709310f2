"""The keys and values of a batch: grown in place, and rebuilt when rows come and go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

_ROOM = 64


class RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer's keys and values, (rows, heads, tokens, size), with spare room for further tokens.

    transformers' own layer copies everything that it holds for every token; this one, once in 64.
    """

    keys: Any
    values: Any

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._buffers: tuple[Tensor, Tensor] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append keys and values and return all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        past = self.get_seq_length()
        length = past + key_states.shape[2]
        if self._buffers is None or length > self._buffers[0].shape[2]:
            grown = tuple(
                _empty(states, states.shape[0], length + _ROOM) for states in (key_states, value_states)
            )
            if past:
                grown[0][:, :, :past] = self.keys
                grown[1][:, :, :past] = self.values
            self._buffers = (grown[0], grown[1])
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, past:length] = states
        self.keys, self.values = (buffer[:, :, :length] for buffer in self._buffers)
        return self.keys, self.values

    def gather(self, sources: Sequence[tuple[RoomyLayer, Tensor, Tensor]], rows: int, length: int) -> None:
        """Fill this new layer from others: of each, which rows to take, and which rows they become here.

        What they hold is aligned to the right end, at ``length`` tokens.
        """
        first = sources[0][0]
        buffers = []
        for part in ("keys", "values"):
            buffer = _empty(getattr(first, part), rows, length + _ROOM)
            # What is masked still enters the sums, times zero: it must be finite.
            buffer[:, :, :length] = 0
            for layer, take, put in sources:
                states = getattr(layer, part)
                kept = min(length, states.shape[2])
                buffer[put, :, length - kept : length] = states[take, :, states.shape[2] - kept :]
            buffers.append(buffer)
        self.lazy_initialization(first.keys, first.values)
        self._buffers = (buffers[0], buffers[1])
        self.keys, self.values = (buffer[:, :, :length] for buffer in buffers)


def new_cache(config: Any) -> DynamicCache:
    """An empty cache for a model of this configuration, with roomy layers if all of its layers are plain."""
    cache = DynamicCache(config=config)
    if cache.layers and all(type(layer) is DynamicLayer for layer in cache.layers):
        cache.layers = [RoomyLayer() for _ in cache.layers]
    return cache


def is_elastic(cache: DynamicCache) -> bool:
    """Whether rows can be taken out of the cache and put in while it is in use."""
    return bool(cache.layers) and all(isinstance(layer, RoomyLayer) for layer in cache.layers)


def gather(sources: Sequence[tuple[DynamicCache, Tensor, Tensor]], rows: int, length: int) -> DynamicCache:
    """One cache of ``rows`` rows and ``length`` tokens out of elastic ones: (cache, rows taken, places)."""
    merged: Any = DynamicCache()
    merged.layers = [RoomyLayer() for _ in sources[0][0].layers]
    for i, layer in enumerate(merged.layers):
        parts: list[Any] = [(cache.layers[i], take, put) for cache, take, put in sources]
        layer.gather(parts, rows, length)
    whole: DynamicCache = merged
    return whole


def _empty(like: Tensor, rows: int, length: int) -> Tensor:
    return torch.empty((rows, like.shape[1], length, like.shape[3]), dtype=like.dtype, device=like.device)
