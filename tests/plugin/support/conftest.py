"""A real log of picks of two adapters: ``v2`` on trial, undecided, and ``v1`` before it, well liked."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from picktune.log import SQLiteLog
from picktune.records import Candidate, Conversation, Exposure, Message, Pick, Slate, Turn, new_id

START = datetime(2026, 3, 2, 9, tzinfo=UTC)


def slate_of(number: int, model: str, conversation: str, at: datetime) -> Slate:
    """A slate of the base and the adapter, one reply each."""
    arms = (("base", "base", None), ("challenger", "challenger", model))
    return Slate(
        id=new_id(),
        turn=Turn(
            id=new_id(),
            conversation_id=conversation,
            messages=(Message(role="user", content="Where is my order?"),),
            tags=("order", "=1+1") if number % 2 else ("order",),
            locale="zh-CN" if number % 3 == 0 else "en",
            created_at=at,
        ),
        candidates=tuple(
            Candidate(
                id=new_id(),
                arm=arm,
                kind=kind,  # type: ignore[arg-type]
                model=served,
                text=f"Reply {number} of {arm}",
                position=place,
                propensity=0.5,
                tokens=3,
                latency=0.1,
            )
            for place, (arm, kind, served) in enumerate(arms)
        ),
        policy="1+1",
        seed=1,
        complete=True,
        created_at=at,
    )


async def _write(path: Path) -> None:
    async with SQLiteLog.open(path) as log:
        await log.add_conversations(
            [
                Conversation(
                    id=f"v1 talk {number}",
                    title="Order",
                    scenario="late parcels",
                    created_at=START,
                    updated_at=START,
                )
                for number in range(20)
            ]
        )
        # v1: 48 of 60, three picks a conversation; v2: 20 of 32, in a later week.
        for model, wins, n in (("v1", 48, 60), ("v2", 20, 32)):
            for number in range(n):
                at = START + timedelta(days=7 * (model == "v2"), minutes=number)
                slate = slate_of(number, model, f"{model} talk {number // 3}", at)
                who = "mei" if number % 2 else "tom"
                order = tuple(one.id for one in slate.candidates)
                won = number * wins // n != (number + 1) * wins // n
                await log.add_slate(slate)
                await log.add_exposure(Exposure(slate_id=slate.id, viewer=who, order=order, shown_at=at))
                await log.record(
                    Pick(
                        key="k",
                        slate_id=slate.id,
                        verdict="chosen",
                        candidate_id=slate.candidates[won].id,
                        annotator=who,
                        role="expert" if who == "tom" else "agent",
                        decided_at=at,
                    )
                )


@pytest.fixture(scope="session")
def picked_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with that log, to be read only."""
    home = tmp_path_factory.mktemp("picked")
    asyncio.run(_write(home / "picktune.db"))
    return home
