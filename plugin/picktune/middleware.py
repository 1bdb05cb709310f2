"""The middleware: puts the whole of Picktune under a prefix of any Starlette or FastAPI application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from starlette.requests import Request
from starlette.routing import Match, Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from picktune.feedback import Feedback
from picktune.listeners import Listener
from picktune.mount import mounted
from picktune.service import Service, create_service
from picktune.settings import Settings, load_settings

logger = logging.getLogger("picktune")

WhoIs = Callable[[Request], str | None]


class FeedbackMiddleware:
    """``app.add_middleware(FeedbackMiddleware, settings=…)``, or ``service=…`` for one that you made.

    The service starts before the application and is closed after it. Handlers find ``Feedback`` at
    ``request.state.picktune``, bound to the viewer that ``viewer`` names for a request, if it is given.
    ``decided`` is called with every new decision, in the background, when it is on disk.
    Without settings, they are read from ``picktune.toml`` and the environment.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Settings | None = None,
        service: Service | None = None,
        viewer: WhoIs | None = None,
        decided: Listener | None = None,
    ) -> None:
        self.app = app
        self.service = service or create_service(settings or load_settings())
        if decided is not None:
            self.service.listeners.add(decided)
        self._viewer = viewer
        self._mount = Mount(self.service.settings.prefix, app=mounted(self.service))
        self._starting = asyncio.Lock()
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what lies under the prefix, and pass everything else on untouched."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        if not self._started:
            # Some servers, and mounted applications, never hear of a lifespan.
            await self._start()
        match, inner = self._mount.matches(scope)
        if match is not Match.NONE:
            await self._mount.handle({**scope, **inner}, receive, send)
            return
        if scope["type"] in ("http", "websocket"):
            self._equip(scope)
        await self.app(scope, receive, send)

    def _equip(self, scope: Scope) -> None:
        viewer = None
        if self._viewer is not None and scope["type"] == "http":
            viewer = self._viewer(Request(scope))
        scope.setdefault("state", {})["picktune"] = Feedback(self.service, viewer)

    async def _start(self) -> None:
        async with self._starting:
            if not self._started:
                await self.service.start()
                self._started = True

    async def _close(self) -> None:
        if self._started:
            self._started = False
            await self.service.close()

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the host's lifespan within ours; a host that has none gets ours alone."""
        received = answered = False

        async def receive_in_between() -> Message:
            nonlocal received
            message = await receive()
            received = True
            if message["type"] == "lifespan.startup":
                await self._start()
            return message

        async def send_in_between(message: Message) -> None:
            nonlocal answered
            answered = True
            if message["type"] != "lifespan.startup.complete":
                await self._close()
            await send(message)

        try:
            await self.app(scope, receive_in_between, send_in_between)
        except BaseException:
            # Having answered, or having seen the message, the host speaks lifespan and means its failure.
            if answered or received:
                await self._close()
                raise
        if not answered:
            await self._lifespan_alone(receive, send, started=received)

    async def _lifespan_alone(self, receive: Receive, send: Send, *, started: bool) -> None:
        if not started:
            await receive()
            await self._start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._close()
        await send({"type": "lifespan.shutdown.complete"})
