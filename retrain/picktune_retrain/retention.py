"""After a night: checkpoints that nobody needs any more, each as large as the model, leave the disk."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from picktune_adapters.errors import AdapterError
from picktune_adapters.registry import Registry
from picktune_adapters.retention import removable


def drop_checkpoints(
    registry: Registry, keep: int, *, by: str, note: Callable[[str], None], now: datetime
) -> list[str]:
    """Delete all checkpoints but the newest ``keep``, those that speak, and the one a rollback goes back to.

    Their names and lineage stay on record. What cannot be deleted is noted and left to the next night, as it
    must not fail one that is done. Returns the names of those that went.
    """
    gone = []
    for version in removable(registry, kind="checkpoint", keep=keep):
        try:
            size = registry.size(version.name)
            registry.remove(version.name, by=by, reason=f"the newest {keep} checkpoints are kept", now=now)
        except AdapterError as error:
            note(f"checkpoint {version.name} could not be deleted: {error.message}")
            continue
        note(f"checkpoint {version.name} was deleted ({size / (1 << 30):.2f} GiB): {keep} are kept")
        gone.append(version.name)
    return gone
