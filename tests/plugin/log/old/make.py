"""Writes a small log with the Picktune that is installed, and dumps it as SQL, for later versions.

    python tests/plugin/log/old/make.py          # before a migration is added

The name of the file is that of the newest migration. It uses only what every version has had.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from picktune.log import SQLiteLog
from picktune.records import Candidate, Conversation, Exposure, Message, Pick, Reaction, Slate, Turn
from picktune_adapters import Aliases

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
TEXTS = (
    "It is on its way.",
    "请稍等，我查一下。",
    "Please give me\nthe order number.",
    'It\'s "late"; sorry.',
)


def at(minutes: int) -> datetime:
    """A moment of the story."""
    return START + timedelta(minutes=minutes)


def slate(number: int, conversation: Conversation) -> Slate:
    """Four replies, two of each arm; those of the third slate said the same."""
    turn = Turn(
        id=f"turn-{number}",
        conversation_id=conversation.id,
        messages=conversation.messages,
        user_ref="customer 7",
        tags=("refund", "vip") if number % 2 else (),
        locale="zh-CN" if number == 2 else "en",
        created_at=at(number),
    )
    candidates = tuple(
        Candidate(
            id=f"reply-{number}-{place}",
            arm=("base", "champion")[place % 2],
            kind=("base", "champion")[place % 2],  # type: ignore[arg-type]
            model=(None, "2026-02-27-1")[place % 2],
            text=text,
            position=place,
            propensity=0.25,
            tokens=7,
            latency=0.5,
            also=("champion",) if number == 3 and place == 0 else (),
        )
        for place, text in enumerate(TEXTS)
    )
    return Slate(
        id=f"slate-{number}",
        turn=turn,
        candidates=candidates,
        policy="2+2",
        seed=number,
        complete=number != 4,
        failures=() if number != 4 else ("champion: late",),
        created_at=at(number),
    )


def pick(number: int, verdict: str, key: str, minutes: int, place: int | None = None, **more: object) -> Pick:
    """A decision of Ann's."""
    values = {
        "key": key,
        "slate_id": f"slate-{number}",
        "verdict": verdict,
        "candidate_id": None if place is None else f"reply-{number}-{place}",
        "annotator": "ann",
        "decided_at": at(minutes),
    }
    return Pick(**{**values, **more})  # type: ignore[arg-type]


async def fill(path: Path) -> None:
    """Every kind of row that there has been from the beginning."""
    talks = [
        Conversation(
            id=f"talk-{number}",
            title=f"Order {number}",
            scenario="refund" if number % 2 else None,
            messages=(Message(role="user", content=f"Where is order {number}? 在哪里？"),),
            pending=("Thanks.",) if number == 1 else (),
            created_at=at(0),
            updated_at=at(0),
        )
        for number in range(1, 7)
    ]
    async with SQLiteLog.open(path) as log:
        await log.saw_aliases(Aliases(champion="2026-02-27-1"), at(0))
        await log.add_conversations(talks)
        for number, talk in enumerate(talks, 1):
            one = slate(number, talk)
            await log.add_slate(one)
            if number == 6:
                continue  # nobody saw the last one
            order = tuple(one.candidates[place].id for place in (2, 0, 3, 1))
            for viewer in ("ann", "bob"):
                await log.add_exposure(Exposure(slate_id=one.id, viewer=viewer, order=order, shown_at=at(10)))
        await log.record(pick(1, "chosen", "k1", 20, 1, edited_text="It's on its way!", dwell_ms=900))
        await log.record(pick(2, "chosen", "k2", 21, 0, reasons=("polite",), comment="好"))
        await log.record(pick(2, "undone", "k3", 22))
        await log.record(pick(2, "chosen", "k4", 23, 3))
        await log.record(pick(2, "none_good", "k5", 24, annotator="bob", role="expert"))
        await log.record(pick(3, "tie", "k6", 25, 0))
        await log.record(pick(4, "skip", "k7", 26))
        await log.record(pick(5, "none_good", "k8", 27, edited_text="Written by hand."))
        for key, value in (("r1", "up"), ("r2", "down")):
            await log.react(
                Reaction(
                    key=key,
                    candidate_id="reply-1-1",
                    value=value,  # type: ignore[arg-type]
                    reasons=("wrong",) if value == "down" else (),
                    annotator="customer 7",
                    reacted_at=at(30),
                )
            )


def dump(path: Path) -> tuple[str, str]:
    """The newest migration's name, and the file as SQL."""
    connection = sqlite3.connect(path)
    (name,) = connection.execute("SELECT name FROM _sqlite_migrations ORDER BY id DESC LIMIT 1").fetchone()
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    statements = [f"PRAGMA application_id = {application_id};", *connection.iterdump()]
    connection.close()
    return name, "\n".join(statements) + "\n"


def main() -> None:
    """Make the file beside this one, or in the folder that is named."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / "picktune.db"
        asyncio.run(fill(path))
        name, sql = dump(path)
    (folder / f"{name}.sql").write_text(sql, "utf-8")


if __name__ == "__main__":
    main()
