"""The canary: in which conversations the challenger takes the tuned place, the same one all along."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from anyio import to_thread
from msgspec import structs
from picktune_adapters import Aliases
from picktune_adapters.registry import Registry

from picktune.errors import PicktuneError
from picktune.gate.records import GateSettings, Step
from picktune.gate.since import named_since
from picktune.late import ReadableLog

logger = logging.getLogger("picktune")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def spot(challenger: str, conversation_id: str) -> float:
    """Where a conversation stands in [0, 1) for this challenger: uniform, and the same on every server.

    It is in the canary if that is below the share, so whoever is in at 5 % is in at 20 % too.
    """
    digest = hashlib.blake2b(f"{challenger}\0{conversation_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def share_at(steps: Sequence[Step], moment: datetime) -> float:
    """The share in force at a moment; before the first step, the first."""
    share = steps[0].share
    for step in steps:
        if step.since <= moment:
            share = step.share
    return share


class Canary:
    """Knows the steps of the challenger that is on trial, and refreshes them while the server runs.

    Without ``automatic`` nobody tends the steps, and the challenger takes the tuned place everywhere. Of a
    challenger whose steps cannot be read, or are not decided yet, the first step is taken. A step is in
    force three looks (``poll`` seconds apart) after it was decided, when every server knows of it.
    """

    def __init__(
        self,
        settings: GateSettings,
        log: ReadableLog,
        registry: Registry,
        *,
        poll: float,
        now: Callable[[], datetime],
    ) -> None:
        self._first = settings.canary[:1]
        self._poll = poll
        self._now = now
        self._log = log
        self._registry = registry
        self._known: tuple[str, tuple[Step, ...]] | None = None

    def share(self, challenger: str | None) -> float:
        """The share of new conversations in which this challenger takes the tuned place now."""
        return share_at(self._steps(challenger), self._now()) if challenger and self._first else 1.0

    async def run(self, aliases: Callable[[], Aliases]) -> None:
        """Look for new steps every ``poll`` seconds, until cancelled."""
        while self._first:
            await self.refresh(aliases().challenger)
            await asyncio.sleep(self._poll)

    async def refresh(self, challenger: str | None) -> None:
        """Read the steps that were decided for this challenger since its trial began."""
        if challenger is None or not self._first:
            return
        try:
            steps = await to_thread.run_sync(lambda: self._read(challenger))
        except (PicktuneError, OSError) as error:
            logger.warning("the canary's share cannot be read, and stays: %s", error)
            return
        if steps != self._steps(challenger):
            logger.info("the challenger %s takes part in %.0f %%", challenger, 100 * steps[-1].share)
        self._known = (challenger, steps)

    async def admit(self, aliases: Aliases, conversation_id: str) -> tuple[Aliases, float]:
        """The aliases that speak in this conversation, and how likely it was that they do.

        A conversation keeps the place, and the likelihood, that it had when it began; the log is asked when
        that was, as soon as there was more than one step.
        """
        challenger = aliases.challenger
        if challenger is None or not self._first:
            return aliases, 1.0
        steps, place = self._steps(challenger), spot(challenger, conversation_id)
        moment = self._now()
        if len(steps) > 1:
            moment = await self._began(conversation_id) or moment
        share = share_at(steps, moment)
        if place < share:
            return aliases, share
        return Aliases(champion=aliases.champion), 1.0 - share

    def _steps(self, challenger: str | None) -> tuple[Step, ...]:
        if self._known is not None and self._known[0] == challenger:
            return self._known[1]
        return (Step(share=self._first[0], since=EPOCH),)

    def _read(self, challenger: str) -> tuple[Step, ...]:
        since = named_since(self._registry.history(), "challenger", challenger)
        steps = () if since is None else self._log.reader.canary_steps(challenger, since)
        lag = timedelta(seconds=3 * self._poll)
        known = tuple(structs.replace(step, since=step.since + lag) for step in steps)
        return known or (Step(share=self._first[0], since=EPOCH),)

    async def _began(self, conversation_id: str) -> datetime | None:
        try:
            return await to_thread.run_sync(lambda: self._log.reader.conversation_began(conversation_id))
        except PicktuneError:
            return None
