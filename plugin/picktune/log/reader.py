"""Reading a log in a SQLite file, from any thread and any process, while another writes it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Self, TypeVar

from picktune.errors import (
    CandidateNotFound,
    ConversationNotFound,
    InvalidInput,
    LogUnavailable,
    SlateNotFound,
)
from picktune.log import conversations, decided, evidence, news, privacy, rows, slates
from picktune.log.files import open_for_reading, unavailable
from picktune.log.gating import GateReading
from picktune.log.news import Mark, Withdrawn
from picktune.log.schema import LATER, TABLES
from picktune.log.signal_sqlite import SignalReading
from picktune.records import (
    AnnotatorRole,
    ChoiceSet,
    Consent,
    Conversation,
    DecidedSlate,
    Decision,
    Demonstration,
    Exposure,
    Pick,
    Preference,
    ReactedReply,
    Reaction,
    Selection,
    Slate,
)

T = TypeVar("T")


class SQLiteLogReader(SignalReading, GateReading):
    """A ``LogReader`` of one SQLite file; unlike what that asks, any number of threads may share it.

    Each call has a connection to itself. An iterator sees the log as it was at its first row, in bounded
    memory, however much is written meanwhile; exhaust it or close it.
    """

    def __init__(self, path: Path | str, *, busy_timeout: float = 5.0) -> None:
        """Raises ``LogUnavailable`` if the file is missing, is no log, or has another version's schema."""
        self._path = Path(path)
        self._busy_timeout = busy_timeout
        self._lock = threading.Lock()
        self._closed = False
        self._hasty: sqlite3.Connection | None = None
        self._hasty_lock = threading.Lock()
        self._idle = [open_for_reading(self._path, busy_timeout=busy_timeout)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def slate(self, slate_id: str) -> Slate:
        """See ``LogReader``."""
        with self._connection() as connection:
            if (slate := slates.load(connection, slate_id)) is None:
                raise SlateNotFound(slate_id)
            return slate

    def slate_of_candidate(self, candidate_id: str) -> Slate:
        """See ``LogReader``."""
        with self._connection() as connection:
            row = connection.execute(
                "SELECT slate_id FROM candidates WHERE id = ?", (candidate_id,)
            ).fetchone()
            if row is None or (slate := slates.load(connection, row[0])) is None:
                raise CandidateNotFound(candidate_id)
            return slate

    def waiting_slate(self, conversation_id: str, *, viewer: str | None = None) -> Slate | None:
        """See ``LogReader``. A conversation that is not stored stands where its newest slate was drawn."""
        with self._connection() as connection:
            return slates.waiting(connection, conversation_id, viewer)

    def exposures(self, slate_id: str) -> list[Exposure]:
        """See ``LogReader``; by time."""
        with self._connection() as connection:
            ids = slates.candidate_ids(connection, slate_id)
            found = connection.execute(
                "SELECT slate_id, viewer, places, shown_at FROM exposures WHERE slate_id = ? "
                "ORDER BY shown_at, viewer",
                (slate_id,),
            )
            return [rows.exposure_of(row, ids) for row in found]

    def picks(self, slate_id: str, annotator: str | None = None) -> list[Pick]:
        """See ``LogReader``."""
        with self._connection() as connection:
            found = connection.execute(
                f"SELECT {rows.PICK} FROM picks WHERE slate_id = :slate_id "
                f"AND (:annotator IS NULL OR annotator = :annotator) ORDER BY id",
                {"slate_id": slate_id, "annotator": annotator},
            )
            return [rows.pick_of(row) for row in found]

    def reactions(self, slate_id: str) -> list[Reaction]:
        """See ``LogReader``."""
        with self._connection() as connection:
            found = connection.execute(
                f"SELECT {rows.REACTION} FROM reactions WHERE slate_id = ? ORDER BY id", (slate_id,)
            )
            return [rows.reaction_of(row) for row in found]

    def conversation(self, conversation_id: str) -> Conversation:
        """See ``LogReader``."""
        with self._connection() as connection:
            if (conversation := conversations.load(connection, conversation_id)) is None:
                raise ConversationNotFound(conversation_id)
            return conversation

    def conversations(
        self, *, status: str | None = "open", locale: str | None = None, limit: int = 50, offset: int = 0
    ) -> list[Conversation]:
        """See ``LogReader``."""
        for field, value in (("limit", limit), ("offset", offset)):
            if not 0 <= value < 2**63:
                raise InvalidInput(f"{field} must be 0 or more, and is {value}", field=field)
        with self._connection() as connection:
            where, values = conversations.condition(status, locale)
            found = connection.execute(
                f"SELECT {rows.CONVERSATION} FROM conversations{where} "
                f"ORDER BY updated_at, id LIMIT ? OFFSET ?",
                (*values, limit, offset),
            ).fetchall()
            return [conversations.as_it_stands(connection, row) for row in found]

    def count_conversations(self, *, status: str | None = "open", locale: str | None = None) -> int:
        """See ``LogReader``."""
        with self._connection() as connection:
            where, values = conversations.condition(status, locale)
            return _number(connection, f"SELECT count(*) FROM conversations{where}", values)

    def decisions(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        roles: Sequence[AnnotatorRole] | None = None,
    ) -> Iterator[Decision]:
        """See ``LogReader``: at ``since`` or later, and before ``until``."""
        return self._stream(lambda connection: evidence.decisions(connection, since, until, roles))

    def news(
        self, after: Mark | None, *, since: datetime | None = None
    ) -> Iterator[Mark | Withdrawn | Decision]:
        """See ``LogReader``."""
        return self._stream(lambda connection: news.news(connection, after, since))

    def choice_sets(
        self, *, until: datetime | None = None, roles: Sequence[AnnotatorRole] | None = None
    ) -> Iterator[ChoiceSet]:
        """See ``LogReader``: before ``until``; the replies in the order in which the annotator saw them."""
        return self._stream(lambda connection: evidence.choice_sets(connection, until, roles))

    def preferences(
        self, *, until: datetime | None = None, roles: Sequence[AnnotatorRole] | None = None
    ) -> Iterator[Preference]:
        """See ``LogReader``: before ``until``."""
        return self._stream(lambda connection: evidence.preferences(connection, until, roles))

    def demonstrations(
        self, *, until: datetime | None = None, roles: Sequence[AnnotatorRole] | None = None
    ) -> Iterator[Demonstration]:
        """See ``LogReader``: before ``until``; an edit that left the reply as it was is none."""
        return self._stream(lambda connection: evidence.demonstrations(connection, until, roles))

    def decided_slates(self, selection: Selection) -> Iterator[DecidedSlate]:
        """See ``LogReader``."""
        return self._stream(lambda connection: decided.decided_slates(connection, selection))

    def reacted_replies(self, selection: Selection) -> Iterator[ReactedReply]:
        """See ``LogReader``."""
        return self._stream(lambda connection: decided.reacted_replies(connection, selection))

    def count_selected(self, selection: Selection) -> tuple[int, int]:
        """See ``LogReader``."""
        with self._connection() as connection:
            return decided.count_decided(connection, selection), decided.count_reacted(connection, selection)

    def standing_consent(self, user_ref: str | None, conversation_id: str | None) -> Consent:
        """See ``LogReader``."""
        with self._connection() as connection:
            return privacy.standing(connection, user_ref, conversation_id)

    def standing_consent_at_once(self, user_ref: str | None, conversation_id: str | None) -> Consent | None:
        """The same without ever waiting for another process or thread: ``None`` if that would be needed.

        A look at two keys takes less time than to hand it to a thread.
        """
        if not self._hasty_lock.acquire(blocking=False):
            return None
        try:
            if self._closed:
                return None
            if self._hasty is None:
                self._hasty = open_for_reading(self._path, busy_timeout=0.0)
            return privacy.standing(self._hasty, user_ref, conversation_id)
        except (sqlite3.Error, LogUnavailable):
            return None
        finally:
            self._hasty_lock.release()

    def counts(self) -> dict[str, int]:
        """See ``LogReader``."""
        with self._connection() as connection:
            return {
                table: _number(connection, f"SELECT count(*) FROM {table}") for table in (*TABLES, *LATER)
            }

    def close(self) -> None:
        """Let go of the file; iterators that are under way do so when they end. Safe to call twice."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        with self._hasty_lock:
            if self._hasty is not None:
                self._hasty.close()
                self._hasty = None

    def _stream(self, query: Callable[[sqlite3.Connection], Iterator[T]]) -> Iterator[T]:
        with self._connection() as connection:
            yield from query(connection)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._closed:
                raise LogUnavailable(f"the log {str(self._path)!r} is closed; open it again")
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = open_for_reading(self._path, busy_timeout=self._busy_timeout)
        try:
            yield connection
        except sqlite3.Error as error:
            raise unavailable(self._path, error) from error
        finally:
            with self._lock:
                if not self._closed:
                    self._idle.append(connection)
                    connection = None
            if connection is not None:
                connection.close()


def _number(connection: sqlite3.Connection, sql: str, values: Sequence[object] = ()) -> int:
    return int(connection.execute(sql, values).fetchone()[0])
