"""What a stream costs in memory on which nothing happens: thousands of them, open at once, on one worker.

    python bench/idle_streams.py [--streams 10000] [--rounds 2] [--limit-kb 150]

Three processes: an upstream that streams one token and falls silent, the gateway in front of it as
``picktune serve`` runs it, and this one, which holds the clients. Each round opens the streams, waits until
each has its first token, reads the gateway's resident memory, closes all of them, and waits until the
upstream knows. Prints a table and, last, one line of JSON; the exit code is 1 if a stream costs more than
``--limit-kb``, if memory grows from the first round to the last by more than a tenth, or if one is left open.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import socket
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import httpx
import psutil
import uvicorn

SPARE = 300  # files that a process has open besides
CHAT = "/picktune/v1/chat/completions"
LIMITS = {"connect": 60.0, "first": 600.0, "between": 600.0}
BATCH = 100  # connections that are opened at the same time


def raise_limit(wanted: int) -> int:
    """Allow as many open files as wanted, or as many as may be; how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return soft
    for top in (max(hard, wanted), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, top), top))
        except (ValueError, OSError):
            continue
        return min(wanted, top)
    return soft


async def upstream(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """As much of vLLM as it takes: one token, and then nothing until the client goes."""
    state = scope["app_state"]
    body = {"data": [{"id": "served", "root": "/srv", "parent": None}]}
    if scope["path"] == "/open":
        body = {"open": state["open"]}
    if scope["path"] != "/v1/chat/completions":
        content = json.dumps(body).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})
        return
    while (await receive()).get("more_body"):
        pass
    state["open"] += 1
    try:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        token = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "One"}}]}
        event = f"data: {json.dumps(token)}\n\n".encode()
        await send({"type": "http.response.body", "body": event, "more_body": True})
        await receive()
    finally:
        state["open"] -= 1


def serve_upstream(bound: socket.socket) -> None:
    state = {"open": 0}

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await upstream({**scope, "app_state": state}, receive, send)

    uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off")).run(sockets=[bound])


def serve_gateway(bound: socket.socket, home: str, url: str, streams: int) -> None:
    from picktune.app import create_app
    from picktune.listening import server_config
    from picktune.settings import load_settings

    settings = load_settings(
        None,
        {},
        home=home,
        engine="vllm",
        vllm_url=url,
        vllm={**LIMITS, "outstanding": streams + 10},
        rates={"key_streams": 0, "key_slates": 0},
    )
    uvicorn.Server(server_config(create_app(settings), settings)).run(sockets=[bound])


async def one(port: int, request: bytes) -> asyncio.StreamWriter:
    """An open stream that has had its first token."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head.partition(b"\r\n")[0]:
        sys.exit(f"the gateway answered: {head.decode()}{(await reader.read(2000)).decode()}")
    await reader.readuntil(b"One")
    return writer


async def measured(streams: int, rounds: int, ports: tuple[int, int], key: str, pid: int) -> dict[str, Any]:
    """Open and close them, round by round."""
    body = json.dumps(
        {"model": "base", "stream": True, "messages": [{"role": "user", "content": "Where is it?"}]}
    )
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
    gateway = psutil.Process(pid)
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        for _ in range(3):  # what is imported and compiled at the first request is nobody's stream
            (await one(ports[0], request)).close()
        await until_closed(client, ports[1])
        empty = gateway.memory_info().rss
        print(f"{'':>8} {'streams':>9} {'opened in':>10} {'resident':>10} {'a stream':>9} {'after':>9}")
        found: list[dict[str, Any]] = []
        for number in range(1, rounds + 1):
            begin = time.perf_counter()
            writers: list[asyncio.StreamWriter] = []
            while len(writers) < streams:
                more = min(BATCH, streams - len(writers))
                writers += await asyncio.gather(*(one(ports[0], request) for _ in range(more)))
            seconds = time.perf_counter() - begin
            full = gateway.memory_info().rss
            for writer in writers:
                writer.close()
            await until_closed(client, ports[1])
            after = gateway.memory_info().rss
            each = (full - empty) / streams / 1024
            found.append({"full": full, "kb": each})
            print(
                f"round {number:>2} {streams:>9,} {seconds:>8.1f} s {full / 2**20:>7.0f} MB {each:>6.1f} KB"
                f" {after / 2**20:>6.0f} MB",
                flush=True,
            )
    growth = found[-1]["full"] / found[0]["full"] - 1
    return {
        "streams": streams,
        "kb_per_stream": round(found[0]["kb"], 1),
        "rss_empty_mb": round(empty / 2**20),
        "rss_full_mb": round(found[0]["full"] / 2**20),
        "growth": round(growth, 4),
    }


async def until_closed(client: httpx.AsyncClient, port: int, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    left = -1
    while time.monotonic() < deadline:
        left = (await client.get(f"http://127.0.0.1:{port}/open")).json()["open"]
        if left == 0:
            return
        await asyncio.sleep(0.1)
    sys.exit(f"{left} streams are still open upstream after {seconds:g} s")


def bound_socket() -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", 0))
    bound.listen(2048)
    return bound


def forked(work: Any) -> int:
    """A process that does that work; its id."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    return pid


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--limit-kb", type=float, default=150.0)
    given = parser.parse_args()
    # The gateway has two sockets for each stream: the client's and the upstream's.
    allowed = raise_limit(2 * given.streams + SPARE)
    streams = min(given.streams, (allowed - SPARE) // 2)
    if streams < given.streams:
        print(f"{streams:,} streams instead of {given.streams:,}: {allowed:,} files may be open (ulimit -n)")
    from datetime import UTC, datetime

    from picktune.auth import Auth

    with tempfile.TemporaryDirectory() as home, bound_socket() as ours, bound_socket() as theirs:
        key, _ = Auth(Path(home)).keys.create("bench", ["admin"], now=datetime.now(UTC))
        ports = ours.getsockname()[1], theirs.getsockname()[1]
        sys.stdout.flush()
        pids = [
            forked(lambda: serve_upstream(theirs)),
            forked(lambda: serve_gateway(ours, home, f"http://127.0.0.1:{ports[1]}", streams)),
        ]
        try:
            until_up(ports[0])
            result = asyncio.run(measured(streams, given.rounds, ports, key, pids[1]))
        finally:
            for pid in pids:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
    print(json.dumps(result))
    return int(result["kb_per_stream"] > given.limit_kb or result["growth"] > 0.1)


def until_up(port: int, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    sys.exit("the gateway is not ready")


if __name__ == "__main__":
    sys.exit(main())
