"""A service on a real log and registry, asked over ASGI; where a test must steer the engine, it can."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result
from picktune.cli import main
from picktune.engines import Generation
from picktune.errors import AdapterNotFound, PicktuneError
from picktune.log import SQLiteLog
from picktune.mount import mounted
from picktune.records import Conversation, Message, Sampling
from picktune.service import Service
from picktune.settings import Settings
from picktune_adapters.registry import Registry


class ScriptedEngine:
    """An ``Engine`` that numbers its replies; a test may take it down, hold it up, or count its work."""

    base_model = "scripted"

    def __init__(self) -> None:
        self.down: PicktuneError | None = None
        self.error: PicktuneError | None = None
        self.refuses: dict[str, PicktuneError] = {}
        self.gate: asyncio.Event | None = None
        self.adapters: dict[str, Path] = {}
        self.calls = 0
        self.closed = False

    async def start(self) -> None:
        if self.down is not None:
            raise self.down

    async def generate(
        self, messages: Sequence[Message], *, model: str | None, n: int, sampling: Sampling, seed: int
    ) -> list[Generation]:
        if model is not None and model not in self.adapters:
            raise AdapterNotFound(model, sorted(self.adapters))
        greedy = sampling.temperature == 0.0
        if not greedy:
            self.calls += 1
            if self.gate is not None:
                await self.gate.wait()
            if self.error is not None:
                raise self.error
        texts = [
            f"{model or 'base'} always" if greedy else f"Reply {random.Random(seed + i).getrandbits(40):x}."
            for i in range(n)
        ]
        return [Generation(text=text, tokens=5, latency=0.1, finish_reason="stop") for text in texts]

    async def load(self, name: str, folder: Path) -> None:
        if name in self.refuses:
            raise self.refuses[name]
        self.adapters[name] = folder

    async def unload(self, name: str) -> None:
        self.adapters.pop(name, None)

    async def loaded(self) -> list[str]:
        return sorted(self.adapters)

    async def ready(self) -> bool:
        return self.down is None

    async def close(self) -> None:
        self.closed = True


class Clock:
    """A millisecond passes at every look."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def scripted() -> type[ScriptedEngine]:
    return ScriptedEngine


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path / "home"), poll=0.02, timeout=5.0)


@pytest.fixture
async def service(settings: Settings, engine: ScriptedEngine, clock: Clock) -> AsyncIterator[Service]:
    service = Service(
        settings,
        log=SQLiteLog.open(settings.log_path),
        engine=engine,
        registry=Registry(settings.registry_path),
        rng=random.Random(1),
        now=clock,
    )
    await service.until_ready(10)
    yield service
    await service.close()


class Api:
    """A client of the API: by default with a key that has every scope but ``admin``."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.prefix = service.settings.prefix
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(
                mounted(service), raise_app_exceptions=False, root_path=self.prefix
            ),
            base_url="http://api.test",
        )
        self.key = self.new_key("all", "slate", "pick", "read")

    def new_key(self, name: str, *scopes: str) -> str:
        text, _ = self.service.auth.keys.create(name, scopes, now=self.service.now())  # type: ignore[arg-type]
        return text

    async def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
        key: str | None = "",
    ) -> httpx.Response:
        sent = dict(headers or {})
        if key is not None:
            sent["Authorization"] = f"Bearer {key or self.key}"
        address = self.prefix + path
        if content is not None or body is None:
            return await self.client.request(method, address, content=content, headers=sent)
        return await self.client.request(method, address, json=body, headers=sent)

    async def post(self, path: str, body: object, **more: object) -> httpx.Response:
        return await self.send("POST", path, body, **more)  # type: ignore[arg-type]

    async def get(self, path: str, **more: object) -> httpx.Response:
        return await self.send("GET", path, **more)  # type: ignore[arg-type]

    async def slate(self, viewer: str | None = "mei", **more: object) -> dict[str, object]:
        body = {"messages": [{"role": "user", "content": "Where is my order?"}], "viewer": viewer, **more}
        answer = await self.post("/v1/slates", body)
        assert answer.status_code == 201, answer.text
        found: dict[str, object] = answer.json()
        return found

    async def signed_in(self, name: str = "mei", *scopes: str) -> dict[str, str]:
        """The headers of a browser session."""
        from starlette.responses import Response

        token = self.service.auth.enter_token(name, scopes=scopes or ("slate", "pick", "read"))  # type: ignore[arg-type]
        response = Response()
        viewer = self.service.auth.sign_in(token, response)
        cookie = response.headers["set-cookie"].partition(";")[0]
        return {"Cookie": cookie, "X-Picktune-CSRF": viewer.csrf or ""}


@pytest.fixture
async def api(service: Service) -> AsyncIterator[Api]:
    api = Api(service)
    yield api
    await api.client.aclose()


def make_conversation(
    id: str, *said: str, pending: tuple[str, ...] = (), at: datetime = datetime(2026, 11, 24, tzinfo=UTC)
) -> Conversation:
    """A conversation that a customer began."""
    messages = [Message(role="system", content="Be kind."), *(Message(role="user", content=t) for t in said)]
    return Conversation(
        id=id, title=id, messages=tuple(messages), pending=pending, created_at=at, updated_at=at
    )


@pytest.fixture
def conversation() -> object:
    return make_conversation


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def run(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command on a home of its own; ``code`` is the exit code that it must end with."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("PICKTUNE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PICKTUNE_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == code, result.output + repr(result.exception)
        return result

    return invoke
