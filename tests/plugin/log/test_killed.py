"""The process is killed in the middle of writing: what was acknowledged is there, and nothing is doubled."""

# ruff: noqa: ASYNC220 - a test has the event loop to itself

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from picktune.log import SQLiteLog, SQLiteLogReader
from picktune.log.verify import verify
from picktune.records import Message

pytestmark = pytest.mark.anyio

ROUNDS, SLATES = 10, 150

# Decides on each slate with many requests at once, each sent twice, and says which were acknowledged.
CHILD = textwrap.dedent(
    """
    import asyncio, sys
    from picktune.log import SQLiteLog
    from picktune.records import Pick, utc_now

    few = asyncio.Semaphore(16)

    async def decide(log, slate_id, candidate_id, round):
        pick = Pick(key=f"{round}:{slate_id}", slate_id=slate_id, verdict="chosen", candidate_id=candidate_id,
                    annotator="ann", decided_at=utc_now())
        async with few:
            stored = await log.record(pick)
            assert await log.record(pick) == stored
        sys.stdout.write(f"{stored.key}\\n")
        sys.stdout.flush()

    async def main(path, round, *pairs):
        log = SQLiteLog.open(path, batch=7)
        await asyncio.gather(*(decide(log, *pair.split(":"), round) for pair in pairs))
        await log.close()

    asyncio.run(main(*sys.argv[1:]))
    """
)


async def test_killed_again_and_again(path: Path, make: Any) -> None:
    conversations = [make.conversation(pending=("and?",)) for _ in range(ROUNDS * SLATES)]
    rounds = []
    async with SQLiteLog.open(path) as log:
        await log.add_conversations(conversations)
        for place in range(ROUNDS):
            some = conversations[SLATES * place : SLATES * (place + 1)]
            rounds.append(
                await asyncio.gather(*(make.shown(log, conversation=conversation) for conversation in some))
            )

    rng = random.Random(3)
    acknowledged: list[str] = []
    unfinished = 0
    for number, slates in enumerate(rounds):
        pairs = [f"{slate.id}:{slate.candidates[0].id}" for slate in slates]
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, path, str(number), *pairs], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        seen = []
        for _ in range(rng.randrange(1, SLATES // 3)):
            seen.append(child.stdout.readline().strip())
        os.kill(child.pid, signal.SIGKILL)
        seen += [line.strip() for line in child.stdout.readlines() if line.endswith("\n")]
        child.stdout.close()
        child.wait()
        assert all(seen)
        acknowledged += seen
        unfinished += len(seen) < len(slates)

    assert verify(path).findings == ()
    connection = sqlite3.connect(path)
    keys = Counter(key for (key,) in connection.execute("SELECT key FROM picks"))
    connection.close()
    assert unfinished > ROUNDS // 2, "the children had mostly finished before they were killed"
    assert set(acknowledged) <= set(keys)
    assert set(keys.values()) == {1}
    with SQLiteLogReader(path) as reader:
        decided = {decision.slate_id for decision in reader.decisions()}
        for slate in (slate for slates in rounds for slate in slates):
            said = reader.conversation(slate.turn.conversation_id).messages[1:]
            reply = Message(role="assistant", content=slate.candidates[0].text)
            assert said == ((reply, Message(role="user", content="and?")) if slate.id in decided else ())
