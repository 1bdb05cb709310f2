"""A real log with picks in it, for the nights of the tests."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest
from picktune.log import SQLiteLog
from picktune.records import AnnotatorRole, Candidate, Exposure, Message, Pick, Reaction, Slate, Turn

EVENING = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
GOOD = ("Sorry! Which order?", "Sorry! Your order number?", "Sorry, which order is it?")
OTHERS = ("Please wait.", "We value you.", "Call the carrier.", "It is on its way.", "See our pages.", "Hm.")


class FillLog(Protocol):
    """Puts decided slates into the log of a home folder and returns that folder.

    With ``taste``, the picked reply is always the one that apologises; without it, any.
    """

    def __call__(
        self,
        home: Path,
        picks: int = 60,
        *,
        taste: bool = True,
        role: AnnotatorRole = "agent",
        start: int = 0,
        conversations: int | None = None,
    ) -> Path: ...


@pytest.fixture(scope="session")
def fill_log() -> FillLog:
    """See ``FillLog``; the same arguments give the same picks in every home."""

    def fill(
        home: Path,
        picks: int = 60,
        *,
        taste: bool = True,
        role: AnnotatorRole = "agent",
        start: int = 0,
        conversations: int | None = None,
    ) -> Path:
        home.mkdir(parents=True, exist_ok=True)
        asyncio.run(_fill(home / "picktune.db", range(start, start + picks), taste, role, conversations))
        return home

    return fill


@pytest.fixture(scope="session")
def fill_others() -> Callable[[Path, int], Path]:
    """Puts so many decided slates of each other kind into a home's log: edits, none good, ties, thumbs."""

    def fill(home: Path, each: int = 6) -> Path:
        home.mkdir(parents=True, exist_ok=True)
        asyncio.run(_fill_others(home / "picktune.db", each))
        return home

    return fill


async def _fill_others(path: Path, each: int) -> None:
    async with SQLiteLog.open(path) as log:
        for number in range(each):
            for kind in ("edit", "written", "none_good", "tie", "thumb"):
                at = EVENING + timedelta(seconds=number)
                rng = random.Random(f"{kind}:{number}")
                texts = [rng.choice(GOOD), *rng.sample(OTHERS, 2)]
                name = f"{kind}-{number:03}"
                slate = Slate(
                    id=f"slate-{name}",
                    turn=Turn(
                        id=f"turn-{name}",
                        conversation_id=f"conversation-{name}",
                        messages=(Message(role="user", content=f"What of my {kind} {number}?"),),
                        tags=(kind,),
                        created_at=at,
                    ),
                    candidates=tuple(
                        Candidate(
                            id=f"{name}-{place}",
                            arm="base",
                            kind="base",
                            model=None,
                            text=text,
                            position=place,
                            propensity=1.0,
                            tokens=9,
                            latency=0.1,
                        )
                        for place, text in enumerate(texts)
                    ),
                    policy="3",
                    seed=number,
                    complete=True,
                    created_at=at,
                )
                order = tuple(candidate.id for candidate in slate.candidates)
                await log.add_slate(slate)
                await log.add_exposure(Exposure(slate_id=slate.id, viewer="ann", order=order, shown_at=at))
                if kind == "thumb":
                    for place, candidate in enumerate(order):
                        await log.react(
                            Reaction(
                                key=f"thumb-{candidate}",
                                candidate_id=candidate,
                                value="down" if place else "up",
                                annotator="ann",
                                role="agent",
                                reacted_at=at,
                            )
                        )
                    continue
                await log.record(
                    Pick(
                        key=f"key-{name}",
                        slate_id=slate.id,
                        verdict={"edit": "chosen", "tie": "tie"}.get(kind, "none_good"),
                        candidate_id=order[0] if kind in ("edit", "tie") else None,
                        edited_text=f"Sorry! Which {number}?" if kind in ("edit", "written") else None,
                        annotator="ann",
                        role="agent",
                        decided_at=at,
                    )
                )


async def _fill(
    path: Path, numbers: range, taste: bool, role: AnnotatorRole, conversations: int | None
) -> None:
    async with SQLiteLog.open(path) as log:
        for number in numbers:
            rng = random.Random(f"{number}:{taste}")
            at = EVENING + timedelta(seconds=number)
            conversation = number % conversations if conversations else number
            texts = [rng.choice(GOOD), *rng.sample(OTHERS, 3)]
            rng.shuffle(texts)
            wanted = next(i for i, text in enumerate(texts) if text in GOOD) if taste else rng.randrange(4)
            slate = Slate(
                id=f"slate-{number:04}",
                turn=Turn(
                    id=f"turn-{number:04}",
                    conversation_id=f"conversation-{conversation}",
                    messages=(Message(role="user", content=f"Where is parcel {conversation}?"),),
                    created_at=at,
                ),
                candidates=tuple(
                    Candidate(
                        id=f"candidate-{number:04}-{place}",
                        arm="base" if place % 2 else "base-b",
                        kind="base",
                        model=None,
                        text=text,
                        position=place,
                        propensity=0.5,
                        tokens=9,
                        latency=0.1,
                    )
                    for place, text in enumerate(texts)
                ),
                policy="2+2",
                seed=number,
                complete=True,
                created_at=at,
            )
            order = tuple(candidate.id for candidate in slate.candidates)
            await log.add_slate(slate)
            await log.add_exposure(Exposure(slate_id=slate.id, viewer="ann", order=order, shown_at=at))
            await log.record(
                Pick(
                    key=f"key-{number}",
                    slate_id=slate.id,
                    verdict="chosen",
                    candidate_id=order[wanted],
                    annotator="ann",
                    role=role,
                    decided_at=at,
                )
            )
