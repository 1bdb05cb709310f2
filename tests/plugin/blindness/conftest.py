"""A server over a real socket whose tuned arm is easy to tell apart, but for what a client gets to see."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import uvicorn
from msgspec import structs
from picktune.app import create_app
from picktune.engines import Generation
from picktune.engines.local import LocalEngine
from picktune.log import SQLiteLog
from picktune.records import Message, Sampling, utc_now
from picktune.service import Service
from picktune.settings import Rates, Settings
from picktune_adapters.registry import Registry
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as Event

T = TypeVar("T")

# Seconds by which the tuned arm is the slower one.
SLOWER = 0.006
WORDS = [
    "we",
    "have",
    "sent",
    "your",
    "parcel",
    "on",
    "its",
    "way",
    "and",
    "you",
    "will",
    "get",
    "a",
    "message",
    "about",
    "it",
    "very",
    "soon",
    "好的",
    "请稍等",
]


class Disguised(LocalEngine):
    """The embedded engine, whose words are replaced by some that do not depend on the arm.

    All else stays as the model gave it; the tuned arm is slower, and counts and ends in its own way.
    """

    def __init__(self, model: Path) -> None:
        super().__init__(model, queue=64, batch=32)
        self._random = random.Random(3)

    async def generate(
        self, messages: Sequence[Message], *, model: str | None, n: int, sampling: Sampling, seed: int
    ) -> list[Generation]:
        said = await super().generate(messages, model=model, n=n, sampling=sampling, seed=seed)
        if sampling.temperature == 0.0:  # the checks of a new adapter compare words
            return said
        if model is not None:
            await asyncio.sleep(SLOWER)
        return [
            structs.replace(
                one,
                text=" ".join(self._random.choices(WORDS, k=self._random.randint(6, 14))),
                tokens=40 if model else 9,
                finish_reason="length" if model else "stop",
            )
            for one in said
        ]


class Leaky:
    """An ASGI application that lets out who speaks, in one of the ways that a mistake might."""

    def __init__(self, app: ASGIApp, how: str, tuned: Callable[[str], Awaitable[set[str]]]) -> None:
        self._app = app
        self._how = how
        self._tuned = tuned

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        places: set[int] = set()

        async def leak(event: Event) -> None:
            nonlocal places
            body: bytes = event.get("body", b"")
            if event["type"] != "http.response.body" or not body.startswith(b"data: "):
                await send(event)
                return
            for line in body.split(b"\n\n")[:-1]:
                told = json.loads(line[6:]) if line.startswith(b"data: {") else {}
                if "picktune" in told:
                    tuned = await self._tuned(told["picktune"]["slate_id"])
                    places = {i for i, id in enumerate(told["picktune"]["candidate_ids"]) if id in tuned}
                theirs = any(choice["index"] in places for choice in told.get("choices", ()))
                if theirs and self._how == "slower":
                    await asyncio.sleep(0.01)
                elif theirs and self._how == "named":
                    told["choices"][0]["model"] = "v1"
                    line = b"data: " + json.dumps(told).encode()
                await send({**event, "body": line + b"\n\n", "more_body": True})
            if not event.get("more_body", False):
                await send({"type": "http.response.body", "body": b""})

        await self._app(scope, receive, leak if self._how else send)


class Desk:
    """A running server with a champion in service, and what the test may do behind its back."""

    def __init__(self, home: Path, model: Path, adapter: Path, leak: str) -> None:
        settings = Settings(
            home=str(home),
            poll=0.1,
            sampling=Sampling(max_tokens=4),
            rates=Rates(key_slates=0, key_picks=0, session_slates=0, session_picks=0),
        )
        registry = Registry(settings.registry_path)
        now = utc_now()
        registry.add(adapter, name="v1", base_model=str(model), run_id="r", dataset_id="d", picks=1, now=now)
        registry.move("champion", "v1", by="test", reason="admitted", now=now)
        self.service = Service(
            settings, log=SQLiteLog.open(settings.log_path), engine=Disguised(model), registry=registry
        )
        app = Leaky(create_app(service=self.service), leak, self.tuned)
        self._server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", ws="none"))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._clients: list[httpx.Client] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._server.serve()

    async def tuned(self, slate_id: str) -> set[str]:
        """The ids of the replies that the tuned arm said."""
        slate = await self.service.slate(slate_id)
        return {one.id for one in slate.candidates if one.kind != "base"}

    def do(self, work: Awaitable[T]) -> T:
        """Run a coroutine in the server's loop."""

        async def run() -> T:
            return await work

        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(60)

    def client(self, *scopes: Any, signed_in: bool = False) -> httpx.Client:
        """A client with a key, or with a session as a browser has one."""
        address = self._server.servers[0].sockets[0].getsockname()
        client = httpx.Client(base_url=f"http://127.0.0.1:{address[1]}/picktune", timeout=60)
        self._clients.append(client)
        if signed_in:
            link = self.service.auth.enter_link(
                str(client.base_url).split("/picktune")[0], "mei", scopes=scopes
            )
            client.get(link)
            client.headers["X-Picktune-CSRF"] = client.get("/session.json").json()["csrf"]
        else:
            key, _ = self.service.auth.keys.create("shop", scopes, now=utc_now())
            client.headers["Authorization"] = f"Bearer {key}"
        return client

    def __enter__(self) -> Desk:
        self._thread.start()
        end = time.monotonic() + 60
        while not self._server.started or self.service.aliases.champion is None:
            assert time.monotonic() < end, "the champion does not speak"
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        self._server.should_exit = True
        self._thread.join(30)


@pytest.fixture(scope="session")
def blind_adapter(tiny_adapter: Callable[..., Path]) -> Path:
    return tiny_adapter("v1", 1)


@pytest.fixture
def open_desk(tmp_path: Path, tiny_model: Path, blind_adapter: Path) -> Iterator[Callable[..., Desk]]:
    opened: list[Desk] = []

    def start(leak: str = "") -> Desk:
        desk = Desk(tmp_path / f"home{len(opened)}", tiny_model, blind_adapter, leak)
        opened.append(desk)
        return desk.__enter__()

    yield start
    for desk in opened:
        desk.__exit__()
