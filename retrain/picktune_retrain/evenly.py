"""A few out of many, evenly spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def evenly(items: Sequence[T], count: int) -> list[T]:
    """At most ``count`` of the items in their order, evenly spread, the first and the last among them."""
    wanted = min(count, len(items))
    return [items[round(i * (len(items) - 1) / max(wanted - 1, 1))] for i in range(wanted)]
