"""The pages of a real service on a real log, asked over ASGI; the engine says what a test tells it to say."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from picktune.app import create_app
from picktune.engines import Generation
from picktune.errors import PicktuneError
from picktune.log import SQLiteLog
from picktune.records import Conversation, Message, Sampling
from picktune.service import Service
from picktune.settings import Settings
from picktune_adapters.registry import Registry
from starlette.applications import Starlette


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class ScriptedEngine:
    """An ``Engine`` that says the given texts in turn, or raises the given error."""

    base_model = "scripted"

    def __init__(self) -> None:
        self.texts = [f"Reply number {number}." for number in range(1, 9)]
        self.error: PicktuneError | None = None
        self._said = 0

    async def start(self) -> None: ...

    async def generate(
        self, messages: Sequence[Message], *, model: str | None, n: int, sampling: Sampling, seed: int
    ) -> list[Generation]:
        if self.error is not None:
            raise self.error
        if sampling.temperature == 0:  # greedy: always the same, as the check of a new adapter asks
            same = f"{model or 'The base'} says this."
            return [Generation(text=same, tokens=5, latency=0.1, finish_reason="stop") for _ in range(n)]
        texts = [self.texts[(self._said + i) % len(self.texts)] for i in range(n)]
        self._said += n
        return [Generation(text=text, tokens=5, latency=0.1, finish_reason="stop") for text in texts]

    async def load(self, name: str, folder: Path) -> None: ...

    async def unload(self, name: str) -> None: ...

    async def loaded(self) -> list[str]:
        return []

    async def ready(self) -> bool:
        return True

    async def close(self) -> None: ...


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


class Site:
    """A signed-in browser without a screen: ``get``, and ``post`` with the session's CSRF token."""

    def __init__(self, app: Starlette, service: Service, engine: ScriptedEngine, clock: Clock) -> None:
        self.app, self.service, self.engine, self.clock = app, service, engine, clock
        self.prefix = service.settings.prefix
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://desk.test")
        self.csrf = ""

    async def sign_in(self, name: str = "mei", *scopes: str) -> httpx.Response:
        token = self.service.auth.enter_token(name, scopes=scopes or ("slate", "pick", "read"))  # type: ignore[arg-type]
        self.client.cookies.clear()
        answer = await self.get("/enter", token=token)
        page = await self.get("/support")
        found = re.search(r'data-csrf="([^"]*)"', page.text)
        self.csrf = found[1] if found else ""
        return answer

    async def get(self, path: str, headers: dict[str, str] | None = None, **query: str) -> httpx.Response:
        return await self.client.get(self.prefix + path, params=query, headers=headers)

    async def post(self, path: str, body: object, *, csrf: str | None = None) -> httpx.Response:
        headers = {"X-Picktune-CSRF": self.csrf if csrf is None else csrf}
        return await self.client.post(self.prefix + path, json=body, headers=headers)

    async def slate(self, conversation_id: str) -> dict[str, object]:
        answer = await self.post(f"/v1/conversations/{conversation_id}/slate", {})
        assert answer.status_code == 200, answer.text
        found: dict[str, object] = answer.json()
        return found

    def conversation(
        self,
        id: str,
        said: str = "Where is my order?",
        *,
        title: str = "An order",
        locale: str = "en",
        pending: tuple[str, ...] = (),
        tags: tuple[str, ...] = (),
    ) -> Conversation:
        now = self.clock()
        messages = (Message(role="system", content="Be kind."), Message(role="user", content=said))
        return Conversation(
            id=id,
            title=title,
            locale=locale,
            tags=tags,
            messages=messages,
            pending=pending,
            created_at=now,
            updated_at=now,
        )


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    clock, engine = Clock(), ScriptedEngine()
    settings = Settings(
        home=str(tmp_path / "home"), poll=0.05, roles=("user", "agent", "expert", "crowd", "model")
    )
    settings.folder.mkdir()
    service = Service(
        settings,
        log=SQLiteLog.open(settings.log_path),
        engine=engine,
        registry=Registry(settings.registry_path),
        rng=random.Random(1),
        now=clock,
    )
    app = create_app(service=service)
    await service.until_ready(10)
    site = Site(app, service, engine, clock)
    yield site
    await site.client.aclose()
    await service.close()
