"""Clients that are slow, stuck, half gone or many: none of them holds more than its little, nor for ever."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import structs
from picktune.listening import guarded
from picktune.service import Service
from picktune.settings import Rates

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[3]
ASK = [{"role": "user", "content": "Where is my order?"}]


class Quiet:
    """Chunks of which the first is there, and the next are ``size`` bytes each, or never come."""

    opened: list[Quiet] = []  # noqa: RUF012 - emptied by each test

    def __init__(self, size: int) -> None:
        self._left = 1 if size == 0 else 10**9
        self._size = size
        self.closed = asyncio.Event()
        self.opened.append(self)

    def __aiter__(self) -> Quiet:
        return self

    async def __anext__(self) -> str:
        if self._left == 0:
            await asyncio.sleep(60)
        self._left -= 1
        return json.dumps({"choices": [{"index": 0, "delta": {"content": "One" + "x" * self._size}}]})

    async def aclose(self) -> None:
        self.closed.set()


@pytest.fixture(params=[0])
async def address(
    request: pytest.FixtureRequest, serve: Any, service: Service, engine: Any, monkeypatch: Any
) -> AsyncIterator[tuple[httpx.URL, str]]:
    """A gateway that gives clients half a second, in front of an engine that streams quietly or endlessly."""

    async def stream(messages: Any, fields: Any, *, model: str | None) -> Quiet:
        return Quiet(request.param)

    Quiet.opened.clear()
    monkeypatch.setattr(engine, "stream", stream, raising=False)
    monkeypatch.setattr(service, "settings", structs.replace(service.settings, slow_client=0.5))
    key, _ = service.auth.keys.create("boss", ["admin"], now=service.now())
    async with serve(service, http=guarded(0.5)) as base:
        yield httpx.URL(base), key


def asking(key: str, **more: Any) -> bytes:
    body = json.dumps({"model": "base", "messages": ASK, "stream": True, **more})
    head = f"POST /picktune/v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


async def connected(address: httpx.URL) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(address.host, address.port)


async def ended(reader: asyncio.StreamReader, seconds: float = 20.0) -> bytes:
    """All that still comes, until the other side ends the connection."""
    async with asyncio.timeout(seconds):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize(
    "part",
    [b"", b"POST /picktune/v1/chat/completions HT", b"POST / HTTP/1.1\r\nHost: x\r\nX: ", slice(0, -3)],
    ids=["nothing", "a line", "a head", "a body"],
)
async def test_a_request_has_to_arrive(address: Any, part: Any) -> None:
    url, key = address
    reader, writer = await connected(url)
    writer.write(asking(key)[part] if isinstance(part, slice) else part)
    begin = time.monotonic()
    assert b" 200 " not in await ended(reader)
    assert time.monotonic() - begin > 0.3
    writer.close()


async def test_dripping_does_not_help(address: Any) -> None:
    url, key = address
    reader, writer = await connected(url)
    for byte in asking(key):
        writer.write(bytes([byte]))
        await asyncio.sleep(0.01)
        if reader.at_eof() or writer.is_closing():
            break
    assert b" 200 " not in await ended(reader)
    writer.close()


async def test_who_asks_in_time_may_wait(address: Any) -> None:
    url, key = address
    reader, writer = await connected(url)
    request = asking(key)
    for cut in (slice(0, 20), slice(20, -9), slice(-9, None)):
        writer.write(request[cut])
        await asyncio.sleep(0.05)
    assert b"One" in await reader.readuntil(b"One")
    await asyncio.sleep(0.8)  # longer than a request may take, for the answer may
    assert not Quiet.opened[0].closed.is_set()
    assert not reader.at_eof()
    writer.close()
    await asyncio.wait_for(Quiet.opened[0].closed.wait(), 10)


async def test_a_half_closed_socket_ends_the_stream(address: Any) -> None:
    url, key = address
    reader, writer = await connected(url)
    writer.write(asking(key))
    await reader.readuntil(b"One")
    writer.write_eof()
    await asyncio.wait_for(Quiet.opened[0].closed.wait(), 10)
    await ended(reader)
    writer.close()


@pytest.mark.parametrize("address", [50_000], indirect=True)
async def test_who_does_not_read_is_cut_off(address: Any) -> None:
    url, key = address
    reader, writer = await connected(url)
    writer.write(asking(key))
    await reader.readuntil(b"One")
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.wait_for(Quiet.opened[0].closed.wait(), 10)
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    assert not (await ended(reader)).endswith(b"0\r\n\r\n")  # and can see that it is not all
    writer.close()


async def test_one_key_has_so_many_streams_at_once(address: Any, service: Service, monkeypatch: Any) -> None:
    url, key = address
    monkeypatch.setattr(service.limits, "_rates", Rates(key_streams=2))
    held = []
    for _ in range(2):
        reader, writer = await connected(url)
        writer.write(asking(key))
        await reader.readuntil(b"One")
        held.append(writer)
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}) as client:
        body = {"model": "base", "messages": ASK, "stream": True}
        refused = await client.post("/chat/completions", json=body)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert "rates.key_streams" in refused.json()["error"]["message"]
        # What is no stream is not held up, and a slate's stream counts until its end only.
        assert (await client.post("/chat/completions", json={**body, "stream": False})).status_code == 200
        held.pop().close()
        await asyncio.wait_for(Quiet.opened[1].closed.wait(), 10)
        for _ in range(3):
            ended_ = await client.post("/chat/completions", json={**body, "model": "picktune"})
            assert ended_.text.endswith("data: [DONE]\n\n")
    held.pop().close()


def test_idle_streams_cost_little_and_leave_nothing() -> None:
    command = [sys.executable, "bench/idle_streams.py", "--streams", "300", "--rounds", "2"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1])["kb_per_stream"] < 150
