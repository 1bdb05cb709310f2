"""uvicorn as ``picktune serve`` runs it: told to end, it first lets go what is being drawn."""

from __future__ import annotations

import asyncio
import math
import signal
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    import socket

    from picktune.reload import Reloader
    from picktune.service import Service


class DrainingServer(uvicorn.Server):
    """At SIGTERM it goes on answering, draws no new slates, and ends when none is being drawn any more.

    That takes ``seconds`` at most, with what uvicorn then waits for open answers. A second SIGTERM, or
    Ctrl-C, ends the waiting. ``started_up`` is called when the port answers.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        service: Service,
        *,
        seconds: float,
        started_up: Callable[[], None],
        reloader: Reloader | None = None,
    ) -> None:
        super().__init__(config)
        self._reloader = reloader
        self._reloading: asyncio.Task[None] | None = None
        self._service = service
        self._seconds = seconds
        self._started_up = started_up
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None
        self._told = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if not self.should_exit:
            if self._reloader is not None:
                self._reloading = asyncio.create_task(self._reloader.run(self._service.settings.poll))
            self._started_up()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End, and look at the settings no more."""
        if self._reloading is not None:
            self._reloading.cancel()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by the signal, between any two instructions."""
        if sig == signal.SIGTERM and self.started and self._loop and not (self._told or self.should_exit):
            self._told = True
            self._loop.call_soon_threadsafe(self._drain)
        else:
            if self._told:
                self.config.timeout_graceful_shutdown = 1
            super().handle_exit(sig, frame)

    def _drain(self) -> None:
        self._service.drain()
        self._draining = asyncio.ensure_future(self._end())

    async def _end(self) -> None:
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._seconds
        while True:
            if not self._service.drawing or clock() >= deadline or self.should_exit:
                break
            await asyncio.sleep(0.05)
        if not self.should_exit:
            # The slates are there; their answers may still be on their way.
            self.config.timeout_graceful_shutdown = max(1, math.ceil(deadline - clock()))
            super().handle_exit(signal.SIGTERM, None)
