"""A log in a real file, and records to put into it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from picktune.log import SQLiteLog
from picktune.records import (
    Candidate,
    Conversation,
    Exposure,
    Message,
    Pick,
    Reaction,
    Slate,
    Turn,
    new_id,
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "picktune.db"


@pytest.fixture
async def log(path: Path) -> AsyncIterator[SQLiteLog]:
    async with SQLiteLog.open(path) as log:
        yield log


class Make:
    """Makes records; every clock reading is a second later than the one before."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self.rng = random.Random(0)

    def time(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def conversation(self, *, said: str = "Where is my order?", **fields: Any) -> Conversation:
        now = self.time()
        values: dict[str, Any] = {
            "id": new_id(),
            "title": "An order",
            "messages": (Message(role="user", content=said),),
            "created_at": now,
            "updated_at": now,
        }
        return Conversation(**values | fields)

    def slate(
        self,
        arms: Sequence[str] = ("base", "champion", "base", "champion"),
        *,
        conversation: Conversation | None = None,
        texts: Sequence[str] | None = None,
        also: dict[int, tuple[str, ...]] | None = None,
        model: str | None = "2026-03-01-1",
        turn: dict[str, Any] | None = None,
        **fields: Any,
    ) -> Slate:
        kinds = {"champion": "champion", "challenger": "challenger"}
        candidates = tuple(
            Candidate(
                id=f"{self.rng.getrandbits(128):032x}",
                arm=arm,
                kind=kinds.get(arm, "base"),
                model=model if arm in kinds else None,
                text=texts[place] if texts else f"Reply {place} of {arm}.",
                position=place,
                propensity=0.5,
                tokens=7,
                latency=0.25,
                also=(also or {}).get(place, ()),
            )
            for place, arm in enumerate(arms)
        )
        of_turn: dict[str, Any] = {
            "id": new_id(),
            "conversation_id": conversation.id if conversation else new_id(),
            "messages": conversation.messages if conversation else (Message(role="user", content="Hello?"),),
            "created_at": self.time(),
        }
        values: dict[str, Any] = {
            "id": new_id(),
            "turn": Turn(**of_turn | (turn or {})),
            "candidates": candidates,
            "policy": "2+2",
            "seed": self.rng.getrandbits(63),
            "complete": True,
            "created_at": self.time(),
        }
        return Slate(**values | fields)

    def exposure(
        self, slate: Slate, viewer: str = "ann", order: Sequence[int] | None = None, **fields: Any
    ) -> Exposure:
        places = range(len(slate.candidates)) if order is None else order
        values: dict[str, Any] = {
            "slate_id": slate.id,
            "viewer": viewer,
            "order": tuple(slate.candidates[place].id for place in places),
            "shown_at": self.time(),
        }
        return Exposure(**values | fields)

    def pick(self, slate: Slate, verdict: str = "chosen", chosen: int | None = None, **fields: Any) -> Pick:
        place = 0 if verdict == "chosen" and chosen is None else chosen
        values: dict[str, Any] = {
            "key": new_id(),
            "slate_id": slate.id,
            "verdict": verdict,
            "candidate_id": None if place is None else slate.candidates[place].id,
            "annotator": "ann",
            "decided_at": self.time(),
        }
        return Pick(**values | fields)

    def reaction(self, slate: Slate, place: int = 0, **fields: Any) -> Reaction:
        values: dict[str, Any] = {
            "key": new_id(),
            "candidate_id": slate.candidates[place].id,
            "value": "up",
            "annotator": "ann",
            "reacted_at": self.time(),
        }
        return Reaction(**values | fields)

    async def shown(
        self, log: SQLiteLog, *args: Any, viewers: Sequence[str] = ("ann",), **fields: Any
    ) -> Slate:
        """A slate in the log that was shown to the viewers."""
        slate = self.slate(*args, **fields)
        await log.add_slate(slate)
        for viewer in viewers:
            await log.add_exposure(self.exposure(slate, viewer))
        return slate


@pytest.fixture
def make() -> Make:
    return Make()


@pytest.fixture(scope="session")
def new_make() -> type[Make]:
    """For fixtures that serve several tests."""
    return Make
