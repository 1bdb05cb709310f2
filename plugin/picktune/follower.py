"""Keeps the engine at work and serving the adapters that the registry's aliases name, without a restart."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from anyio import to_thread
from picktune_adapters import AdapterVersion, Aliases
from picktune_adapters.errors import AdapterCorrupt, AdapterNotFound
from picktune_adapters.kinds import telling_file
from picktune_adapters.registry import Registry

from picktune.engines.base import Engine, Replicated
from picktune.errors import ArmUnsound, EngineBusy, EngineDown, EngineError, LogUnavailable, PicktuneError
from picktune.log.base import Log
from picktune.rollout import Candidacy, check_arms, roll_out

logger = logging.getLogger("picktune")

LONGEST_DELAY = 30.0
NEAR_DELAY = 4.0


class Follower:
    """Starts the engine, again and again until it runs, then follows the aliases every ``poll`` seconds.

    An adapter speaks only when its files are what was registered, the engine has loaded it, and the base's
    replies beside it are the base's own. Where one of these fails, whoever spoke before goes on speaking and
    ``problems`` says why; ``refusals`` counts such attempts by the error's code. Yet nobody speaks on whom a
    rollback left, whose files are gone, or who no longer is what it says, which is looked at every
    ``integrity`` seconds while slates of several arms are drawn (0: never). An adapter that speaks no more
    stays loaded for ``grace`` seconds, so that slates that are being drawn can finish.
    """

    def __init__(
        self,
        engine: Engine,
        registry: Registry,
        log: Log,
        *,
        poll: float,
        grace: float,
        integrity: float = 0.0,
        now: Callable[[], datetime],
    ) -> None:
        self.aliases = Aliases()
        self.problems: dict[str, str] = {}
        self.refusals: Counter[str] = Counter()
        self.started = asyncio.Event()
        self.engine_problem: str | None = "the engine is starting; try again in a moment"
        self.registry_problem: str | None = None
        self._engine = engine
        self._registry = registry
        self._log = log
        self._poll = poll
        self._grace = grace
        self._now = now
        self._delay = poll
        self._checked: dict[str, AdapterVersion] = {}
        self._unlogged: list[AdapterVersion] = []
        self._logged_aliases: Aliases | None = None
        self._retired: dict[str, float] = {}
        self._retry_at: dict[str, float] = {}
        self._integrity = integrity
        self._looked_at: dict[str, float] = {}
        self._mixed = False
        self._usable: set[str] = set()
        self._silenced: set[str] = set()
        self._stamp: object = None

    async def run(self) -> None:
        """Follow until cancelled; nothing that goes wrong ends it."""
        while True:
            try:
                await self.step()
            except Exception:
                logger.exception("following the adapters failed; trying again")
            await asyncio.sleep(self._poll if self.engine_problem is None else self._delay)

    async def step(self) -> None:
        """One look: start the engine if it does not run, and serve what the registry names now."""
        if self.engine_problem is not None and not await self._start():
            return
        wanted = await self._wanted()
        if wanted is None:
            return
        try:
            loaded = set(await self._engine.loaded())
        except EngineError:
            return  # readiness asks the engine itself and says so
        names = [name for name in (wanted.champion, wanted.challenger) if name]
        # What is still loaded can speak at once when an alias moves back to it.
        self._usable = {name for name in self._checked if name in loaded} - self._silenced
        for name in names:
            (self._usable.add if await self._take(name, loaded) else self._usable.discard)(name)
        # An alias may have moved while an adapter was looked at.
        await self._obey()
        self.problems = {name: why for name, why in self.problems.items() if name in names}
        await self._tell_log()
        await self._retire(loaded | self._usable)

    async def current(self) -> Aliases:
        """The adapters that speak now; an alias that was moved back a moment ago is obeyed."""
        if self.engine_problem is None and self._registry.stamp() != self._stamp:
            await self._obey()
        return self.aliases

    def drew(self, kinds: int) -> None:
        """A slate of so many kinds of arms was drawn."""
        self._mixed = self._mixed or kinds > 1

    async def _obey(self) -> None:
        """Let those speak whom the registry names and who can; where one cannot, who spoke before goes on."""
        stamp = self._registry.stamp()
        wanted = await self._wanted()
        if wanted is None:
            return
        gone = await self._rolled_back()
        if gone is None:
            return
        self._stamp = stamp
        served = Aliases(
            champion=self._choose(wanted.champion, self.aliases.champion, gone),
            challenger=self._choose(wanted.challenger, self.aliases.challenger, gone),
        )
        if served.challenger is not None and served.challenger == served.champion:
            served = Aliases(champion=served.champion)
        if served != self.aliases:
            logger.info("serving champion %s, challenger %s", served.champion, served.challenger)
        self.aliases = served

    async def _rolled_back(self) -> set[str] | None:
        """From whom the latest move of each alias went back."""
        try:
            history = await to_thread.run_sync(self._registry.history)
        except (PicktuneError, OSError):
            return None
        latest = {change.alias: change for change in history}.values()
        return {change.before for change in latest if change.rollback and change.before}

    async def _start(self) -> bool:
        try:
            await self._engine.start()
        except Exception as error:
            problem = (
                error.message if isinstance(error, PicktuneError) else f"{type(error).__name__}: {error}"
            )
            if problem != self.engine_problem:
                logger.warning("the engine is down: %s", problem)
            self.engine_problem = problem
            # To look for a server costs nothing; to load a model that does not load does.
            longest = NEAR_DELAY if isinstance(self._engine, Replicated) else LONGEST_DELAY
            self._delay = min(self._delay * 2, max(longest, self._poll))
            return False
        logger.info("the engine answers")
        self.engine_problem = None
        self.started.set()
        self._delay = self._poll
        return True

    async def _wanted(self) -> Aliases | None:
        try:
            aliases = await to_thread.run_sync(self._registry.aliases)
        except (PicktuneError, OSError) as error:
            if self.registry_problem is None:
                logger.warning("the registry cannot be read: %s", error)
            self.registry_problem = str(error)
            return None
        self.registry_problem = None
        return aliases

    async def _take(self, name: str, loaded: set[str]) -> bool:
        """Whether the engine serves the adapter, after loading and checking it where that is still to do."""
        clock = asyncio.get_running_loop().time()
        if self._retry_at.get(name, 0.0) > clock:
            return False
        try:
            if name in self._checked and name in loaded and name not in self._silenced:
                await self._look_again(name, clock)
                return True
            one = await to_thread.run_sync(Candidacy.read, self._registry, name)
            await roll_out(self._engine, one)
        except (PicktuneError, OSError) as error:
            if self.problems.get(name) != str(error):
                logger.error("adapter %s is not served: %s", name, error)
            self.problems[name] = str(error)
            self.refusals[error.code if isinstance(error, PicktuneError) else "os_error"] += 1
            if not isinstance(error, EngineBusy | EngineDown):
                # Hashing a broken adapter at every look would cost the server more than it could find out.
                self._retry_at[name] = clock + LONGEST_DELAY
            # What is corrupt or not what it says must not speak on; what merely cannot be reached may.
            if name in self._checked and isinstance(error, AdapterCorrupt | ArmUnsound):
                self._silenced.add(name)
                if isinstance(error, ArmUnsound):
                    self._retry_at[name] = clock + max(LONGEST_DELAY, self._integrity)
            if name in self._silenced or name not in (self.aliases.champion, self.aliases.challenger):
                with suppress(PicktuneError):
                    await self._engine.unload(name)
            return False
        self.problems.pop(name, None)
        self._retry_at.pop(name, None)
        self._silenced.discard(name)
        self._looked_at[name] = clock
        if name not in self._checked:
            self._unlogged.append(one.version)
        self._checked[name] = one.version
        return True

    async def _look_again(self, name: str, clock: float) -> None:
        """Whether a speaking adapter's files are still there, and, when it is time, whether its arm is sound.

        vLLM reads the files again when a slot was taken from an adapter, and ends if they are gone.
        """
        if not await to_thread.run_sync(self._is_there, name):
            raise AdapterCorrupt(
                f"the files of adapter {name!r} are gone; restore them from a backup, or move the alias"
            )
        if not self._integrity or not self._mixed or clock < self._looked_at[name] + self._integrity:
            return
        self._looked_at[name] = clock
        if self._checked[name].kind == "remote":
            return  # nothing of it is in a batch of ours
        try:
            await check_arms(self._engine, name)
        except (EngineBusy, EngineDown) as error:
            logger.info("whether the arms are what they say could not be looked at: %s", error)
            return
        self._mixed = False

    def _is_there(self, name: str) -> bool:
        try:
            return (self._registry.folder(name) / telling_file(self._checked[name].kind)).is_file()
        except AdapterNotFound:
            return False

    def _choose(self, wanted: str | None, before: str | None, gone: set[str]) -> str | None:
        if wanted is None or wanted in self._usable:
            return wanted
        return before if before is not None and before not in gone | self._silenced else None

    async def _tell_log(self) -> None:
        now = self._now()
        try:
            while self._unlogged:
                one = self._unlogged[0]
                await self._log.saw_adapter(one, now)
                # Another look that ran meanwhile may have told it too.
                if self._unlogged and self._unlogged[0] is one:
                    self._unlogged.pop(0)
            if self._logged_aliases != self.aliases:
                await self._log.saw_aliases(self.aliases, now)
                self._logged_aliases = self.aliases
        except LogUnavailable as error:
            logger.warning("the log did not take the aliases yet: %s", error)

    async def _retire(self, loaded: set[str]) -> None:
        clock = asyncio.get_running_loop().time()
        speaking = {self.aliases.champion, self.aliases.challenger}
        for name in loaded:
            if name in speaking or name not in self._checked:
                self._retired.pop(name, None)
            elif clock >= self._retired.setdefault(name, clock + self._grace):
                await self._engine.unload(name)
                self._usable.discard(name)
                del self._retired[name], self._checked[name]
