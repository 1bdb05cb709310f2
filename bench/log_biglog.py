"""A log of any size, built in bulk: the same schema, seals and hash chain, so that it verifies."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from picktune.log import rows
from picktune.log.chain import GENESIS, LINK, PICKS, SLATE_SEAL, seal
from picktune.log.files import open_for_writing

END = datetime(2026, 11, 1, tzinfo=UTC)
YEAR = timedelta(days=365)
MODEL = "2026-10-01-1"
TURNS = 4  # of a conversation
OPEN = 50  # of so many conversations one is still open, its last slate undecided
BATCH = 2000
TAGS = [f"topic-{number:02}" for number in range(24)]
ARMS = (("base", None), ("challenger", MODEL), ("base", None), ("challenger", MODEL))
PARTS = (
    "I am sorry for the delay.",
    "Could you give me the number of your order, please?",
    "The parcel left our warehouse this morning.",
    "You can return it within thirty days.",
    "I have asked a colleague to look into it.",
    "The amount will be on your account by Friday.",
)

Row = tuple[object, ...]
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True)
class BigLog:
    """What was built, and where. ``texts`` is the size of the replies in bytes."""

    path: Path
    slates: int
    candidates: int
    picks: int
    texts: int

    @property
    def bytes_per_candidate(self) -> float:
        """The size of the file beyond the replies themselves, for each of them."""
        return (self.path.stat().st_size - self.texts) / self.candidates


def build(path: Path, slates: int, progress: Progress, *, undecided: int = OPEN, seed: int = 1) -> BigLog:
    """Fill a new log with so many slates of four replies, spread over a year; nearly all are decided.

    Of so many conversations (``undecided``) one is open, with a last slate that waits; 0: of none.
    """
    connection = open_for_writing(path, busy_timeout=5)
    # It is read only once it is whole.
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -200000")
    connection.execute("PRAGMA foreign_keys = OFF")  # all that is referred to was written just before
    maker = _Maker(random.Random(seed), slates, undecided)
    done = 0
    while done < slates:
        connection.execute("BEGIN IMMEDIATE")
        count = min(BATCH, slates - done)
        for table, columns, found in maker.batch(count):
            marks = ", ".join("?" * (columns.count(",") + 1))
            connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", found)
        connection.execute("COMMIT")
        done += count
        progress("building the log", done, slates)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("PRAGMA synchronous = FULL")
    connection.close()
    return BigLog(
        path=path, slates=slates, candidates=slates * len(ARMS), picks=maker.picks, texts=maker.texts
    )


class _Maker:
    """Makes rows, in the order of time."""

    def __init__(self, rng: random.Random, slates: int, undecided: int) -> None:
        self._rng = rng
        self._undecided = undecided
        self._step = int(YEAR / timedelta(microseconds=1)) / slates
        self._start = rows.micros(END - YEAR)
        self._number = 0
        self._head = GENESIS
        self._spoken: list[dict[str, str]] = []
        self.picks = 0
        self.texts = 0

    def batch(self, count: int) -> Iterator[tuple[str, str, list[Row]]]:
        tables: dict[str, list[Row]] = {name: [] for name in _COLUMNS}
        for _ in range(count):
            self._slate(tables)
        for name, columns in _COLUMNS.items():
            yield name, columns, tables[name]

    def _slate(self, tables: dict[str, list[Row]]) -> None:
        rng, number = self._rng, self._number
        conversation, place = divmod(number, TURNS)
        at = self._start + int(number * self._step)
        name, is_open = f"{conversation:032x}", bool(self._undecided) and conversation % self._undecided == 0
        tags = rows.listed(sorted(rng.sample(TAGS, 2)))
        if place == 0:
            self._spoken = [_said("user", f"Where is order {rng.randrange(10**8)}?")]
            pending = [f"And number {rng.randrange(10**8)}?" for _ in range(TURNS - 1)]
            status = "open" if is_open else "closed"
            tables["conversations"].append(
                (
                    *(name, "An order", "en", f"scenario-{conversation % 7}", tags),
                    *(rows.listed(self._spoken), rows.listed(pending), status, "bench", at, at),
                )
            )
            self._pending = pending
        slate_id, turn_id = f"{number:031x}a", f"{number:031x}b"
        turn = (turn_id, name, rows.listed(self._spoken), None, tags, "en", at)
        slate = (slate_id, turn_id, "2+2", number, 1, "[]", at)
        texts = [" ".join(rng.choices(PARTS, k=4)) for _ in ARMS]
        self.texts += sum(map(len, texts))
        candidates: list[Row] = [
            (
                *(slate_id, at_place, f"{number:031x}{at_place}", arm, arm, model),
                *(texts[at_place], at_place, 0.5, 40, 0.8, "stop", "[]"),
            )
            for at_place, (arm, model) in enumerate(ARMS)
        ]
        tables["turns"].append(turn)
        tables["slates"].append((*slate, *seal(slate, turn, candidates)))
        tables["candidates"] += candidates
        if not (is_open and place == TURNS - 1):
            chosen = rng.choice((0, 1, 1, 2, 3))
            self._pick(tables, slate_id, chosen, at, tables["slates"][-1][-1], f"{number:031x}{chosen}")
            tables["sent_replies"].append((self.picks, name, place))
            self._spoken.append(_said("assistant", texts[chosen]))
            self._spoken += [_said("user", then) for then in self._pending[place : place + 1]]
        self._number += 1

    def _pick(
        self, tables: dict[str, list[Row]], slate_id: str, chosen: int, at: int, sealed: object, reply: str
    ) -> None:
        annotator = f"agent-{self._rng.randrange(1000)}"
        order = list(range(len(ARMS)))
        self._rng.shuffle(order)
        places, shown_at, decided_at = rows.listed(order), at + 1_000_000, at + 9_000_000
        tables["exposures"].append((slate_id, annotator, places, shown_at))
        self.picks += 1
        row = (slate_id, annotator, 1, f"{self.picks:032x}", "chosen", reply)
        row = (*row, None, "[]", None, "agent", 8000, decided_at)
        link = PICKS.link(self._head, self.picks, row, (sealed, places, shown_at))
        self._head = link[1]
        tables["picks"].append((self.picks, *row, *link))


_COLUMNS = {
    "conversations": rows.CONVERSATION,
    "turns": rows.TURN,
    "slates": f"{rows.SLATE}, {SLATE_SEAL}",
    "candidates": rows.CANDIDATE,
    "exposures": "slate_id, viewer, places, shown_at",
    "picks": f"id, {rows.PICK}, {LINK}",
    "sent_replies": "pick_id, conversation_id, place",
}


def _said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
