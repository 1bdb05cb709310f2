"""The hash chain: what the hash of a decision or a reaction covers, so that no row can be changed unseen.

Every hash is SHA-256, over values in MessagePack. A row's ``hash`` covers the hash of the row before it
(``previous``), the row's own columns, and the seal of the slate that it is about. What a person may ask to
have erased (who it was, what they wrote) is covered through a salted hash of its own. Erasing takes away the
words and the salt, and leaves that hash: the chain stays whole, and nobody can guess from it what was erased.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from operator import itemgetter
from typing import Any

import msgspec

from picktune.errors import LogUnavailable
from picktune.log import rows

GENESIS = bytes(32)
ERASED = "erased-"  # what annotator and key begin with once it is forgotten who they were
SALT_BYTES = 16
LINK = "previous, hash, who_salt, who_hash, texts_salt, texts_hash"
SLATE_SEAL = "salt, texts_hash, hash"

_encode = msgspec.msgpack.Encoder().encode
_FLOATS = ("propensity", "latency")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """One chained table: which of its columns say who it was, which hold what they wrote, and the rest.

    ``about`` counts the values beyond the row that its hash covers: the seal of its slate and, for a
    decision, the order in which the slate was shown and when.
    """

    table: str
    noun: str
    columns: str
    who: Callable[[rows.Row], tuple[Any, ...]]
    texts: Callable[[rows.Row], tuple[Any, ...]]
    plain: Callable[[rows.Row], tuple[Any, ...]]
    about: int

    def link(self, previous: bytes | None, id: int, row: rows.Row, about: Sequence[Any]) -> rows.Row:
        """The columns of ``LINK`` of a new row, whose ``previous`` is the hash at the chain's end.

        Raises ``LogUnavailable`` if the log has lost that.
        """
        if previous is None:
            raise LogUnavailable(
                f"the log no longer knows where its chain of {self.table} ends; run: picktune verify"
            )
        who_salt, texts_salt = os.urandom(SALT_BYTES), os.urandom(SALT_BYTES)
        who, texts = commitment(who_salt, self.who(row)), commitment(texts_salt, self.texts(row))
        return previous, self.hash(previous, id, row, who, texts, about), who_salt, who, texts_salt, texts

    def hash(
        self, previous: bytes, id: int, row: rows.Row, who: bytes, texts: bytes, about: Sequence[Any]
    ) -> bytes:
        """The hash of a row that stands after ``previous``; raises ``TypeError`` for what no row can hold."""
        return sha256(previous + _encode([self.table, id, *self.plain(row), who, texts, *about])).digest()

    def altered(self, id: int, row: rows.Row, link: rows.Row, about: Sequence[Any]) -> str | None:
        """What of a stored row is no longer what was hashed; ``None`` if everything is."""
        previous, stored, who_salt, who, texts_salt, texts = link
        try:
            if self.hash(previous, id, row, who, texts, about) != stored:
                return "it was changed after it was written, or how its slate was shown was"
            if who_salt is None:
                if not all(str(value).startswith(ERASED) for value in self.who(row)):
                    return "it says who it was, though that was erased"
            elif commitment(who_salt, self.who(row)) != who:
                return "who it was, or the key, was changed"
            if texts_salt is None:
                if not set(self.texts(row)) <= {None, "[]"}:
                    return "it holds words, though they were erased"
            elif commitment(texts_salt, self.texts(row)) != texts:
                return "its words were changed"
        except (TypeError, ValueError, OverflowError):
            return "it holds what the log cannot have written"
        return None


def commitment(salt: bytes, values: object) -> bytes:
    """A hash that binds to the values, and without the salt tells nothing about them."""
    return sha256(salt + _encode(values)).digest()


def seal(slate: rows.Row, turn: rows.Row, candidates: Sequence[rows.Row]) -> rows.Row:
    """The columns of ``SLATE_SEAL`` for a new slate, from the rows of it, its turn and its candidates."""
    salt = os.urandom(SALT_BYTES)
    texts = commitment(salt, _slate_texts(turn, candidates))
    return salt, texts, _slate_hash(slate, turn, candidates, texts)


def unsealed(slate: rows.Row, turn: rows.Row, candidates: Sequence[rows.Row], sealed: rows.Row) -> str | None:
    """What of a stored slate is no longer what was sealed; ``None`` if everything is."""
    salt, texts, stored = sealed
    try:
        if _slate_hash(slate, turn, candidates, texts) != stored:
            return "it, its turn or one of its replies was changed, added or removed"
        held = _slate_texts(turn, candidates)
        if salt is None:
            user_ref, messages, *replies = held
            if user_ref is not None or messages != "[]" or any(replies):
                return "it holds words, though they were erased"
        elif commitment(salt, held) != texts:
            return "the words of its turn or of its replies were changed"
    except (TypeError, ValueError, OverflowError):
        return "it holds what the log cannot have written"
    return None


def _columns(columns: str, *chosen: str) -> Callable[[rows.Row], tuple[Any, ...]]:
    names = columns.split(", ")
    found: Callable[[rows.Row], tuple[Any, ...]] = itemgetter(*(names.index(name) for name in chosen))
    return found


def _without(columns: str, *left_out: str) -> Callable[[rows.Row], tuple[Any, ...]]:
    return _columns(columns, *(name for name in columns.split(", ") if name not in left_out))


_WHO = ("annotator", "key")
_PICK_TEXTS = ("edited_text", "reasons", "comment")
_REACTION_TEXTS = ("reasons", "comment")

PICKS = Chain(
    table="picks",
    noun="pick",
    columns=rows.PICK,
    who=_columns(rows.PICK, *_WHO),
    texts=_columns(rows.PICK, *_PICK_TEXTS),
    plain=_without(rows.PICK, *_WHO, *_PICK_TEXTS),
    about=3,
)
REACTIONS = Chain(
    table="reactions",
    noun="reaction",
    columns=rows.REACTION,
    who=_columns(rows.REACTION, *_WHO),
    texts=_columns(rows.REACTION, *_REACTION_TEXTS),
    plain=_without(rows.REACTION, *_WHO, *_REACTION_TEXTS),
    about=1,
)
CHAINS = (PICKS, REACTIONS)

_turn_texts = _columns(rows.TURN, "user_ref", "messages")
_turn_plain = _without(rows.TURN, "user_ref", "messages")
_candidate_text = itemgetter(rows.CANDIDATE.split(", ").index("text"))
_candidate_plain = _without(rows.CANDIDATE, "text", *_FLOATS)
_candidate_floats = _columns(rows.CANDIDATE, *_FLOATS)


def _slate_texts(turn: rows.Row, candidates: Sequence[rows.Row]) -> list[Any]:
    return [*_turn_texts(turn), *map(_candidate_text, candidates)]


def _slate_hash(slate: rows.Row, turn: rows.Row, candidates: Sequence[rows.Row], texts: bytes) -> bytes:
    # SQLite keeps 1 in a REAL column as 1.0, and -0.0 as 0.0.
    replies = [
        [*_candidate_plain(one), *(float(value) + 0.0 for value in _candidate_floats(one))]
        for one in candidates
    ]
    return sha256(_encode(["slates", *slate, *_turn_plain(turn), replies, texts])).digest()
