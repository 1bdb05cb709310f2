"""Which versions may be deleted: old ones that nobody speaks with and that no rollback would go back to."""

from __future__ import annotations

from datetime import datetime

from picktune_adapters import aliases as moves
from picktune_adapters.records import AdapterKind, AdapterVersion
from picktune_adapters.registry import Registry


def kept_names(registry: Registry) -> set[str]:
    """The champion, the challenger, and the champion to whom a rollback would go back."""
    aliases = registry.aliases()
    there = {one.name for one in registry.versions()}
    before = moves.previous_champion(registry.history(), there.__contains__)
    return {name for name in (aliases.champion, aliases.challenger, before) if name is not None}


def removable(
    registry: Registry, *, kind: AdapterKind | None, keep: int, before: datetime | None = None
) -> list[AdapterVersion]:
    """The versions of a kind (``None``: of any) that may go, oldest first.

    The newest ``keep`` of them stay, and those made from the moment ``before`` on, and ``kept_names``.
    """
    found = [one for one in registry.versions() if kind in (None, one.kind)]
    found = found[: len(found) - keep] if keep else found
    needed = kept_names(registry)
    return [one for one in found if one.name not in needed and (before is None or one.created_at < before)]
