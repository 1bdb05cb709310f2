"""A named arm's answer, token by token as its server gives it."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator

import msgspec
from msgspec import UNSET

from picktune.endpoint import Call
from picktune.engines.base import Chunks, Streaming
from picktune.errors import AdapterNotFound, EngineError, PicktuneError
from picktune.gateway.arms import Ask, ask_of, chat_span
from picktune.gateway.bodies import ChatCompletionChunk, ChunkChoice, Usage
from picktune.gateway.errors import ModelNotFound, error_body
from picktune.gateway.fields import raw_messages_of
from picktune.gateway.stream import DONE, event
from picktune.records import new_id
from picktune.service import Service

logger = logging.getLogger("picktune")


async def live_arm(call: Call, *, include_usage: bool) -> AsyncGenerator[bytes, None]:
    """The events of a named arm's answer, when the first of them is there; whoever gets them closes them.

    Raises ``ModelNotFound`` for an arm that does not speak now, and what ``Streaming.stream`` raises. What
    goes wrong later is an event of its own, in OpenAI's shape, with which the stream ends.
    """
    ask = ask_of(call)
    service: Service = call.service
    engine = service.engine
    assert isinstance(engine, Streaming)  # noqa: S101 - the route has looked
    fields = dict(ask.fields or {})
    if include_usage:
        fields["stream_options"] = {"include_usage": True}
    # The span is of what we wait for, until the first token; the request's own is until the last.
    with chat_span(service, ask, stream=True):
        try:
            chunks = await engine.stream(raw_messages_of(call.body), fields, model=ask.model)
        except AdapterNotFound:
            raise ModelNotFound(ask.name) from None
        try:
            first = await anext(chunks, None)
        except BaseException:
            await chunks.aclose()
            raise
    return _Events(ask, chunks, first, created=int(service.now().timestamp()), usage=include_usage)


class _TheirChunk(msgspec.Struct):
    choices: tuple[ChunkChoice, ...]
    usage: Usage | None = None


class _Events(AsyncGenerator[bytes, None]):
    """A class, for an asynchronous generator that never began would not close its chunks."""

    def __init__(self, ask: Ask, chunks: Chunks, first: str | None, *, created: int, usage: bool) -> None:
        self._chunks = chunks
        self._next = first
        self._began = self._ended = False
        self._usage = usage
        self._id, self._created, self._model = f"chatcmpl-{new_id()}", created, ask.answers_as

    async def asend(self, value: None) -> bytes:
        """The next event."""
        if self._ended:
            raise StopAsyncIteration
        try:
            found = await anext(self._chunks, None) if self._began else self._next
            self._began, self._next = True, None
            if found is not None:
                return event(self._chunk(found))
            self._ended = True
            return DONE
        except PicktuneError as error:
            logger.warning("a stream broke off: %s", error)
            await self.aclose()
            return event(error_body(error))

    async def athrow(self, *error: object) -> bytes:
        """Nothing is thrown into it."""
        await self.aclose()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Call off what has not come yet."""
        self._ended = True
        await self._chunks.aclose()

    def _chunk(self, data: str) -> ChatCompletionChunk:
        """The server's chunk under our own name; fields that are not OpenAI's are left out."""
        try:
            chunk = msgspec.json.decode(data, type=_TheirChunk)
        except msgspec.MsgspecError as error:
            raise EngineError(f"the model's server sent something that is no chunk ({error})") from None
        return ChatCompletionChunk(
            id=self._id,
            created=self._created,
            model=self._model,
            choices=chunk.choices,
            usage=chunk.usage if self._usage else UNSET,
        )
