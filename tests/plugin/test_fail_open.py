"""Whatever breaks under load, no chat goes without an answer, and no acknowledged pick without a row."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from picktune.errors import AdapterCorrupt
from picktune.feedback import Feedback
from picktune.keys import KeyRing
from picktune.log import SQLiteLogReader
from picktune.records import Message, new_id, utc_now
from picktune.service import Service
from picktune_adapters.registry import Registry

pytestmark = pytest.mark.anyio

UPSTREAM = Path(__file__).parent / "engines" / "upstream.py"
ASK = [{"role": "user", "content": "Where is my order?"}]
CLIENTS = 12


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


class Replica:
    """A process that speaks as much of vLLM as we use; see ``engines/upstream.py``."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, str(UPSTREAM), str(self.port)])
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(f"{self.url}/health")
                return
            time.sleep(0.05)
        pytest.fail("the upstream process did not start")

    def does(self, **what: Any) -> None:
        httpx.post(f"{self.url}/test", json=what)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Site:
    """A real ``picktune serve`` before two replicas, its clients, and what they were told."""

    def __init__(self, home: Path, replicas: list[Replica]) -> None:
        self.home, self.replicas = home, replicas
        self.port = free_port()
        self.key, _ = KeyRing(home / "keys.json").create("load", ["slate", "pick"], now=datetime.now(UTC))
        self.slates: set[str] = set()
        self.acknowledged: dict[str, str] = {}
        self.lost: list[str] = []
        self.refused = 0
        self.unkept = 0
        self.start()

    def start(self) -> None:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PICKTUNE_")}
        environ |= {
            "PICKTUNE_ENGINE": "vllm",
            "PICKTUNE_VLLM__URLS": ",".join(one.url for one in self.replicas),
            "PICKTUNE_TIMEOUT": "1.5",
            "PICKTUNE_POLL": "0.1",
            "PICKTUNE_RATES__KEY_SLATES": "0",
            "PICKTUNE_RATES__KEY_PICKS": "0",
        }
        command = [sys.executable, "-c", "from picktune.cli import main; main()", "serve"]
        self.process = subprocess.Popen(
            [*command, "--home", str(self.home), "--port", str(self.port)],
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.url = f"http://127.0.0.1:{self.port}/picktune"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/readyz").json()["ready"]:
                    return
            time.sleep(0.05)
        pytest.fail("picktune serve did not become ready")

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        headers = {"Authorization": f"Bearer {self.key}"}
        async with httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30) as client:
            yield client

    async def chat(self, client: httpx.AsyncClient) -> dict[str, Any]:
        """One turn, which must be answered."""
        try:
            asked: dict[str, Any] = {"model": "picktune", "messages": ASK, "user": "u"}
            asked["picktune"] = {"conversation_id": new_id()}
            answer = await client.post("/v1/chat/completions", json=asked)
            found: dict[str, Any] = answer.json()
            assert answer.status_code == 200, found
            assert found["choices"][0]["message"]["content"]
        except (httpx.HTTPError, AssertionError, KeyError, IndexError) as error:
            self.lost.append(repr(error))
            return {}
        self.slates.add(found["picktune"]["slate_id"])
        self.unkept += found["picktune"].get("kept") is False
        note: dict[str, Any] = found["picktune"]
        return note

    async def pick(self, client: httpx.AsyncClient, note: dict[str, Any]) -> None:
        """A pick, which is acknowledged or refused."""
        key = new_id()
        body = {
            "key": key,
            "slate_id": note["slate_id"],
            "verdict": "chosen",
            "candidate_id": note["candidate_ids"][0],
            "annotator": "u",
        }
        answer = await client.post("/v1/picks", json=body)
        if answer.status_code == 200:
            self.acknowledged[key] = note["slate_id"]
        else:
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "log_unavailable")
            self.refused += 1

    @contextlib.asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        """Chats and picks by several clients for as long as the block runs."""
        stop = asyncio.Event()

        async def busy() -> None:
            async with self.client() as client:
                while not stop.is_set():
                    if note := await self.chat(client):
                        await self.pick(client, note)

        tasks = [asyncio.create_task(busy()) for _ in range(CLIENTS)]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    async def all_kept(self) -> None:
        await self.until(lambda ready: ready["unkept"] == 0)

    async def all_well(self) -> None:
        await self.until(lambda ready: all(one["breaker"] == "closed" for one in ready["replicas"]))

    async def until(self, holds: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until ``/readyz`` says so."""
        async with asyncio.timeout(30), self.client() as client:
            while True:
                if holds((await client.get("/readyz")).json()):
                    return
                await asyncio.sleep(0.1)

    def missing(self) -> tuple[set[str], set[str]]:
        """The slates and the acknowledged picks that are not in the log."""
        with sqlite3.connect(self.home / "picktune.db") as log:
            slates = {row[0] for row in log.execute("SELECT id FROM slates")}
            picks = {row[0] for row in log.execute("SELECT key FROM picks")}
        log.close()
        return self.slates - slates, self.acknowledged.keys() - picks


@pytest.fixture
def replicas() -> Iterator[list[Replica]]:
    found = [Replica(), Replica()]
    yield found
    for one in found:
        one.kill()


@pytest.fixture
def site(tmp_path: Path, replicas: list[Replica]) -> Iterator[Site]:
    site = Site(tmp_path / "home", replicas)
    yield site
    site.process.kill()
    site.process.wait()


@contextlib.contextmanager
def locked(log: Path) -> Iterator[None]:
    """Another program holds the log's write lock."""
    connection = sqlite3.connect(log, isolation_level=None, timeout=30)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@contextlib.contextmanager
def full(pid: int) -> Iterator[None]:
    """The system refuses every write of the process beyond 64 kB of a file, as on a disk that is full."""
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (65_536, most))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))


async def test_no_chat_and_no_acknowledged_pick_is_lost(site: Site, replicas: list[Replica]) -> None:
    one, two = replicas
    async with site.load():
        await asyncio.sleep(0.8)
        one.kill()  # down
        await asyncio.sleep(0.8)
        one.start()
        await site.all_well()
        two.process.send_signal(signal.SIGSTOP)  # half-dead: takes connections, and says nothing
        await asyncio.sleep(3.0)
        two.process.send_signal(signal.SIGCONT)
        await site.all_well()
        for each in replicas:
            each.does(seconds=0.3)  # slow
        await asyncio.sleep(0.9)
        one.does(status=500)  # failing, while the other one is slow
        await asyncio.sleep(0.9)
        for each in replicas:
            each.does(seconds=0.0, status=200)
        async with asyncio.timeout(120):
            while len(site.slates) <= 100:  # noqa: ASYNC110 - other tasks add to them
                await asyncio.sleep(0.05)
    assert site.lost == []
    assert site.refused == 0
    before = len(site.slates)
    assert before > 100
    async with site.load():
        with locked(site.home / "picktune.db"):
            await asyncio.sleep(1.0)
        await asyncio.sleep(0.5)
        with full(site.process.pid):
            await asyncio.sleep(1.5)
            async with asyncio.timeout(60):
                while not site.unkept:  # noqa: ASYNC110 - other tasks count them
                    await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
    assert site.lost == []
    assert site.unkept > 0
    assert len(site.slates) > before
    await site.all_kept()
    assert site.missing() == (set(), set())


async def test_what_was_shown_outlives_the_server(site: Site) -> None:
    async with site.client() as client:
        await site.pick(client, await site.chat(client))
        with locked(site.home / "picktune.db"):
            notes = [await site.chat(client) for _ in range(20)]
            await asyncio.sleep(0.5)  # they were answered at once, and the log has not taken them
            notes.append(await site.chat(client))
            assert site.unkept > 0
            assert len(site.missing()[0]) == 21
            journal = list((site.home / "spool").glob("*.jsonl"))
            assert [path.stat().st_mode & 0o777 for path in journal] == [0o600]
            site.process.kill()
            site.process.wait()
    site.start()
    await site.all_kept()
    assert site.missing() == (set(), set())
    assert site.lost == []
    # They may be decided on now, for it is known to whom they were shown.
    async with site.client() as client:
        await site.pick(client, notes[0])
    assert (len(site.acknowledged), site.refused) == (2, 0)
    assert all(not path.stat().st_size for path in (site.home / "spool").glob("*.jsonl"))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while True:
            if holds():
                return
            await asyncio.sleep(0.005)


async def test_the_tuned_arm_goes_away_under_load(service: Service, engine: Any, tiny_adapter: Any) -> None:
    registry = Registry(service.settings.registry_path)
    registry.add(
        tiny_adapter("v1", 1), name="v1", base_model="m", run_id="r", dataset_id="d", picks=1, now=utc_now()
    )
    registry.move("champion", "v1", by="test", reason="admitted", now=utc_now())
    await until(lambda: service.aliases.champion is not None)
    ann = Feedback(service, "ann")
    kinds: list[set[str]] = []

    async def chat(number: int) -> None:
        for _ in range(number, number + 10):
            slate = await ann.draw([Message(role="user", content="Hello?")])
            assert slate.candidates
            await ann.pick(slate.id, slate.candidates[0].id)
            drawn = await service.slate(slate.id)
            kinds.append({one.kind for one in drawn.candidates})

    chats = [asyncio.create_task(chat(number)) for number in range(CLIENTS)]
    await until(lambda: len(kinds) >= 20)
    engine.refuses["v1"] = AdapterCorrupt("the folder of v1 is gone")
    engine.adapters.clear()
    await asyncio.gather(*chats)
    assert len(kinds) == 10 * CLIENTS
    assert {"base"} in kinds
    assert {"base", "champion"} in kinds
    with SQLiteLogReader(service.settings.log_path) as reader:
        assert sum(1 for _ in reader.decisions()) == 10 * CLIENTS
