"""The world of ``learning.py``: a chooser whose utilities are known, and slates that are drawn once."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec import structs
from picktune.engines.base import Generation
from picktune.engines.local import LocalEngine
from picktune.records import ChoiceSet, Decision, Message, Record, Sampling, Slate, Turn
from picktune.simulate import Taste
from picktune.slate import POLICIES, draw, order_for
from picktune.tickets import sample_tickets
from picktune_adapters import Aliases

SYSTEM = (
    "You work for an online shop. Answer the customer in one short sentence. Say sorry if something went "
    "wrong, or ask for the order number."
)
START = datetime(2026, 1, 1, tzinfo=UTC)
VIEWER = "simulated chooser"
CONCURRENT = 64


class Chooser(Record, frozen=True, kw_only=True):
    """Picks j with probability softmax_j(u_j + b_place(j)), but a share ``noise`` of picks evenly at random.

    The utility u of a reply, in nats, is what it earns for apologising, for asking for a detail, and for
    being complete within ``words`` words; b are those of the places, from the first. So the softmax is
    noise too: of two replies one nat apart, the better one is picked 73 times in a hundred.
    """

    sorry: float = 3.0
    asks: float = 3.0
    short: float = 2.0
    words: int = 14
    places: tuple[float, ...] = (0.5, 0.15, -0.15, -0.5)
    noise: float = 0.1

    def utility(self, reply: str) -> float:
        """u of a reply, in nats."""
        taste = Taste(words=self.words)
        return (
            self.sorry * taste.apologises(reply)
            + self.asks * taste.asks(reply)
            + self.short * taste.is_short(reply)
        )

    def shares(self, replies: Sequence[str]) -> list[float]:
        """How probable it is that each reply is picked, in the order shown."""
        values = [self.utility(text) + self.places[i] for i, text in enumerate(replies)]
        weights = [math.exp(value - max(values)) for value in values]
        return [(1 - self.noise) * one / sum(weights) + self.noise / len(weights) for one in weights]

    def choose(self, replies: Sequence[str], rng: random.Random) -> int:
        """The index of the reply that is picked."""
        return rng.choices(range(len(replies)), weights=self.shares(replies))[0]

    def worst(self, replies: Sequence[str], rng: random.Random) -> int:
        """The index of the reply that somebody picks who wants the opposite, places aside."""
        weights = [math.exp(-self.utility(text)) for text in replies]
        return rng.choices(range(len(replies)), weights=weights)[0]


class Ticket(Record, frozen=True, kw_only=True):
    """A customer's first message, and in which conversation it comes."""

    id: str
    text: str

    @property
    def messages(self) -> tuple[Message, ...]:
        """The prompt."""
        return Message(role="system", content=SYSTEM), Message(role="user", content=self.text)


def tickets(split: str, count: int, seed: int) -> list[Ticket]:
    """So many tickets of one half, round after round, each as a conversation of its own."""
    known = sample_tickets("en", split=split)  # type: ignore[arg-type]
    rng = random.Random(f"{split}:{seed}")
    made: list[Ticket] = []
    while len(made) < count:
        number = len(made)
        made += [
            Ticket(id=f"{split}-{number + i:04}", text=one.message)
            for i, one in enumerate(rng.sample(known, len(known)))
        ]
    return made[:count]


@dataclass(slots=True)
class Remembering:
    """A speaker that says the same again to the same question: arms are compared beside the same base."""

    engine: LocalEngine
    said: dict[Any, asyncio.Future[list[Generation]]] = field(default_factory=dict)

    async def generate(
        self, messages: Sequence[Message], *, model: str | None, n: int, sampling: Sampling, seed: int
    ) -> list[Generation]:
        """See ``Speaker``."""
        key = tuple(messages), model, n, seed
        if key not in self.said:
            self.said[key] = asyncio.ensure_future(
                self.engine.generate(messages, model=model, n=n, sampling=sampling, seed=seed)
            )
        return await asyncio.shield(self.said[key])


def drawn(
    jobs: Sequence[tuple[Ticket, str | None]],
    *,
    model: Path,
    adapters: Mapping[str, Path],
    sampling: Sampling,
    seed: int,
    advance: Callable[[], None],
) -> list[Slate]:
    """A 2 + 2 slate for every ticket and adapter name; with none, of the base against itself.

    Slates of one ticket hold the same replies of the base, whatever the adapter.
    """
    return asyncio.run(_drawn(jobs, model, adapters, sampling, seed, advance))


async def _drawn(
    jobs: Sequence[tuple[Ticket, str | None]],
    model: Path,
    adapters: Mapping[str, Path],
    sampling: Sampling,
    seed: int,
    advance: Callable[[], None],
) -> list[Slate]:
    engine = LocalEngine(model, queue=8 * CONCURRENT)
    await engine.start()
    room = asyncio.Semaphore(CONCURRENT)
    try:
        for name, folder in adapters.items():
            await engine.load(name, folder)
        speaker = Remembering(engine)

        async def one(ticket: Ticket, adapter: str | None) -> Slate:
            turn = Turn(
                id=f"turn-{ticket.id}",
                conversation_id=ticket.id,
                messages=ticket.messages,
                created_at=START,
            )
            async with room:
                slate = await draw(
                    turn, POLICIES["2+2"], speaker, Aliases(challenger=adapter),
                    rng=random.Random(f"{seed}:{ticket.id}"), now=START, sampling=sampling, timeout=1e6,
                )  # fmt: skip
            advance()
            # Named by what they are, so that another run draws and trains the same.
            return structs.replace(slate, id=f"{seed}-{ticket.id}-{adapter or 'base'}")

        work: list[Awaitable[Slate]] = [one(ticket, adapter) for ticket, adapter in jobs]
        return list(await asyncio.gather(*work))
    finally:
        await engine.close()


def shown(slate: Slate) -> list[Any]:
    """The candidates in the order in which the chooser sees them."""
    by_id = {one.id: one for one in slate.candidates}
    return [by_id[name] for name in order_for(slate, VIEWER)]


def choice_set(slate: Slate, chosen: int, number: int) -> ChoiceSet:
    """What a pick of that place is to a trainer."""
    return ChoiceSet(
        slate_id=slate.id,
        conversation_id=slate.turn.conversation_id,
        messages=slate.turn.messages,
        replies=tuple(one.text for one in shown(slate)),
        chosen=chosen,
        annotator=VIEWER,
        role="model",
        decided_at=START + timedelta(seconds=number),
    )


def decision(slate: Slate, chosen: int, number: int) -> Decision:
    """What a pick of that place is to the support rate."""
    seen = shown(slate)
    tuned = next(one for one in slate.candidates if one.arm != "base")
    return Decision(
        slate_id=slate.id,
        conversation_id=slate.turn.conversation_id,
        annotator=VIEWER,
        role="model",
        verdict="chosen",
        picked=(seen[chosen].arm, *seen[chosen].also),
        position=chosen,
        arms=tuple(name for one in seen for name in (one.arm, *one.also)),
        shown=len(seen),
        tuned=tuned.arm,
        model=tuned.model,
        complete=slate.complete,
        decided_at=START + timedelta(seconds=number),
    )
