"""The keys and values of a batch: grown in place, and rebuilt when rows come and go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

_ROOM = 64

# One row's keys and values, each of shape (heads, tokens, size), of every layer.
Entry = list[tuple[Tensor, Tensor]]


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
        past = self.get_seq_length()
        length = past + key_states.shape[2]
        if self._buffers is None or length > self._buffers[0].shape[2]:
            old = (self.keys, self.values)
            self._make_room((key_states, value_states), key_states.shape[0], length)
            for buffer, states in zip(self._buffers or (), old, strict=True):
                if past:
                    buffer[:, :, :past] = states
        for buffer, states in zip(self._buffers or (), (key_states, value_states), strict=True):
            buffer[:, :, past:length] = states
        self._show(length)
        return self.keys, self.values

    def gather(self, sources: Sequence[tuple[RoomyLayer, Tensor, Tensor]], rows: int, length: int) -> None:
        """Fill this new layer from others: of each, which rows to take, and which rows they become here.

        What they hold is aligned to the right end, at ``length`` tokens.
        """
        self._make_room((sources[0][0].keys, sources[0][0].values), rows, length)
        for buffer, part in zip(self._buffers or (), ("keys", "values"), strict=True):
            # What is masked still enters the sums, times zero: it must be finite.
            buffer[:, :, :length] = 0
            for layer, take, put in sources:
                states = getattr(layer, part)
                kept = min(length, states.shape[2])
                buffer[put, :, length - kept : length] = states[take, :, states.shape[2] - kept :]
        self._show(length)

    def begin(self, known: Sequence[tuple[int, tuple[Tensor, Tensor] | None]]) -> None:
        """Fill this new layer with known beginnings: of each row, how many tokens, and where they are."""
        length = max(count for count, _ in known)
        keys, values = next(pair for _, pair in known if pair is not None)
        self._make_room((keys[None], values[None]), len(known), length)
        for part, buffer in enumerate(self._buffers or ()):
            buffer[:, :, :length] = 0
            for row, (count, pair) in enumerate(known):
                if pair is not None and count:
                    buffer[row, :, length - count : length] = pair[part][:, :count]
        self._show(length)

    def _make_room(self, like: tuple[Tensor, Tensor], rows: int, length: int) -> None:
        if not self.is_initialized:
            self.lazy_initialization(*like)
        keys, values = (
            torch.empty(
                (rows, states.shape[1], length + _ROOM, states.shape[3]),
                dtype=states.dtype,
                device=states.device,
            )
            for states in like
        )
        self._buffers = (keys, values)

    def _show(self, length: int) -> None:
        self.keys, self.values = (buffer[:, :, :length] for buffer in self._buffers or ())


def new_cache(config: Any) -> DynamicCache:
    """An empty cache for a model of this configuration, with roomy layers if all of its layers are plain."""
    cache = DynamicCache(config=config)
    if cache.layers and all(type(layer) is DynamicLayer for layer in cache.layers):
        cache.layers = [RoomyLayer() for _ in cache.layers]
    return cache


def is_elastic(cache: DynamicCache) -> bool:
    """Whether rows can be taken out of the cache and put in while it is in use."""
    return bool(cache.layers) and all(isinstance(layer, RoomyLayer) for layer in cache.layers)


def begin(cache: Any, known: Sequence[tuple[int, Entry | None]]) -> None:
    """Fill an empty elastic cache with known beginnings: of each row, how many tokens, and where they are."""
    for i, layer in enumerate(cache.layers):
        layer.begin([(count, entry[i] if entry else None) for count, entry in known])


def gather(sources: Sequence[tuple[DynamicCache, Tensor, Tensor]], rows: int, length: int) -> DynamicCache:
    """One cache of ``rows`` rows and ``length`` tokens out of elastic ones: (cache, rows taken, places)."""
    merged: Any = DynamicCache()
    merged.layers = [RoomyLayer() for _ in sources[0][0].layers]
    for i, layer in enumerate(merged.layers):
        parts: list[Any] = [(cache.layers[i], take, put) for cache, take, put in sources]
        layer.gather(parts, rows, length)
    whole: DynamicCache = merged
    return whole
