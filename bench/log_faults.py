"""Faults: what the log has acknowledged is there after each of them, and the log is sound."""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from log_biglog import Progress, build
from picktune.errors import LogUnavailable
from picktune.log import SQLiteLog, SQLiteLogReader
from picktune.log.verify import verify
from picktune.records import Exposure, Pick, Slate, new_id, utc_now

_FORK = get_context("fork")
SLATES = 400
WRITERS = 16
LONGEST = 0.08  # seconds from the start of a process until it is killed, at most
CHECK_EVERY = 100
TOGETHER = 2.0  # seconds in which two processes write


@dataclass(slots=True)
class Faults:
    """How many processes were killed, how many picks they acknowledged, and how many of those are gone."""

    kills: int = 0
    acknowledged: int = 0
    lost: int = 0
    full_disk: str = ""
    second_process: str = ""
    clock_back: str = ""


class Lost(Exception):
    """The log broke a promise."""


def provoke(folder: Path, kills: int, progress: Progress) -> Faults:
    """All of them, on one log, which grows meanwhile."""
    path = folder / "faults.db"
    build(path, SLATES, lambda *_: None, undecided=0)
    with SQLiteLogReader(path) as reader:
        slates = [reader.slate(f"{number:031x}a") for number in range(SLATES)]
    found = Faults()
    _kill(path, slates, kills, found, progress)
    progress("other faults", 0, 3)
    found.full_disk = _full_disk(path, slates, found)
    progress("other faults", 1, 3)
    found.second_process = _second_process(path, slates, found)
    progress("other faults", 2, 3)
    found.clock_back = _clock_back(path, slates)
    progress("other faults", 3, 3)
    return found


def _kill(path: Path, slates: list[Slate], kills: int, found: Faults, progress: Progress) -> None:
    rng, acknowledged = random.Random(1), set[str]()
    for kill in range(1, kills + 1):
        reading, writing = _FORK.Pipe(duplex=False)
        process = _FORK.Process(target=_write, args=(path, slates, writing, None))
        process.start()
        writing.close()
        time.sleep(rng.uniform(0.0, LONGEST))
        process.kill()
        process.join()
        acknowledged.update(_received(reading))
        if kill % CHECK_EVERY == 0 or kill == kills:
            _check(path, acknowledged, found)
        progress("kill -9", kill, kills)
    found.kills, found.acknowledged = kills, len(acknowledged)


def _full_disk(path: Path, slates: list[Slate], found: Faults) -> str:
    """A limit on the size of files: what the operating system then says no to is a write like any other."""
    reading, writing = _FORK.Pipe(duplex=False)
    limit = path.stat().st_size + 400_000
    process = _FORK.Process(target=_write, args=(path, slates, writing, limit))
    process.start()
    writing.close()
    keys = _received(reading)
    process.join()
    _check(path, set(keys), found)
    if process.exitcode != 3:
        raise Lost(f"a full disk was not reported (exit code {process.exitcode})")
    return f"refused after {len(keys)} picks, all there"


def _second_process(path: Path, slates: list[Slate], found: Faults) -> str:
    """Two processes open the file and write it at once."""
    both = []
    for _ in range(2):
        reading, writing = _FORK.Pipe(duplex=False)
        process = _FORK.Process(target=_write, args=(path, slates, writing, None))
        process.start()
        writing.close()
        both.append((process, reading))
    keys: list[list[str]] = [[], []]
    end = time.monotonic() + TOGETHER
    while time.monotonic() < end:
        for (_, reading), mine in zip(both, keys, strict=True):
            if reading.poll(0.01):
                mine.append(reading.recv())
    for process, _ in both:
        process.kill()
        process.join()
    for (_, reading), mine in zip(both, keys, strict=True):
        mine += _received(reading)
        _check(path, set(mine), found)
    return f"{len(keys[0])} and {len(keys[1])} picks, all there"


def _clock_back(path: Path, slates: list[Slate]) -> str:
    """A clock that jumps back a day between two decisions."""

    async def decide() -> list[Pick]:
        async with SQLiteLog.open(path) as log:
            return [
                await _decide(log, slates[0], f"clock {number}", back=timedelta(days=number))
                for number in range(3)
            ]

    picks = asyncio.run(decide())
    with SQLiteLogReader(path) as reader:
        times = [one.decided_at for one in reader.decisions() if one.annotator.startswith("clock ")]
    if times != sorted(pick.decided_at for pick in picks):
        raise Lost("decisions are not given in the order of their times")
    if not (sound := verify(path)).sound:
        raise Lost(sound.findings[0].message)
    return f"{len(times)} picks in the order of their times, the chain in that of their coming"


def _check(path: Path, acknowledged: set[str], found: Faults) -> None:
    with SQLiteLogReader(path) as reader:
        stored = {one.annotator for one in reader.decisions()}
    found.lost += len(acknowledged - stored)
    if not (sound := verify(path)).sound:
        raise Lost(sound.findings[0].message)


def _received(reading: Connection) -> list[str]:
    keys: list[str] = []
    with suppress(EOFError, OSError):
        while True:
            keys.append(reading.recv())
    return keys


def _write(path: Path, slates: list[Slate], told: Connection, limit: int | None) -> None:
    """Decide on slates until killed, and say each time what was acknowledged; exit 3 if the disk is full."""
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    rng = random.Random(os.getpid())

    async def writer(log: SQLiteLog) -> None:
        while True:
            name = new_id()
            await _decide(log, rng.choice(slates), name)
            told.send(name)

    async def all_of_them() -> None:
        async with SQLiteLog.open(path) as log:
            await asyncio.gather(*(writer(log) for _ in range(WRITERS)))

    try:
        asyncio.run(all_of_them())
    except LogUnavailable:
        told.close()
        os._exit(3)


async def _decide(log: SQLiteLog, slate: Slate, name: str, back: timedelta = timedelta()) -> Pick:
    order = tuple(one.id for one in slate.candidates)
    now = utc_now() - back
    await log.add_exposure(Exposure(slate_id=slate.id, viewer=name, order=order, shown_at=now))
    return await log.record(
        Pick(
            key=name,
            slate_id=slate.id,
            verdict="chosen",
            candidate_id=order[1],
            annotator=name,
            decided_at=now,
        )
    )


def _tell(stage: str, done: int, total: int | None) -> None:
    print(json.dumps([stage, done, total]), flush=True)


if __name__ == "__main__":
    print(json.dumps(asdict(provoke(Path(sys.argv[1]), int(sys.argv[2]), _tell))))
