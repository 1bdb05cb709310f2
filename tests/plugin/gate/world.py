"""Decisions in a real log, as blind picks of several people would leave them there."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from picktune.log import SQLiteLog
from picktune.records import Candidate, Exposure, Message, Pick, Slate, Turn, new_id


class World:
    """A home's clock and its people; every pick is a second later than what was before it."""

    def __init__(self, home: Path) -> None:
        self.path = home / "picktune.db"
        self.at = datetime(2026, 11, 24, 10, tzinfo=UTC)

    def now(self) -> datetime:
        self.at += timedelta(milliseconds=10)
        return self.at

    def picks(
        self,
        model: str,
        wins: int,
        n: int,
        *,
        arm: str = "challenger",
        tags: tuple[str, ...] = (),
    ) -> list[str]:
        """``wins`` of ``n`` picks fall on the adapter, ten people share them; returns the slates."""
        return asyncio.run(self._picks(model, wins, n, arm, tags))

    async def _picks(self, model: str, wins: int, n: int, arm: str, tags: tuple[str, ...]) -> list[str]:
        # In no order that hangs together with the people, or their picks would count for less.
        made, won = [], [True] * wins + [False] * (n - wins)
        random.Random(7).shuffle(won)
        async with SQLiteLog.open(self.path) as log:
            for number in range(n):
                made.append(await self._pick(log, model, won[number], arm, tags, f"agent {number % 10}"))
        return made

    async def _pick(
        self, log: SQLiteLog, model: str, won: bool, arm: str, tags: tuple[str, ...], who: str
    ) -> str:
        now = self.now() + timedelta(seconds=1)
        self.at = now
        candidates = tuple(
            Candidate(
                id=new_id(),
                arm=one,
                kind="base" if one.startswith("base") else arm,  # type: ignore[arg-type]
                model=None if one.startswith("base") else model,
                text=f"{one} says.",
                position=place,
                propensity=0.5,
                tokens=3,
                latency=0.1,
            )
            for place, one in enumerate(("base", arm))
        )
        turn = Turn(
            id=new_id(),
            conversation_id=new_id(),
            messages=(Message(role="user", content="Hello?"),),
            tags=tags,
            created_at=now,
        )
        slate = Slate(
            id=new_id(),
            turn=turn,
            candidates=candidates,
            policy="1+1",
            seed=1,
            complete=True,
            created_at=now,
        )
        await log.add_slate(slate)
        order = tuple(one.id for one in candidates)
        await log.add_exposure(Exposure(slate_id=slate.id, viewer=who, order=order, shown_at=now))
        chosen = candidates[1 if won else 0].id
        pick = Pick(
            key="k", slate_id=slate.id, verdict="chosen", candidate_id=chosen, annotator=who, decided_at=now
        )
        await log.record(pick)
        return slate.id
