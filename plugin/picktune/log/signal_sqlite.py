"""Signals, scores, edits and campaigns in a SQLite file: parts of the log and its reader."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol, TypeVar

from picktune.campaigns import Campaign
from picktune.comparisons import Comparison, Judged, Judgement
from picktune.edits import EditPreference
from picktune.log import campaigns, comparisons, edits, signals, tallies
from picktune.log.validity import aware, checked
from picktune.log.writer import Writer
from picktune.records import AnnotatorRole, Conversation
from picktune.signals import Score, Signal, SignalKind, SignalTallies

T = TypeVar("T")


class Connected(Protocol):
    """What the reader lends to its parts."""

    def _connection(self) -> AbstractContextManager[sqlite3.Connection]: ...

    def _stream(self, query: Callable[[sqlite3.Connection], Iterator[T]]) -> Iterator[T]: ...


class SignalReading:
    """The part of ``SQLiteLogReader`` that reads signals, scores and edits; see ``SignalLogReader``."""

    def signals(
        self: Connected,
        slate_id: str | None = None,
        *,
        kind: SignalKind | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[Signal]:
        """See ``SignalLogReader``."""
        return self._stream(lambda c: signals.signals(c, slate_id, kind=kind, since=since, until=until))

    def scores(
        self: Connected,
        candidate_id: str | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        every_version: bool = False,
    ) -> Iterator[Score]:
        """See ``SignalLogReader``."""
        return self._stream(
            lambda c: signals.scores(c, candidate_id, since=since, until=until, every_version=every_version)
        )

    def edit_preferences(
        self: Connected,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        roles: Sequence[AnnotatorRole] | None = None,
    ) -> Iterator[EditPreference]:
        """See ``SignalLogReader``."""
        return self._stream(lambda c: edits.edit_preferences(c, since, until, roles))

    def tallies(
        self: Connected, *, since: datetime | None = None, until: datetime | None = None
    ) -> SignalTallies:
        """See ``SignalLogReader``."""
        with self._connection() as connection:
            return tallies.tallies(connection, since, until)

    def campaigns(self: Connected, *, closed: bool = True) -> list[Campaign]:
        """See ``SignalLogReader``."""
        with self._connection() as connection:
            return campaigns.listed(connection, closed=closed)

    def campaign(self: Connected, name: str) -> Campaign:
        """See ``SignalLogReader``."""
        with self._connection() as connection:
            return campaigns.load(connection, name)

    def campaign_counts(
        self: Connected, name: str, *, roles: Sequence[AnnotatorRole] | None = None
    ) -> dict[str, int]:
        """See ``SignalLogReader``."""
        with self._connection() as connection:
            return campaigns.counts(connection, name, roles)

    def campaign_conversations(self: Connected, campaign: Campaign, *, limit: int = 50) -> list[Conversation]:
        """See ``SignalLogReader``."""
        with self._connection() as connection:
            return campaigns.waiting(connection, campaign.selection, limit)

    def count_campaign_conversations(self: Connected, campaign: Campaign) -> int:
        """See ``SignalLogReader``."""
        with self._connection() as connection:
            return campaigns.count_waiting(connection, campaign.selection)

    def comparison(self: Connected, comparison_id: str) -> Comparison:
        """See ``SignalLogReader``."""
        with self._connection() as connection:
            return comparisons.load(connection, comparison_id)

    def waiting_comparison(self: Connected, viewer: str) -> tuple[Comparison | None, int]:
        """See ``SignalLogReader``."""
        with self._connection() as connection:
            return comparisons.waiting(connection, viewer)

    def judgements(self: Connected, comparison_id: str, annotator: str | None = None) -> list[Judgement]:
        """See ``SignalLogReader``."""
        with self._connection() as connection:
            return comparisons.judgements(connection, comparison_id, annotator)

    def judged(self: Connected, *, roles: Sequence[AnnotatorRole] | None = None) -> Iterator[Judged]:
        """See ``SignalLogReader``."""
        return self._stream(lambda c: comparisons.judged(c, roles))


class SignalWriting:
    """The part of ``SQLiteLog`` that writes signals and scores; see ``SignalLog``."""

    _writer: Writer

    async def note(self, noted: Sequence[Signal]) -> list[Signal]:
        """See ``SignalLog``."""
        sound = [signals.consistent_signal(signal) for signal in noted]
        return await self._writer.do(lambda connection: signals.note(connection, sound))

    async def score(self, score: Score) -> Score:
        """See ``SignalLog``."""
        score = signals.consistent_score(score)
        return await self._writer.do(lambda connection: signals.score(connection, score))

    async def add_campaign(self, campaign: Campaign) -> Campaign:
        """See ``SignalLog``."""
        campaign = checked(campaign)
        return await self._writer.do(lambda connection: campaigns.add(connection, campaign))

    async def close_campaign(self, name: str, *, at: datetime, by: str, why: str) -> Campaign:
        """See ``SignalLog``."""
        at = aware(at, "at")
        return await self._writer.do(lambda connection: campaigns.close(connection, name, at, by, why))

    async def add_comparison(self, comparison: Comparison) -> bool:
        """See ``SignalLog``."""
        comparison = comparisons.consistent(comparison)
        return await self._writer.do(lambda connection: comparisons.add(connection, comparison))

    async def expose_comparison(
        self, comparison_id: str, viewer: str, order: Sequence[str], at: datetime
    ) -> tuple[str, ...]:
        """See ``SignalLog``."""
        at = aware(at, "at")
        return await self._writer.do(
            lambda connection: comparisons.expose(connection, comparison_id, viewer, order, at)
        )

    async def judge(self, judgement: Judgement) -> Judgement:
        """See ``SignalLog``."""
        judgement = comparisons.consistent_judgement(judgement)
        return await self._writer.do(lambda connection: comparisons.judge(connection, judgement))
