"""A pick that was acknowledged survives ``kill -9`` of the server: 200 times, under concurrent picks."""

from __future__ import annotations

import asyncio
import os
import random
import re
import sys
import time
from asyncio.subprocess import PIPE, STDOUT, Process
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import httpx
import pytest
from picktune.keys import KeyRing
from picktune.log import SQLiteLog, SQLiteLogReader
from picktune.records import Candidate, Exposure, Message, Pick, Slate, Turn, new_id

KILLS = 200
CLIENTS = 8
SLATES, VIEWERS = 200, 100
NOW = datetime(2026, 11, 24, tzinfo=UTC)
# A plain installation has neither; where the developers' tools bring them, they are half of the start.
ABSENT = ("pandas", "httpx_aiohttp")
SERVE = f"import sys; sys.modules.update(dict.fromkeys({ABSENT})); from picktune.cli import main; main()"


def slate() -> Slate:
    turn = Turn(
        id=new_id(),
        conversation_id=new_id(),
        messages=(Message(role="user", content="Where is my order?"),),
        created_at=NOW,
    )
    candidates = tuple(
        Candidate(
            id=new_id(),
            arm=arm,
            kind="base",
            model=None,
            text=f"Reply {place}.",
            position=place,
            propensity=0.5,
            tokens=3,
            latency=0.1,
        )
        for place, arm in enumerate(("base", "base-b"))
    )
    return Slate(
        id=new_id(), turn=turn, candidates=candidates, policy="1+1", seed=1, complete=True, created_at=NOW
    )


async def prepare(path: Path) -> list[dict[str, str]]:
    """A log in which every slate was shown to every viewer; the decisions that they are going to send."""
    slates = [slate() for _ in range(SLATES)]
    decisions = []
    async with SQLiteLog.open(path) as log:
        await asyncio.gather(*(log.add_slate(one) for one in slates))
        for one in slates:
            order = tuple(candidate.id for candidate in one.candidates)
            viewers = [f"viewer-{number}" for number in range(VIEWERS)]
            await asyncio.gather(
                *(
                    log.add_exposure(Exposure(slate_id=one.id, viewer=name, order=order, shown_at=NOW))
                    for name in viewers
                )
            )
            decisions += [
                {
                    "key": new_id(),
                    "slate_id": one.id,
                    "verdict": "chosen",
                    "candidate_id": order[number % 2],
                    "annotator": name,
                }
                for number, name in enumerate(viewers)
            ]
    random.Random(3).shuffle(decisions)
    return decisions


async def start(home: Path) -> tuple[Process, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", SERVE, "serve", "--home", str(home), "--port", "0", "--log-level", "error"),
        *("--engine", "vllm", "--vllm-url", "http://127.0.0.1:9"),
        stdout=PIPE,
        stderr=STDOUT,
        # What is killed reports no coverage; measuring it only slows its start down.
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith(("PICKTUNE_", "COVERAGE_"))},
            "PYTHONUNBUFFERED": "1",
        },
    )
    assert process.stdout is not None
    said = b""
    async with asyncio.timeout(60):
        while line := await process.stdout.readline():
            said += line
            if found := re.search(rb"Picktune serves (\S+)", line):
                return process, found[1].decode()
    raise AssertionError(said.decode())


class Callers:
    """Concurrent clients that send decisions and remember which of them were acknowledged."""

    def __init__(self, key: str, decisions: list[dict[str, str]]) -> None:
        self.fresh: Iterator[dict[str, str]] = iter(decisions)
        self.unanswered: list[dict[str, str]] = []
        self.acknowledged: dict[str, dict[str, str]] = {}
        self.cut_off = 0
        self._headers = {"Authorization": f"Bearer {key}"}

    async def call_until_killed(self, url: str, process: Process, seconds: float) -> None:
        """Send what is unanswered, then fresh decisions; the server is killed after ``seconds``."""
        again, self.unanswered = self.unanswered, []
        waiting = iter(again)
        async with self._client(url) as client:

            async def caller() -> None:
                for decision in waiting:
                    await self._send(client, decision)
                while process.returncode is None and (decision := next(self.fresh, None)):
                    await self._send(client, decision)

            async def killer() -> None:
                await asyncio.sleep(seconds)
                process.kill()
                await process.wait()

            await asyncio.gather(killer(), *(caller() for _ in range(CLIENTS)))

    async def send_all(self, url: str, decisions: list[dict[str, str]]) -> None:
        """Send these, to a server that lives."""
        async with self._client(url) as client:
            await asyncio.gather(*(self._send(client, decision) for decision in decisions))

    def _client(self, url: str) -> httpx.AsyncClient:
        # No certificates: reading them takes longer than many a server here lives.
        return httpx.AsyncClient(
            base_url=url,
            headers=self._headers,
            verify=False,  # noqa: S501 - the scheme is http
            trust_env=False,
            timeout=30,
        )

    async def _send(self, client: httpx.AsyncClient, decision: dict[str, str]) -> None:
        try:
            answer = await client.post("/v1/picks", json=decision)
        except httpx.TransportError:
            self.cut_off += 1
            self.unanswered.append(decision)
            return
        assert answer.status_code == 200, answer.text
        self.acknowledged[decision["key"]] = decision


def stored(home: Path) -> list[Pick]:
    with SQLiteLogReader(home / "picktune.db") as reader:
        ids = {decision.slate_id for decision in reader.decisions()}
        return [pick for slate_id in ids for pick in reader.picks(slate_id)]


async def kill_again_and_again(home: Path, kills: int, seed: int) -> tuple[Callers, list[float]]:
    """Kill a server under its clients so many times, then look at every pick that it has."""
    rng = random.Random(seed)
    decisions = await prepare(home / "picktune.db")
    key, _ = KeyRing(home / "keys.json").create("test", ["pick"], now=NOW)
    callers = Callers(key, decisions)
    starting = []
    for kill in range(kills):
        before = time.perf_counter()
        process, url = await start(home)
        starting.append(time.perf_counter() - before)
        await callers.call_until_killed(url, process, rng.uniform(0.01, 0.12))
        if kill % 20 == 0:
            assert callers.acknowledged.keys() <= {pick.key for pick in stored(home)}

    process, url = await start(home)
    unanswered, callers.unanswered = callers.unanswered, []
    known_already = rng.sample(list(callers.acknowledged.values()), 50)
    await callers.send_all(url, [*unanswered, *known_already])
    assert callers.unanswered == []
    process.terminate()
    await process.wait()

    picks = stored(home)
    times = Counter((pick.slate_id, pick.annotator) for pick in picks)
    sent = callers.acknowledged
    assert set(times.values()) == {1}, "a pick was doubled"
    assert sent.keys() <= {pick.key for pick in picks}, "an acknowledged pick was lost"
    assert {pick.key for pick in picks} == sent.keys(), "something was stored that nobody decided"
    for pick in picks:
        assert pick.candidate_id == sent[pick.key]["candidate_id"]
        assert pick.version == 1
    # The kills have to hit something for this to mean anything.
    assert callers.cut_off >= kills
    assert len(callers.acknowledged) >= 5 * kills
    return callers, starting


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.anyio
async def test_an_acknowledged_pick_survives_kill_9(tmp_path: Path) -> None:
    """Two servers at once, each with a log and clients of its own: starting them is what takes the time."""
    lanes = [kill_again_and_again(tmp_path / f"home-{lane}", KILLS // 2, lane) for lane in (1, 2)]
    (one, starts), (other, more) = await asyncio.gather(*lanes)
    acknowledged = len(one.acknowledged) + len(other.acknowledged)
    cut_off = one.cut_off + other.cut_off
    print(f"{KILLS} kills, {acknowledged} acknowledged, {cut_off} cut off,")  # noqa: T201
    print(f"median start {median(starts + more):.2f} s")  # noqa: T201
