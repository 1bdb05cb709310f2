"""Keys and values of earlier prompts, for prompts that begin alike: most share their system message."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from picktune.engines.kv import Entry
    from picktune.engines.lora import Lora

# A shorter beginning saves less than looking after it costs.
SHORTEST = 16


class PrefixStore:
    """The newest prompts with their keys and values, by adapter, in at most ``limit`` bytes.

    What one adapter computed is never given to another, nor to the base.
    """

    def __init__(self, limit: int = 128 * 2**20) -> None:
        self._limit = limit
        self._size = 0
        self._kept: OrderedDict[tuple[Lora | None, tuple[int, ...]], Entry] = OrderedDict()

    def longest(self, adapter: Lora | None, prompt: tuple[int, ...]) -> tuple[int, Entry | None]:
        """How many tokens of the prompt's beginning are known, and where; never all of the prompt."""
        best, found = 0, None
        for key in self._kept:
            if key[0] is adapter:
                length = min(shared(key[1], prompt), len(prompt) - 1)
                if length > best:
                    best, found = length, key
        if found is None or best < SHORTEST:
            return 0, None
        self._kept.move_to_end(found)
        return best, self._kept[found]

    def keep(self, adapter: Lora | None, prompt: tuple[int, ...], layers: Any, row: int) -> None:
        """Keep a prompt whose keys and values end the row's part of ``layers``."""
        for key in [key for key in self._kept if key[0] is adapter]:
            if key[1][: len(prompt)] == prompt:
                return
            if prompt[: len(key[1])] == key[1]:
                self._drop(key)
        entry = [
            (layer.keys[row, :, -len(prompt) :].clone(), layer.values[row, :, -len(prompt) :].clone())
            for layer in layers
        ]
        self._kept[adapter, prompt] = entry
        self._size += _bytes(entry)
        while self._size > self._limit:
            self._drop(next(iter(self._kept)))

    def forget(self, adapter: Lora) -> None:
        """Drop what an adapter computed."""
        for key in [key for key in self._kept if key[0] is adapter]:
            self._drop(key)

    def _drop(self, key: tuple[Lora | None, tuple[int, ...]]) -> None:
        self._size -= _bytes(self._kept.pop(key))


def shared(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """How many tokens both prompts begin with."""
    if one[:SHORTEST] != other[:SHORTEST]:
        return 0
    differ = (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differ, min(len(one), len(other)))


def _bytes(entry: Entry) -> int:
    return sum(states.numel() * states.element_size() for pair in entry for states in pair)
