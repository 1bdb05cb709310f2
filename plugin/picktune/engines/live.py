"""A server's answer while it comes: its events, with a limit on every wait, and a way to call it off."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import httpx
import msgspec

from picktune.engines.limits import VLLMLimits
from picktune.engines.sse import EventParser
from picktune.errors import EngineError

_DONE = "[DONE]"
_REST = 0.05  # seconds for what ends a response behind its last event
_Told = Callable[[BaseException | None, str, float], EngineError | None]


class LiveAnswer:
    """An open stream of a server's chunks, each as its JSON, up to ``[DONE]``; see ``Chunks``.

    The first one has to come within ``limits.first`` seconds of ``begin``, on ``time.perf_counter``, and
    each later one within ``limits.between``; comments that keep a connection open do not count. ``told``
    hears once how it ended and gives the error to raise, if it is not one already.
    """

    def __init__(
        self, response: httpx.Response, limits: VLLMLimits, *, begin: float, path: str, told: _Told
    ) -> None:
        self._response = response
        self._pieces = response.aiter_bytes()
        self._parser = EventParser()
        self._waiting: deque[str] = deque()
        self._between = limits.between
        self._patience = limits.first
        self._deadline = asyncio.get_running_loop().time() + limits.first - (time.perf_counter() - begin)
        self._began = begin
        self._path = path
        self._told: _Told | None = told

    def __aiter__(self) -> LiveAnswer:
        return self

    async def __anext__(self) -> str:
        """The next chunk; raises ``EngineError``, and ``EngineDown``, where the answer breaks off."""
        if not self._waiting and self._told is not None:
            try:
                await self._more()
            except (EngineError, httpx.HTTPError) as error:
                ours = await self._end(error)
                if ours is None:
                    raise
                raise ours from error
        if not self._waiting:
            raise StopAsyncIteration
        data = self._waiting.popleft()
        if data == _DONE:
            self._waiting.clear()
            await self._end(None)
            raise StopAsyncIteration
        if data.startswith('{"error"'):
            failure = EngineError(f"{self._where} broke off: {_reason(data)}")
            await self._end(failure)
            raise failure
        return data

    async def aclose(self) -> None:
        """Close the connection, by which the server learns that it may stop; safe to call again."""
        await self._end(asyncio.CancelledError())

    @property
    def _where(self) -> str:
        return f"{self._path} of vLLM at {self._response.request.url.netloc.decode()}"

    async def _more(self) -> None:
        """Wait for the next event."""
        while not self._waiting:
            try:
                async with asyncio.timeout_at(self._deadline):
                    piece = await anext(self._pieces)
            except TimeoutError:
                raise httpx.ReadTimeout(f"no token came within {self._patience:g} s") from None
            except StopAsyncIteration:
                raise EngineError(f"{self._where} broke off in the middle of an answer") from None
            events = self._parser.feed(piece)
            if events:
                self._waiting.extend(event.data for event in events)
                self._patience = self._between
                self._deadline = asyncio.get_running_loop().time() + self._between

    async def _end(self, error: BaseException | None) -> EngineError | None:
        told, self._told = self._told, None
        if told is None:
            return None
        try:
            return told(error, self._path, time.perf_counter() - self._began)
        finally:
            with suppress(httpx.HTTPError, TimeoutError):
                if error is None:
                    # Read to its very end, the connection can serve the next request.
                    async with asyncio.timeout(_REST):
                        async for _ in self._pieces:
                            pass
            with suppress(httpx.HTTPError):
                await self._response.aclose()


def _reason(data: str) -> str:
    try:
        error = msgspec.json.decode(data)["error"]
        return str(error.get("message", error) if isinstance(error, dict) else error)[:300]
    except msgspec.MsgspecError:
        return data[:300]
