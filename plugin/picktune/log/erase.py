"""Erasing a person from the log: their words and their name go, what was decided about which arm stays.

One transaction erases one conversation wholly, so that one that is killed leaves whole conversations only and
can be run again. Nothing but this may change a decision or a reaction: the triggers let it, while the table
``erasing`` has its row.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from picktune.log import rows
from picktune.log.chain import ERASED
from picktune.log.files import open_for_reading, open_for_writing, unavailable
from picktune.log.privacy import Scope
from picktune.records import Record

_PAUSE = 0.002  # seconds in which a server that waits can write
_CHUNK = 1 << 20

# What a person did under the same name, beside being the one who asked.
_DID = """
SELECT slate_id FROM exposures WHERE viewer = ?1 UNION SELECT slate_id FROM reactions WHERE annotator = ?1
UNION SELECT slate_id FROM picks WHERE annotator = ?1 UNION SELECT slate_id FROM scores WHERE annotator = ?1
UNION SELECT slate_id FROM signals WHERE annotator = ?1
"""


class Traces(Record, frozen=True, kw_only=True):
    """Where a person is in a log: conversations, the slates drawn in them, and slates seen or decided on."""

    conversations: tuple[str, ...]
    slates: tuple[str, ...]
    elsewhere: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing is known of them."""
        return not (self.conversations or self.slates or self.elsewhere)


def traces(path: Path, scope: Scope, ref: str, *, busy_timeout: float = 5.0) -> Traces:
    """Where a user, or a conversation's, is. Raises ``LogUnavailable``."""
    connection = open_for_reading(path, busy_timeout=busy_timeout)
    try:
        return find_traces(connection, scope, ref)
    except sqlite3.Error as error:
        raise unavailable(path, error) from error
    finally:
        connection.close()


def find_traces(connection: sqlite3.Connection, scope: Scope, ref: str) -> Traces:
    """See ``traces``; what was erased already is not there any more."""
    if scope == "user":
        found = connection.execute(
            "SELECT conversation_id FROM turns WHERE user_ref = ?1 "
            "UNION SELECT conversation_id FROM conversation_owners WHERE user_ref = ?1",
            (ref,),
        )
        conversations = tuple(one for (one,) in found)
        did = {one for (one,) in connection.execute(_DID, (ref,))}
    else:
        known = connection.execute(
            "SELECT 1 FROM turns WHERE conversation_id = ?1 AND messages <> '[]' "
            "UNION SELECT 1 FROM conversations WHERE id = ?1 AND messages <> '[]'",
            (ref,),
        ).fetchone()
        conversations, did = ((ref,) if known else ()), set[str]()
    user = ref if scope == "user" else None
    slates = {
        slate for one in conversations for turn in _turns(connection, one, user)
        for (slate,) in connection.execute("SELECT id FROM slates WHERE turn_id = ?", (turn,))
    }  # fmt: skip
    return Traces(
        conversations=conversations, slates=tuple(sorted(slates)), elsewhere=tuple(sorted(did - slates))
    )


class Eraser:
    """A connection that erases; servers may go on writing in between."""

    def __init__(self, path: Path, *, busy_timeout: float = 30.0) -> None:
        """Raises ``LogUnavailable``."""
        self._path = path
        open_for_reading(path, busy_timeout=busy_timeout).close()  # a log that is not there is not made
        self._connection = open_for_writing(path, busy_timeout=busy_timeout)
        self._connection.execute("PRAGMA secure_delete = ON").fetchall()
        self._name = _alias()

    def traces(self, scope: Scope, ref: str) -> Traces:
        """See ``traces``."""
        return find_traces(self._connection, scope, ref)

    def conversation(self, conversation_id: str, user: str | None, now: datetime) -> None:
        """Erase one conversation, or of one that several users share what this ``user`` said."""
        with self._erasing() as connection:
            for turn in _turns(connection, conversation_id, user):
                slates = [
                    one for (one,) in connection.execute("SELECT id FROM slates WHERE turn_id = ?", (turn,))
                ]
                for slate in slates:
                    _erase_words(connection, slate)
                    if user is not None:
                        self._rename(connection, slate, user)
                connection.execute("UPDATE turns SET messages = '[]', user_ref = NULL WHERE id = ?", (turn,))
                connection.execute("INSERT OR REPLACE INTO restrictions VALUES (?, 'erased')", (turn,))
            for comparison in comparisons_of(connection, conversation_id):
                _erase_comparison(connection, comparison, now)
            shared = connection.execute(
                "SELECT 1 FROM turns WHERE conversation_id = ? AND user_ref IS NOT NULL", (conversation_id,)
            ).fetchone()
            if user is not None:
                connection.execute(
                    "DELETE FROM conversation_owners WHERE conversation_id = ? AND user_ref = ?",
                    (conversation_id, user),
                )
            if shared is None or user is None:
                connection.execute(
                    "UPDATE conversations SET title = 'erased', scenario = NULL, messages = '[]', "
                    "pending = '[]', status = 'closed' WHERE id = ?",
                    (conversation_id,),
                )
                connection.execute(
                    "DELETE FROM conversation_owners WHERE conversation_id = ?", (conversation_id,)
                )
                connection.execute(
                    "INSERT OR REPLACE INTO erased_conversations VALUES (?, ?)",
                    (conversation_id, rows.micros(now)),
                )
        time.sleep(_PAUSE)

    def person(self, slate_id: str, user: str) -> None:
        """Erase who it was, and what they wrote, where a user decided on a slate of somebody else's."""
        with self._erasing() as connection:
            self._rename(connection, slate_id, user)
        time.sleep(_PAUSE)

    def judgements(self, user: str) -> None:
        """Erase who it was, and what they wrote, where a user judged whole conversations."""
        with self._erasing() as connection:
            _rename_judge(connection, user, self._name)

    def consent(self, scope: Scope, ref: str) -> None:
        """Erase what the user agreed to."""
        with self._erasing() as connection:
            connection.execute("DELETE FROM consents WHERE scope = ? AND ref = ?", (scope, ref))

    def finish(self, *, vacuum: bool = False, patience: float = 10.0) -> bool:
        """Take what was erased out of the write-ahead file too; whether that could be done.

        It cannot while somebody reads from before. ``vacuum`` writes the whole file anew, while which nobody
        else can write.
        """
        try:
            if vacuum:
                self._connection.execute("VACUUM")
            deadline = time.monotonic() + patience
            while True:
                busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if not busy or time.monotonic() > deadline:
                    return not busy
                time.sleep(0.05)
        except sqlite3.Error as error:
            raise unavailable(self._path, error) from error

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    @contextmanager
    def _erasing(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.execute("PRAGMA defer_foreign_keys = ON")
                connection.execute("INSERT INTO erasing VALUES (1)")
                yield connection
                connection.execute("DELETE FROM erasing")
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise unavailable(self._path, error) from error

    def _rename(self, connection: sqlite3.Connection, slate_id: str, user: str) -> None:
        values = {"slate": slate_id, "user": user, "alias": self._name}
        mine = "WHERE slate_id = :slate AND annotator = :user"
        gone = "annotator = :alias, key = 'erased-' || id"
        no_words = "reasons = '[]', comment = NULL, who_salt = NULL, texts_salt = NULL"
        for statement in (
            "UPDATE exposures SET viewer = :alias WHERE slate_id = :slate AND viewer = :user",
            f"UPDATE picks SET {gone}, edited_text = NULL, {no_words} {mine}",
            f"UPDATE reactions SET {gone}, {no_words} {mine}",
            f"UPDATE signals SET {gone} {mine}",
            f"UPDATE scores SET {gone}, comment = NULL {mine}",
        ):
            connection.execute(statement, values)


def _alias() -> str:
    return ERASED + secrets.token_hex(8)


def comparisons_of(connection: sqlite3.Connection, conversation_id: str) -> list[str]:
    """The comparisons of which the conversation is a side."""
    found = connection.execute(
        "SELECT c.id FROM comparisons c WHERE EXISTS (SELECT 1 FROM json_each(c.body, '$.sides') s "
        "WHERE json_extract(s.value, '$.conversation_id') = ?)",
        (conversation_id,),
    )
    return [one for (one,) in found]


def _erase_comparison(connection: sqlite3.Connection, comparison_id: str, now: datetime) -> None:
    """What was said in a comparison, and about it; the verdicts stay."""
    (body,) = connection.execute("SELECT body FROM comparisons WHERE id = ?", (comparison_id,)).fetchone()
    told = msgspec.json.decode(body)
    told["title"] = ""
    for side in told["sides"]:
        side["messages"] = []
    connection.execute(
        "UPDATE comparisons SET body = ? WHERE id = ?", (msgspec.json.encode(told).decode(), comparison_id)
    )
    said = (
        "SELECT DISTINCT annotator FROM judgements WHERE comparison_id = ? "
        "AND (comment IS NOT NULL OR reasons <> '[]')"
    )
    for (annotator,) in connection.execute(said, (comparison_id,)).fetchall():
        _rename_judge(connection, annotator, _alias(), comparison_id)
    connection.execute(
        "INSERT OR REPLACE INTO erased_conversations VALUES (?, ?)", (comparison_id, rows.micros(now))
    )


def _rename_judge(
    connection: sqlite3.Connection, annotator: str, alias: str, comparison_id: str | None = None
) -> None:
    values = {"annotator": annotator, "alias": alias, "comparison": comparison_id}
    where = "(:comparison IS NULL OR comparison_id = :comparison)"
    connection.execute(
        f"UPDATE comparison_exposures SET viewer = :alias WHERE viewer = :annotator AND {where}", values
    )
    connection.execute(
        "UPDATE judgements SET annotator = :alias, key = 'erased-' || id, comment = NULL, reasons = '[]' "
        f"WHERE annotator = :annotator AND {where}",
        values,
    )


def left_in(files: tuple[Path, ...], text: str) -> list[Path]:
    """The files whose bytes hold the text still, as UTF-8."""
    wanted, found = text.encode("utf-8", "surrogatepass"), []
    for path in files:
        if not path.is_file():
            continue
        with path.open("rb") as file:
            tail = b""
            while chunk := file.read(_CHUNK):
                if wanted in tail + chunk:
                    found.append(path)
                    break
                tail = chunk[-len(wanted) :]
    return found


def _turns(connection: sqlite3.Connection, conversation_id: str, user: str | None) -> list[str]:
    """The turns of a conversation that are the user's or nobody's; all, if no user is named."""
    found = connection.execute(
        "SELECT id FROM turns WHERE conversation_id = ?1 "
        "AND (?2 IS NULL OR user_ref IS NULL OR user_ref = ?2)",
        (conversation_id, user),
    )
    return [turn for (turn,) in found]


def _erase_words(connection: sqlite3.Connection, slate_id: str) -> None:
    """All that was said on a slate, by whomever; who decided, if it was an agent, stays."""
    for statement in (
        "UPDATE candidates SET text = '' WHERE slate_id = ?",
        "UPDATE slates SET salt = NULL WHERE id = ?",
        "UPDATE picks SET edited_text = NULL, reasons = '[]', comment = NULL, texts_salt = NULL "
        "WHERE slate_id = ?",
        "UPDATE reactions SET reasons = '[]', comment = NULL, texts_salt = NULL WHERE slate_id = ?",
    ):
        connection.execute(statement, (slate_id,))
    # A mark's words can only go together with the name; all versions of one annotator keep one name.
    said = "SELECT DISTINCT annotator FROM scores WHERE slate_id = ? AND comment IS NOT NULL"
    for (annotator,) in connection.execute(said, (slate_id,)).fetchall():
        connection.execute(
            "UPDATE scores SET comment = NULL, annotator = ?, key = 'erased-' || id "
            "WHERE slate_id = ? AND annotator = ?",
            (_alias(), slate_id, annotator),
        )
