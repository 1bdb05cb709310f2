"""A simulated picker: a stated taste in place of a person, deciding over the HTTP API as a person would.

Its decisions carry the role ``model``. They count only where the settings say so, and are called simulated
wherever they are shown.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Sequence
from typing import Annotated

import httpx
import msgspec
from msgspec import Meta

from picktune.bodies import Decide, DrawSlate, ErrorBody, SlateView
from picktune.errors import EngineBusy, PicktuneError
from picktune.records import Message, Record, new_id

_SORRY = re.compile(r"\b(sorry|apologi[sz]e|apologies|apology)\b", re.IGNORECASE)
_ASKS = re.compile(
    r"\border (number|id)\b|\b(please|could you|can you|would you)\b[^.!]*\b"
    r"(provide|share|send|tell|give|confirm|specify|describe|explain|let (me|us) know)\b",
    re.IGNORECASE,
)
_ENDS = (".", "!", "?")


class Taste(Record, frozen=True, kw_only=True):
    """The rule by which the simulated picker decides; it reads the words of a reply and nothing else.

    A reply earns a point each for being short (at most ``words`` words, and not cut off in the middle of a
    sentence), for apologising, and for asking for the order number or another detail. The reply with the
    most points is picked; of several that have as many, the one with the fewest words; a random one if that
    leaves several. So where a reply stands cannot matter. With probability ``noise`` the pick is uniform
    over all.
    """

    words: Annotated[int, Meta(ge=1)] = 30
    noise: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.1

    def points(self, reply: str) -> int:
        """From 0 to 3."""
        return self.is_short(reply) + self.apologises(reply) + self.asks(reply)

    def is_short(self, reply: str) -> bool:
        """Whether the reply is complete and has few words."""
        return len(reply.split()) <= self.words and reply.rstrip().endswith(_ENDS)

    def apologises(self, reply: str) -> bool:
        """Whether the reply says sorry."""
        return bool(_SORRY.search(reply))

    def asks(self, reply: str) -> bool:
        """Whether the reply asks the customer for the order number or another detail."""
        return bool(_ASKS.search(reply))

    def choose(self, replies: Sequence[str], rng: random.Random) -> int:
        """The index of the reply that is picked; raises ``ValueError`` if there is none."""
        if not replies:
            raise ValueError("there is nothing to choose from")
        if rng.random() < self.noise:
            return rng.randrange(len(replies))
        ranks = [(self.points(reply), -len(reply.split())) for reply in replies]
        return rng.choice([i for i, rank in enumerate(ranks) if rank == max(ranks)])

    def __str__(self) -> str:
        return (
            f"a point each for at most {self.words} words and a finished sentence, for an apology, and for "
            "asking for the order number or another detail; most points win, then fewest words; "
            f"{self.noise:.0%} of all picks are drawn at random"
        )


class Decided(Record, frozen=True, kw_only=True):
    """A slate that the simulated picker decided on, and the words that it picked."""

    slate_id: str
    candidate_id: str
    text: str


class Picker:
    """A simulated annotator. ``client`` has the API's base URL and a key with the scopes slate and pick.

    A busy server is asked again for up to ``patience`` seconds.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        taste: Taste,
        *,
        rng: random.Random,
        name: str = "simulated picker",
        patience: float = 600.0,
    ) -> None:
        self.taste = taste
        self.name = name
        self._client = client
        self._rng = rng
        self._patience = patience

    async def decide(
        self,
        messages: Sequence[Message],
        *,
        conversation_id: str,
        tags: Sequence[str] = (),
        locale: str = "en",
    ) -> Decided:
        """Draw a slate, look at it and pick; raises ``SimulationFailed``, and ``httpx`` errors."""
        draw = DrawSlate(
            messages=tuple(messages),
            conversation_id=conversation_id,
            tags=tuple(tags),
            locale=locale,
            viewer=self.name,
        )
        slate = msgspec.json.decode(await self._post("/slates", draw), type=SlateView)
        texts = [candidate.text for candidate in slate.candidates]
        chosen = slate.candidates[self.taste.choose(texts, self._rng)]
        pick = Decide(
            key=new_id(),
            slate_id=slate.id,
            verdict="chosen",
            candidate_id=chosen.id,
            annotator=self.name,
            role="model",
        )
        await self._post("/picks", pick)
        return Decided(slate_id=slate.id, candidate_id=chosen.id, text=chosen.text)

    async def _post(self, path: str, body: Record) -> bytes:
        waited = 0.0
        while True:
            response = await self._client.post(
                path, content=msgspec.json.encode(body), headers={"Content-Type": "application/json"}
            )
            if response.status_code != EngineBusy.status or waited >= self._patience:
                break
            pause = float(response.headers.get("Retry-After", "1"))
            await asyncio.sleep(pause)
            waited += pause
        if response.is_success:
            return response.content
        raise SimulationFailed(path, response)


class SimulationFailed(PicktuneError, RuntimeError):
    """The server refused what the simulated picker asked for."""

    code = "simulation_failed"

    def __init__(self, path: str, response: httpx.Response) -> None:
        try:
            said = msgspec.json.decode(response.content, type=ErrorBody).error.message
        except msgspec.DecodeError:
            said = response.text[:200]
        super().__init__(f"POST {path} was answered with {response.status_code}: {said}")
