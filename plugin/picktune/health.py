"""Whether the parts of a running Picktune work, for the machines that watch over it."""

from __future__ import annotations

import asyncio
import time

from anyio import to_thread
from msgspec import field
from picktune_adapters import Aliases
from picktune_adapters.registry import Registry

from picktune import __version__
from picktune.engines.base import Engine, ReplicaState, Replicated
from picktune.errors import PicktuneError
from picktune.follower import Follower
from picktune.keeper import Keeper
from picktune.log.base import Log
from picktune.records import Record


class Check(Record, frozen=True, kw_only=True):
    """Whether one part works, and if not, why."""

    ok: bool
    reason: str | None = None


class Readiness(Record, frozen=True, kw_only=True):
    """Whether all parts work. ``adapters`` are those that speak now; ``problems`` those that cannot, and why.

    ``replicas`` are the servers behind the engine, if it has any.

    ``unkept`` counts the slates and exposures that wait for the log to come back. ``stopping``: all may work,
    but no new slates are drawn any more. ``configuration`` says why changed settings could not be read.
    """

    ready: bool
    version: str
    engine: Check
    log: Check
    registry: Check
    adapters: Aliases
    problems: dict[str, str] = field(default_factory=dict)
    replicas: tuple[ReplicaState, ...] = ()
    unkept: int = 0
    stopping: bool = False
    configuration: str | None = None


class Liveness(Record, frozen=True, kw_only=True):
    """The process answers."""

    ok: bool = True
    version: str = __version__


class Health:
    """Asks the parts whether they work, at most once a second, for anyone may ask it.

    ``log_seconds`` is how long the log took for its last write that succeeded, or ``None`` before the first.
    """

    def __init__(
        self, engine: Engine, log: Log, registry: Registry, follower: Follower, keeper: Keeper
    ) -> None:
        self._engine = engine
        self._log = log
        self._registry = registry
        self._follower = follower
        self._keeper = keeper
        self.log_seconds: float | None = None
        self._asking: tuple[float, asyncio.Task[Readiness]] | None = None

    async def readiness(self) -> Readiness:
        """Whether a slate could be drawn and kept now."""
        clock = asyncio.get_running_loop().time()
        if self._asking is None or self._asking[0] <= clock:
            self._asking = (clock + 1.0, asyncio.create_task(self._ask()))
        return await asyncio.shield(self._asking[1])

    async def _ask(self) -> Readiness:
        engine, log, registry = await asyncio.gather(
            self._check_engine(), self._check_log(), self._check_registry()
        )
        return Readiness(
            ready=engine.ok and log.ok and registry.ok,
            version=__version__,
            engine=engine,
            log=log,
            registry=registry,
            adapters=self._follower.aliases,
            problems=dict(self._follower.problems),
            replicas=self._engine.replicas if isinstance(self._engine, Replicated) else (),
            unkept=len(self._keeper),
        )

    async def _check_engine(self) -> Check:
        if self._follower.engine_problem is not None:
            return Check(ok=False, reason=self._follower.engine_problem)
        try:
            ok = await self._engine.ready()
        except PicktuneError as error:
            return Check(ok=False, reason=error.message)
        return Check(ok=ok, reason=None if ok else "the engine does not answer")

    async def _check_log(self) -> Check:
        begin = time.perf_counter()
        try:
            await self._log.check()
        except PicktuneError as error:
            return Check(ok=False, reason=error.message)
        self.log_seconds = time.perf_counter() - begin
        return Check(ok=True)

    async def _check_registry(self) -> Check:
        try:
            await to_thread.run_sync(self._registry.aliases)
        except (PicktuneError, OSError) as error:
            return Check(ok=False, reason=str(error))
        return Check(ok=True)
