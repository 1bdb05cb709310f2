"""What an engine is: something that samples replies from the base model and from its adapters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from msgspec import field

from picktune.records import Message, Record, Sampling


class Generation(Record, frozen=True, kw_only=True):
    """One sampled reply; ``latency`` is in seconds, from submission to the last token.

    ``prompt_tokens`` counts what the model read before it, or is 0 where the engine does not say.
    """

    text: str
    tokens: int
    latency: float
    finish_reason: str
    prompt_tokens: int = 0


class Speaker(Protocol):
    """Samples replies: all that the drawing of a slate needs of an engine."""

    async def generate(
        self,
        messages: Sequence[Message],
        *,
        model: str | None,
        n: int,
        sampling: Sampling,
        seed: int,
    ) -> list[Generation]:
        """Sample ``n`` replies to ``messages`` from the base (``model=None``) or from a loaded adapter.

        ``seed`` makes the replies reproducible on this engine as far as its arithmetic allows;
        ``temperature=0`` is greedy. Raises ``EngineBusy`` when the queue is full, ``EngineDown`` when
        nothing answers, ``AdapterNotFound`` when no adapter of that name is loaded.
        """
        ...


class Engine(Speaker, Protocol):
    """Samples replies. Implementations never block the event loop and are safe to call concurrently."""

    @property
    def base_model(self) -> str:
        """The name or folder of the base model, as adapters name it."""
        ...

    async def start(self) -> None:
        """Make ready to answer: load the model, or reach the server.

        Raises ``EngineDown`` if that cannot be done.
        """
        ...

    async def load(self, name: str, folder: Path) -> None:
        """Load an adapter version under its name; loading a loaded one again changes nothing.

        Raises ``AdapterCorrupt`` if the engine cannot take it.
        """
        ...

    async def unload(self, name: str) -> None:
        """Drop an adapter; requests that are already running complete."""
        ...

    async def loaded(self) -> list[str]:
        """The names of the adapters that can be asked for now, sorted."""
        ...

    async def ready(self) -> bool:
        """Whether a request would be answered now."""
        ...

    async def close(self) -> None:
        """Let go of the model or of the connections."""
        ...


@runtime_checkable
class Queueing(Protocol):
    """An engine that has a queue of its own and can tell how long it is."""

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        ...


class ReplicaState(Record, frozen=True, kw_only=True):
    """One of the servers behind an engine, as operators see it.

    ``breaker`` is ``closed`` while it is asked, ``open`` while it is left alone and ``half_open`` when it is
    tried again; ``opened`` counts how often it opened, ``outcomes`` the requests by how they ended.
    """

    url: str
    breaker: str
    outstanding: int
    adapters: tuple[str, ...] = ()
    problem: str | None = None
    opened: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)


@runtime_checkable
class Replicated(Protocol):
    """An engine that is several servers, or one that can be looked at like that."""

    @property
    def replicas(self) -> tuple[ReplicaState, ...]:
        """How each of them is."""
        ...

    def speakers(self) -> Sequence[Speaker]:
        """Each server that answers, as a speaker of its own: what it says comes from no other."""
        ...


@runtime_checkable
class Forwarding(Protocol):
    """An engine whose server itself speaks OpenAI's chat completions, and takes more of their fields."""

    async def generate(
        self,
        messages: Sequence[Message],
        *,
        model: str | None,
        n: int,
        sampling: Sampling,
        seed: int,
        options: Mapping[str, Any] = ...,
    ) -> list[Generation]:
        """See ``Engine.generate``; ``options`` are further fields of the request, sent as they are."""
        ...

    async def forward(
        self, messages: Sequence[Mapping[str, Any]], fields: Mapping[str, Any], *, model: str | None
    ) -> dict[str, Any]:
        """The server's own answer to messages that may hold tool calls, and to whatever ``fields`` ask.

        Raises what ``Engine.generate`` raises, and ``InvalidInput`` with the server's reason if it refuses
        the request.
        """
        ...


class Chunks(Protocol):
    """A streamed answer while it comes: the JSON of one chunk after the other.

    Raises ``EngineError`` where it breaks off. ``aclose`` calls off what has not come yet.
    """

    def __aiter__(self) -> Chunks: ...

    async def __anext__(self) -> str: ...

    async def aclose(self) -> None:
        """Let the server know that nobody listens any more."""
        ...


@runtime_checkable
class Streaming(Protocol):
    """An engine that can give an answer token by token."""

    async def stream(
        self, messages: Sequence[Mapping[str, Any]], fields: Mapping[str, Any], *, model: str | None
    ) -> Chunks:
        """The server's own answer, as OpenAI's chunks; see ``Forwarding.forward``.

        It returns when the server has begun to answer; whoever gets it must close it.
        """
        ...
