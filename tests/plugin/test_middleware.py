"""The middleware adds Picktune to an application of any kind and changes nothing else about it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from picktune.errors import EngineDown, InvalidInput
from picktune.middleware import FeedbackMiddleware
from picktune.service import Service, create_service
from picktune.settings import Settings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

pytestmark = pytest.mark.anyio

ASK = [{"role": "user", "content": "Where is my order?"}]


@pytest.fixture
def idle(settings: Settings, engine: Any) -> Service:
    """A service that has not been started."""
    return create_service(settings, engine=engine)


async def draw(request: Request) -> JSONResponse:
    picktune = request.state.picktune.of("user-7")
    slate = await picktune.draw(ASK, conversation_id="c")
    pick = await picktune.pick(slate.id, slate.candidates[1].id, reasons=["clear"])
    reaction = await picktune.react(slate.candidates[0].id, "down")
    undone = await picktune.undo(slate.id)
    return JSONResponse(
        {
            "texts": [one.text for one in slate.candidates],
            "picked": [pick.annotator, pick.role, pick.verdict],
            "reacted": reaction.value,
            "undone": undone.version,
        }
    )


def client_of(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://host.test")


@asynccontextmanager
async def lifespan_of(app: ASGIApp) -> AsyncIterator[list[str]]:
    """Speak the lifespan protocol with an application, as a server does."""
    incoming: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    outgoing: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    task = asyncio.create_task(app(scope, incoming.get, outgoing.put))  # type: ignore[arg-type]
    said: list[str] = []

    async def hear() -> None:
        getting = asyncio.create_task(outgoing.get())
        done, _ = await asyncio.wait({getting, task}, return_when=asyncio.FIRST_COMPLETED)
        if getting in done:
            said.append(getting.result()["type"])
        else:
            getting.cancel()
            await task

    await incoming.put({"type": "lifespan.startup"})
    await hear()
    try:
        yield said
    finally:
        await incoming.put({"type": "lifespan.shutdown"})
        await hear()
        await task


# What handlers get


@pytest.mark.parametrize("kind", [Starlette, FastAPI])
async def test_handlers_draw_pick_and_react(kind: type[Starlette], idle: Service) -> None:
    app = kind()
    app.add_route("/draw", draw)
    app.add_middleware(FeedbackMiddleware, service=idle)
    async with lifespan_of(app), client_of(app) as client:
        await idle.until_ready(10)
        answer = (await client.get("/draw")).json()
    assert len(answer["texts"]) == 4
    assert answer["picked"] == ["user-7", "user", "chosen"]
    assert (answer["reacted"], answer["undone"]) == ("down", 2)


async def test_the_viewer_may_be_named_once_for_all_requests(settings: Settings, idle: Service) -> None:
    async def who(request: Request) -> JSONResponse:
        return JSONResponse(request.state.picktune.viewer)

    app = Starlette(routes=[Route("/who", who)])
    app.add_middleware(FeedbackMiddleware, service=idle, viewer=lambda request: request.headers.get("x-user"))
    async with lifespan_of(app), client_of(app) as client:
        assert (await client.get("/who", headers={"X-User": "mei"})).json() == "mei"
        assert (await client.get("/who")).json() is None


async def test_nobody_cannot_decide(idle: Service) -> None:
    caught: list[InvalidInput] = []

    async def handler(request: Request) -> JSONResponse:
        picktune = request.state.picktune
        slate = await picktune.draw(ASK)
        for attempt in (picktune.pick(slate.id), picktune.react("x", "up"), picktune.undo(slate.id)):
            try:
                await attempt
            except InvalidInput as error:
                caught.append(error)
        try:
            await picktune.draw([{"role": "user"}])
        except InvalidInput as error:
            caught.append(error)
        return JSONResponse({})

    app = Starlette(routes=[Route("/", handler)])
    app.add_middleware(FeedbackMiddleware, service=idle)
    async with lifespan_of(app), client_of(app) as client:
        await idle.until_ready(10)
        await client.get("/")
    assert [error.field for error in caught] == ["viewer", "viewer", "viewer", "messages"]


async def test_a_handler_may_answer_without_picktune_when_the_engine_is_down(
    idle: Service, engine: Any
) -> None:
    engine.down = EngineDown("nobody is there")

    async def chat(request: Request) -> PlainTextResponse:
        try:
            slate = await request.state.picktune.draw(ASK)
        except EngineDown:
            return PlainTextResponse("An agent will be with you.")
        return PlainTextResponse(slate.candidates[0].text)

    app = Starlette(routes=[Route("/chat", chat)])
    app.add_middleware(FeedbackMiddleware, service=idle)
    async with lifespan_of(app), client_of(app) as client:
        assert (await client.get("/chat")).text == "An agent will be with you."


# What lies under the prefix


async def test_everything_lies_under_the_prefix(settings: Settings, engine: Any) -> None:
    settings = Settings(home=settings.home, prefix="/feedback/v2", poll=0.02)
    service = create_service(settings, engine=engine)
    app = Starlette(routes=[Route("/feedback/v2x", lambda request: PlainTextResponse("host"))])
    app.add_middleware(FeedbackMiddleware, service=service)
    key, _ = service.auth.keys.create("all", ["slate", "pick", "read"], now=service.now())
    async with lifespan_of(app), client_of(app) as client:
        await service.until_ready(10)
        assert (await client.get("/feedback/v2/healthz")).status_code == 200
        assert (await client.get("/feedback/v2/readyz")).json()["ready"] is True
        assert (await client.get("/feedback/v2/openapi.json")).json()["servers"] == [{"url": "/feedback/v2"}]
        assert (await client.get("/feedback/v2/workbench")).status_code == 401
        drawn = await client.post(
            "/feedback/v2/v1/slates", json={"messages": ASK}, headers={"Authorization": f"Bearer {key}"}
        )
        assert drawn.status_code == 201
        missing = await client.get("/feedback/v2/v1/nothing")
        assert missing.json()["error"]["code"] == "not_found"
        assert (await client.get("/feedback/v2x")).text == "host"
        assert (await client.get("/feedback")).status_code == 404


async def test_it_works_behind_a_root_path(idle: Service) -> None:
    app = Starlette(routes=[])
    app.add_middleware(FeedbackMiddleware, service=idle)
    transport = httpx.ASGITransport(app, root_path="/shop")
    async with lifespan_of(app), httpx.AsyncClient(transport=transport, base_url="http://h.test") as client:
        assert (await client.get("/shop/picktune/healthz")).status_code == 200
        assert (await client.get("/shop/picktune/v1/support")).status_code == 401


async def test_cors_allows_whom_the_settings_name(settings: Settings, engine: Any) -> None:
    settings = Settings(home=settings.home, cors_origins=("https://shop.example",))
    app = Starlette(routes=[])
    app.add_middleware(FeedbackMiddleware, service=create_service(settings, engine=engine))
    asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    async with lifespan_of(app), client_of(app) as client:
        for origin, allowed in (("https://shop.example", True), ("https://evil.example", False)):
            answer = await client.options("/picktune/v1/picks", headers={"Origin": origin, **asking})
            assert (answer.headers.get("access-control-allow-origin") == origin) is allowed
            assert "access-control-allow-credentials" not in answer.headers


async def test_settings_are_enough(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path / "home"), engine="vllm", vllm_url="http://127.0.0.1:9", poll=0.05)
    app = Starlette(routes=[])
    app.add_middleware(FeedbackMiddleware, settings=settings)
    async with lifespan_of(app), client_of(app) as client:
        assert (await client.get("/picktune/healthz")).status_code == 200
        ready = await client.get("/picktune/readyz")
        assert (ready.status_code, ready.json()["engine"]["ok"]) == (503, False)


# What is not touched


async def test_the_hosts_own_routes_streams_and_errors_stay_as_they_are(idle: Service) -> None:
    async def stream(request: Request) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for part in (b"one ", b"two ", b"three"):
                await asyncio.sleep(0)
                yield part

        return StreamingResponse(parts(), headers={"X-Host": "yes"})

    async def size(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))

    app = Starlette(routes=[Route("/stream", stream), Route("/size", size, methods=["POST"])])
    app.add_middleware(FeedbackMiddleware, service=idle)
    async with lifespan_of(app), client_of(app) as client:
        streamed = await client.get("/stream")
        assert (streamed.text, streamed.headers["x-host"]) == ("one two three", "yes")
        missing = await client.get("/nothing")
        assert (missing.status_code, missing.text) == (404, "Not Found")
        # The limit on bodies is Picktune's own, not the host's.
        assert (await client.post("/size", content=b"x" * 2_000_000)).text == "2000000"


def test_websockets_pass(idle: Service) -> None:
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        text = await websocket.receive_text()
        await websocket.send_text(f"{text} {type(websocket.state.picktune).__name__}")
        await websocket.close()

    app = Starlette(routes=[WebSocketRoute("/ws", echo)])
    app.add_middleware(FeedbackMiddleware, service=idle)
    with TestClient(app) as client, client.websocket_connect("/ws") as socket:
        socket.send_text("hello")
        assert socket.receive_text() == "hello Feedback"


# Lifespans


async def test_the_service_runs_around_the_hosts_lifespan(idle: Service, engine: Any) -> None:
    order: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
        await idle.until_ready(10)
        order.append("host starts")
        yield {"from": "host"}
        order.append(f"host stops, engine closed: {engine.closed}")

    async def state(request: Request) -> JSONResponse:
        return JSONResponse(sorted(request.scope["state"]))

    app = Starlette(routes=[Route("/state", state)], lifespan=lifespan)
    app.add_middleware(FeedbackMiddleware, service=idle)
    async with lifespan_of(app) as said:
        pass
    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert order == ["host starts", "host stops, engine closed: False"]
    assert engine.closed


async def no_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"
    await PlainTextResponse("plain")(scope, receive, send)


async def quiet_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await PlainTextResponse("plain")(scope, receive, send)


@pytest.mark.parametrize("host", [no_lifespan, quiet_lifespan])
async def test_a_host_without_a_lifespan(host: ASGIApp, idle: Service, engine: Any) -> None:
    app = FeedbackMiddleware(host, service=idle)
    async with lifespan_of(app) as said, client_of(app) as client:
        await idle.until_ready(10)
        assert (await client.get("/")).text == "plain"
        assert (await client.get("/picktune/healthz")).status_code == 200
    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert engine.closed


async def test_a_host_that_fails_to_start_closes_the_service(idle: Service, engine: Any) -> None:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        raise RuntimeError("no database")
        yield

    app = Starlette(lifespan=lifespan)
    app.add_middleware(FeedbackMiddleware, service=idle)
    with pytest.raises(RuntimeError, match="no database"):
        async with lifespan_of(app) as said:
            assert said == ["lifespan.startup.failed"]
    assert engine.closed


async def test_without_any_lifespan_the_first_request_starts_it(idle: Service) -> None:
    inner = Starlette(routes=[])
    inner.add_middleware(FeedbackMiddleware, service=idle)
    app = Starlette(routes=[Mount("/inner", app=inner)])
    async with client_of(app) as client:
        answers = await asyncio.gather(*(client.get("/inner/picktune/healthz") for _ in range(3)))
        assert [answer.status_code for answer in answers] == [200] * 3
        await idle.until_ready(10)
    await idle.close()
