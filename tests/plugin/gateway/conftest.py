"""A gateway under uvicorn, spoken to over a real socket, and arms that would be easy to tell apart."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from msgspec import structs
from picktune.app import create_app
from picktune.service import Service
from picktune_adapters.registry import Registry

Serve = Callable[..., AbstractAsyncContextManager[str]]
Listen = Callable[..., AbstractAsyncContextManager[str]]


async def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while True:
            if true():
                return
            await asyncio.sleep(0.01)


class Server(uvicorn.Server):
    """Leaves the signals to pytest."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@pytest.fixture
def listen() -> Listen:
    """Serves an application on a port of its own, and gives its address."""

    @asynccontextmanager
    async def listening(app: Any, **options: Any) -> AsyncIterator[str]:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            config = uvicorn.Config(app, log_config=None, **{"lifespan": "off", **options})
            server = Server(config)
            task = asyncio.create_task(server.serve(sockets=[bound]))
            await until(lambda: server.started)
            try:
                yield f"http://127.0.0.1:{bound.getsockname()[1]}"
            finally:
                server.should_exit = True
                await task

    return listening


@pytest.fixture
def serve(listen: Listen) -> Serve:
    """Serves a service, which it starts and closes, and gives the base URL for OpenAI's clients."""

    @asynccontextmanager
    async def serving(service: Service, **options: Any) -> AsyncIterator[str]:
        async with listen(create_app(service=service), lifespan="on", **options) as url:
            await service.until_ready(120)
            yield f"{url}{service.settings.prefix}/v1"

    return serving


@pytest.fixture
async def telltale(
    service: Service, engine: Any, tiny_adapter: Any, monkeypatch: pytest.MonkeyPatch
) -> Service:
    """A service whose challenger always runs out of tokens, uses more of them and takes longer."""
    from picktune.records import utc_now

    registry = Registry(service.settings.registry_path)
    folder: Path = tiny_adapter("v1", 1)
    registry.add(folder, name="v1", base_model="tiny", run_id="r", dataset_id="d", picks=1, now=utc_now())
    registry.move("challenger", "v1", by="test", reason="admitted", now=utc_now())
    await until(lambda: service.aliases.challenger is not None)
    plain = engine.generate

    async def generate(*args: Any, model: str | None, **more: Any) -> list[Any]:
        said = await plain(*args, model=model, **more)
        tokens, reason, latency = (9, "length", 2.0) if model else (5, "stop", 0.1)
        return [
            structs.replace(one, tokens=tokens, finish_reason=reason, latency=latency, prompt_tokens=30)
            for one in said
        ]

    monkeypatch.setattr(engine, "generate", generate)
    return service
