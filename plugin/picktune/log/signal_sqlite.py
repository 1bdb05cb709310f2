"""Signals, scores and edits in a SQLite file: the parts that the log and its reader are made of."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol, TypeVar

from picktune.edits import EditPreference
from picktune.log import edits, signals
from picktune.log.writer import Writer
from picktune.records import AnnotatorRole
from picktune.signals import Score, Signal, SignalKind

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


class SignalWriting:
    """The part of ``SQLiteLog`` that writes signals and scores; see ``SignalLog``."""

    _writer: Writer

    async def note(self, noted: Sequence[Signal]) -> list[Signal]:
        """See ``SignalLog``."""
        checked = [signals.consistent_signal(signal) for signal in noted]
        return await self._writer.do(lambda connection: signals.note(connection, checked))

    async def score(self, score: Score) -> Score:
        """See ``SignalLog``."""
        score = signals.consistent_score(score)
        return await self._writer.do(lambda connection: signals.score(connection, score))
