"""``picktune serve`` as a process of its own: it says everything in JSON, and ends without losing a slate."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from picktune.app import create_app
from picktune.draining import DrainingServer
from picktune.keys import KeyRing
from picktune.log import SQLiteLogReader
from picktune.service import Service, create_service
from picktune.settings import Settings

SECRET = "Xyzzy-4711"
ASK = [{"role": "user", "content": f"Where is {SECRET}?"}]


class Server:
    """A server with a real engine on a random model, whose slates take some seconds."""

    def __init__(self, folder: Path, model: Path, *options: str, tokens: int = 1500) -> None:
        self.home = folder / "home"
        self.key, _ = KeyRing(self.home / "keys.json").create(
            "test", ["slate", "pick", "read"], now=datetime.now(UTC)
        )
        self.out, self.err = folder / "out.txt", folder / "err.txt"
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PICKTUNE_")}
        environ |= {"PYTHONUNBUFFERED": "1", "PICKTUNE_SAMPLING__MAX_TOKENS": str(tokens)}
        arguments = ("serve", "--home", str(self.home), "--port", "0", "--model", str(model), *options)
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-c", "from picktune.cli import main; main()", *arguments],
                stdout=out,
                stderr=err,
                env=environ,
            )
        found = self.until(lambda: re.search(r"Picktune serves (\S+)", self.out.read_text("utf-8")))
        self.client = httpx.AsyncClient(
            base_url=found[1], headers={"Authorization": f"Bearer {self.key}"}, timeout=60.0
        )

    def until(self, true: Callable[[], Any], seconds: float = 60.0) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := true():
                return found
            assert self.process.poll() is None, self.err.read_text("utf-8")
            time.sleep(0.05)
        raise AssertionError(self.err.read_text("utf-8"))

    async def ready(self) -> None:
        async with asyncio.timeout(60):
            while True:
                if (await self.client.get("/readyz")).status_code == 200:
                    return
                await asyncio.sleep(0.1)

    async def draw(self) -> httpx.Response:
        return await self.client.post("/v1/slates", json={"messages": ASK, "viewer": "mei"})

    async def drawing(self) -> asyncio.Task[httpx.Response]:
        """A slate that is being drawn."""
        drawing = asyncio.create_task(self.draw())
        await asyncio.sleep(0.5)
        assert not drawing.done()
        return drawing

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.err.read_text("utf-8").splitlines()]


@pytest.fixture
def serve(tmp_path: Path, tiny_model: Path) -> Iterator[Callable[..., Server]]:
    with contextlib.ExitStack() as stack:

        def start(*options: str, tokens: int = 1500) -> Server:
            server = Server(tmp_path, tiny_model, *options, tokens=tokens)
            stack.callback(server.process.wait, 30)
            stack.callback(server.process.kill)
            return server

        yield start


@pytest.mark.anyio
async def test_sigterm_lets_slates_finish(serve: Callable[..., Server]) -> None:
    server = serve("--drain-seconds", "60", "--log-format", "json", "--log-level", "debug")
    async with server.client:
        await server.ready()
        await server.client.get(f"/nothing?name={SECRET}", headers={"X-Request-ID": "from-the-proxy"})
        drawing = await server.drawing()
        server.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.2)
        ready = await server.client.get("/readyz")
        assert (ready.status_code, ready.json()["stopping"], ready.json()["ready"]) == (503, True, False)
        assert (await server.client.get("/healthz")).status_code == 200
        refused = await server.draw()
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "engine_down")
        assert "being stopped" in refused.json()["error"]["message"]
        assert int(refused.headers["retry-after"]) > 0
        drawn = await drawing
    assert drawn.status_code == 201, drawn.text
    assert len(drawn.json()["candidates"]) == 4
    assert server.process.wait(10) in (0, -signal.SIGTERM)
    with SQLiteLogReader(server.home / "picktune.db") as reader:
        assert reader.slate(drawn.json()["id"]).complete

    text = server.err.read_text("utf-8")
    lines = server.lines()
    for line in lines:
        assert set(line) >= {"time", "level", "logger", "message"}, line
        assert datetime.fromisoformat(line["time"]).tzinfo == UTC
    requests = [line for line in lines if line["logger"] == "picktune.access"]
    told = {(line["method"], line["path"], line["status"]) for line in requests}
    assert told >= {
        ("POST", "/picktune/v1/slates", 201),
        ("POST", "/picktune/v1/slates", 503),
        ("GET", "/picktune/readyz", 503),
    }
    (named,) = [line for line in requests if line["path"] == "/picktune/nothing"]
    assert (named["request_id"], named["status"]) == ("from-the-proxy", 404)
    (about,) = [line for line in lines if line.get("slate_id") == drawn.json()["id"]]
    (answered,) = [line for line in requests if line["status"] == 201]
    assert about["request_id"] == answered["request_id"]
    assert answered["ms"] > 500
    assert len({line["request_id"] for line in requests}) == len(requests)
    assert any("stopping: 1 slates" in line["message"] for line in lines)
    for secret in (SECRET, server.key, drawn.json()["candidates"][0]["text"][:20]):
        assert secret not in text


class Handled(DrainingServer):
    """Leaves the process's signals to pytest; a test hands them over itself."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(service: Service, seconds: float) -> AsyncIterator[tuple[Handled, asyncio.Task[None]]]:
    """A server on a real port, with a slate that is being drawn until the engine's gate opens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        config = uvicorn.Config(create_app(service=service), lifespan="on", log_config=None, access_log=False)
        up = asyncio.Event()
        server = Handled(config, service, seconds=seconds, started_up=up.set)
        running = asyncio.create_task(server.serve(sockets=[bound]))
        await asyncio.wait_for(up.wait(), 10)
        await service.until_ready(10)
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/picktune"
        key, _ = service.auth.keys.create("test", ["slate"], now=service.now())
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=url, headers=headers) as client:
            drawing = asyncio.create_task(client.post("/v1/slates", json={"messages": ASK}))
            async with asyncio.timeout(10):
                while True:
                    if service.drawing:
                        break
                    await asyncio.sleep(0.01)
            yield server, running
            await asyncio.gather(drawing, return_exceptions=True)


@pytest.mark.anyio
@pytest.mark.parametrize("again", [None, signal.SIGTERM, signal.SIGINT])
async def test_it_does_not_wait_longer_than_it_may(
    settings: Settings, engine: Any, again: signal.Signals | None
) -> None:
    """Neither longer than it was told, nor, when told once more to end, as long as that."""
    engine.gate = asyncio.Event()  # and it never opens
    service = create_service(settings, engine=engine)
    async with serving(service, 60 if again else 0.3) as (server, running):
        server.handle_exit(signal.SIGTERM, None)
        await asyncio.sleep(0.2)
        assert not server.should_exit
        if again:
            server.handle_exit(again, None)
        await asyncio.wait_for(running, 5)
    assert engine.closed


@pytest.mark.anyio
async def test_it_ends_at_once_when_nothing_is_drawn(settings: Settings, engine: Any) -> None:
    engine.gate = asyncio.Event()
    async with serving(create_service(settings, engine=engine), 60) as (server, running):
        engine.gate.set()
        server.handle_exit(signal.SIGTERM, None)
        await asyncio.wait_for(running, 5)
    assert engine.closed
