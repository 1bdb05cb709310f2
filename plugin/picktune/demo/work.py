"""The simulated picker at work: tickets come in, slates are drawn several at a time, each is decided on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence

import httpx
from msgspec import structs
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from picktune.demo.server import Server
from picktune.records import Conversation
from picktune.simulate import Decided, Picker, SimulationFailed


def rounds(known: Sequence[Conversation], name: str, rng: random.Random) -> Iterator[Conversation]:
    """The tickets in random order, round after round without end, each time as a conversation of its own."""
    number = 0
    while known:
        number += 1
        for one in rng.sample(known, len(known)):
            yield structs.replace(one, id=f"{name}-{number}-{one.id}")


class Work:
    """One picker with a bar: decides on first messages out of ``source``, ``in_flight`` slates at a time."""

    def __init__(
        self, server: Server, picker: Picker, source: Iterator[Conversation], *, in_flight: int
    ) -> None:
        self._server = server
        self._picker = picker
        self._source = source
        self._in_flight = in_flight

    async def decide(self, count: int, console: Console, title: str) -> list[Decided]:
        """Decide on ``count`` more slates; raises ``DemoFailed`` if the server fails meanwhile."""
        waiting = count
        decided: list[Decided] = []
        with _bar(console) as bar:
            task = bar.add_task(title, total=count)

            async def one_after_another() -> None:
                nonlocal waiting
                while waiting:
                    waiting -= 1
                    decided.append(await self._decide_on(next(self._source)))
                    bar.advance(task)

            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._in_flight, count)):
                    group.create_task(one_after_another())
        return decided

    async def _decide_on(self, ticket: Conversation) -> Decided:
        self._server.check_alive()
        try:
            return await self._picker.decide(
                ticket.messages, conversation_id=ticket.id, tags=ticket.tags, locale=ticket.locale
            )
        except (httpx.TransportError, SimulationFailed) as error:
            raise await self._server.failed(error) from error


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )
