"""Events on their way to a client, who may read slowly, not at all, or be gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from picktune.wire import HEADERS

logger = logging.getLogger("picktune")


class EventStream(Response):
    """Server-sent events, sent as they come.

    ``events`` is closed as soon as the client goes away, also while it waits for the next event, and when
    the client takes nothing for ``patience`` seconds; the answer then ends unfinished. ``ended`` is called
    in any case.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncGenerator[bytes, None],
        patience: float,
        *,
        ended: Callable[[], Any] = lambda: None,
    ) -> None:
        self._events = events
        self._patience = patience
        self._ended = ended
        self.status_code = 200
        self.background = None
        # Proxies that collect a stream would undo it.
        self.init_headers({**HEADERS, "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all of it, or as much as the client wants."""
        sending, gone = asyncio.ensure_future(self._send(send)), asyncio.ensure_future(gone_from(receive))
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            for one in (sending, gone):
                one.cancel()
            await asyncio.gather(sending, gone, return_exceptions=True)
            try:
                await self._events.aclose()
            finally:
                self._ended()

    async def _send(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        try:
            await self._within(send, start)
            async for event in self._events:
                await self._within(send, {"type": "http.response.body", "body": event, "more_body": True})
            await self._within(send, {"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            logger.warning("a client took nothing of its stream for %g s; it was ended", self._patience)
        except OSError:
            return  # it has gone

    async def _within(self, send: Send, message: dict[str, Any]) -> None:
        async with asyncio.timeout(self._patience):
            await send(message)


async def gone_from(receive: Receive) -> None:
    """Wait until the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass
