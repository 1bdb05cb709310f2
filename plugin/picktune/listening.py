"""How ``picktune serve`` listens: nobody holds a connection by sending slowly, or by not reading."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from picktune.settings import Settings

# Seconds without a word until the kernel asks whether the other machine is still there, and between asking.
_IDLE, _BETWEEN = 60, 20


def server_config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    """uvicorn as we run it."""
    return uvicorn.Config(
        app,
        http=guarded(settings.slow_client),
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
    )


def guarded(seconds: float) -> type[asyncio.Protocol]:
    """uvicorn's protocol with two limits that it does not have.

    A request must be there, head and body, so many ``seconds`` after its connection was made or its first
    byte came; and a client that takes nothing for as long, while more than a buffer waits for it, has its
    connection cut. Either way the application hears that the client has gone.
    """
    base: Any = AutoHTTPProtocol

    class Guarded(base):  # type: ignore[misc]
        _late: asyncio.TimerHandle | None = None
        _stuck: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self._late = self._in_time()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            cycle = self.cycle
            if cycle is not None and not cycle.more_body and not cycle.response_complete:
                _cancel(self._late)  # it is here, and is being answered
                self._late = None
            elif self._late is None:
                self._late = self._in_time()

        def pause_writing(self) -> None:
            super().pause_writing()
            if self._stuck is None:
                self._stuck = self._in_time()

        def resume_writing(self) -> None:
            super().resume_writing()
            _cancel(self._stuck)
            self._stuck = None

        def connection_lost(self, exc: Exception | None) -> None:
            _cancel(self._late)
            _cancel(self._stuck)
            super().connection_lost(exc)

        def _in_time(self) -> asyncio.TimerHandle:
            handle: asyncio.TimerHandle = self.loop.call_later(seconds, self.transport.abort)
            return handle

    return Guarded


def notice_the_gone(bound: socket.socket, seconds: float) -> None:
    """Let the kernel end connections of a listening socket whose other side is gone, or takes nothing."""
    options = {"TCP_KEEPIDLE": _IDLE, "TCP_KEEPINTVL": _BETWEEN, "TCP_USER_TIMEOUT": int(1000 * seconds)}
    with suppress(OSError):
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in options.items():
            if hasattr(socket, name):
                bound.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
