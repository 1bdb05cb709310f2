"""A log that could not be opened at the start: each use tries again, so that nothing waits for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from threading import Lock
from typing import Protocol

from anyio import to_thread
from picktune_adapters import AdapterVersion, Aliases

from picktune.campaigns import Campaign
from picktune.comparisons import Comparison, Judgement
from picktune.log.base import ConsentScope, Log, LogReader
from picktune.records import Consent, Conversation, DecidedSlate, Exposure, Pick, Reaction, Slate
from picktune.signals import Score, Signal


class ReadableLog(Log, Protocol):
    """A log that can be read where it is written."""

    @property
    def reader(self) -> LogReader:
        """Blocking reads, from any number of threads at once."""
        ...


class LateLog:
    """A ``ReadableLog`` that ``open_log`` opens when it is used; its methods are those of ``Log``."""

    def __init__(self, open_log: Callable[[], ReadableLog]) -> None:
        self._open_log = open_log
        self._lock = Lock()
        self._log: ReadableLog | None = None

    def open(self) -> ReadableLog:
        """The log, opened now if it is not yet; blocking. Raises ``LogUnavailable``."""
        with self._lock:
            if self._log is None:
                self._log = self._open_log()
            return self._log

    @property
    def is_open(self) -> bool:
        """Whether it was opened before: if not, even its reader may take a while."""
        return self._log is not None

    async def _opened(self) -> ReadableLog:
        return await to_thread.run_sync(self.open) if self._log is None else self._log

    @property
    def reader(self) -> LogReader:
        return self.open().reader

    async def add_slate(self, slate: Slate, exposure: Exposure | None = None) -> None:
        await (await self._opened()).add_slate(slate, exposure)

    async def add_exposure(self, exposure: Exposure) -> Exposure:
        return await (await self._opened()).add_exposure(exposure)

    async def record(self, pick: Pick) -> Pick:
        return await (await self._opened()).record(pick)

    async def add_decided(self, decided_slate: DecidedSlate) -> bool:
        return await (await self._opened()).add_decided(decided_slate)

    async def react(self, reaction: Reaction) -> Reaction:
        return await (await self._opened()).react(reaction)

    async def add_conversations(self, conversations: Sequence[Conversation]) -> int:
        return await (await self._opened()).add_conversations(conversations)

    async def note(self, signals: Sequence[Signal]) -> list[Signal]:
        return await (await self._opened()).note(signals)

    async def score(self, score: Score) -> Score:
        return await (await self._opened()).score(score)

    async def add_campaign(self, campaign: Campaign) -> Campaign:
        return await (await self._opened()).add_campaign(campaign)

    async def close_campaign(self, name: str, *, at: datetime, by: str, why: str) -> Campaign:
        return await (await self._opened()).close_campaign(name, at=at, by=by, why=why)

    async def set_consent(self, scope: ConsentScope, ref: str, level: Consent, at: datetime) -> int:
        return await (await self._opened()).set_consent(scope, ref, level, at)

    async def add_comparison(self, comparison: Comparison) -> bool:
        return await (await self._opened()).add_comparison(comparison)

    async def expose_comparison(
        self, comparison_id: str, viewer: str, order: Sequence[str], at: datetime
    ) -> tuple[str, ...]:
        return await (await self._opened()).expose_comparison(comparison_id, viewer, order, at)

    async def judge(self, judgement: Judgement) -> Judgement:
        return await (await self._opened()).judge(judgement)

    async def saw_adapter(self, version: AdapterVersion, at: datetime) -> None:
        await (await self._opened()).saw_adapter(version, at)

    async def saw_aliases(self, aliases: Aliases, at: datetime) -> None:
        await (await self._opened()).saw_aliases(aliases, at)

    async def check(self) -> None:
        await (await self._opened()).check()

    async def close(self) -> None:
        if self._log is not None:
            await self._log.close()
