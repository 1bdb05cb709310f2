"""Since when an alias names a version, from the registry's history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from picktune_adapters import AliasChange, AliasName


def named_since(history: Sequence[AliasChange], alias: AliasName, name: str) -> datetime | None:
    """When the alias came to name this version, if it still does; ``None`` if it does not."""
    moves = [change for change in history if change.alias == alias]
    return moves[-1].at if moves and moves[-1].after == name else None
