"""A checkpoint beside the base in the embedded engine: a second set of weights, with a thread of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from picktune_adapters.check_checkpoint import check_checkpoint

from picktune.errors import AdapterCorrupt, EngineDown, EngineError

if TYPE_CHECKING:
    from picktune.engines.local import LocalEngine
    from picktune.engines.network import Network

logger = logging.getLogger("picktune")

GIB = 1 << 30
# Beyond the weights themselves: what a batch keeps of keys and values, and what loading takes for a while.
_ROOM = 1.15


class Beside:
    """An engine for one checkpoint, which ends when it is retired and nobody waits for it any more."""

    def __init__(self, engine: LocalEngine) -> None:
        self._engine = engine
        self._users = 0
        self._retired = False

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return self._engine.waiting

    @asynccontextmanager
    async def use(self) -> AsyncIterator[LocalEngine]:
        """The engine, which stays until the block is left."""
        self._users += 1
        try:
            yield self._engine
        finally:
            self._users -= 1
            await self._end_if_idle()

    async def retire(self) -> None:
        """Let go of the weights once the requests that run are answered."""
        self._retired = True
        await self._end_if_idle()

    async def close(self) -> None:
        """End now; whoever still waits gets ``EngineDown``."""
        await self._engine.close()

    async def _end_if_idle(self) -> None:
        if self._retired and not self._users:
            await asyncio.shield(self._engine.close())


async def start_beside(
    name: str, folder: Path, network: Network, make: Callable[[Path], LocalEngine]
) -> Beside:
    """Load a checkpoint beside the base's ``network``, in an engine that ``make`` makes of its folder.

    Raises ``AdapterCorrupt`` if it is not sound or has not the shape of the base, and ``EngineError`` if
    there is no memory for a second set of weights.
    """
    sound = await asyncio.to_thread(check_checkpoint, folder, base=network.folder)
    engine = make(folder)
    size = sound.parameters * (2 if engine.dtype == "bfloat16" else 4)
    free = network.free_memory()
    if free is not None and size * _ROOM > free:
        raise EngineError(
            f"checkpoint {name!r} takes {size * _ROOM / GIB:.2f} GiB beside the base, and "
            f"{free / GIB:.2f} are free; give the server more memory, take another checkpoint out of "
            f"service, or serve the folder alone with: picktune serve --model {folder}"
        )
    try:
        await engine.start()
    except EngineDown as error:
        raise AdapterCorrupt(f"checkpoint {name!r} does not load: {error.message}") from error
    logger.info("checkpoint %s takes %.2f GiB beside the base", name, size / GIB)
    return Beside(engine)
