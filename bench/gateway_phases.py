"""What is measured, each against its comparison in turn, so that what else the machine does falls on all."""

from __future__ import annotations

import asyncio
import math
import random
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from gateway_load import Generator, Load, Seen
from gateway_peers import UPSTREAM_MODEL, Peer
from msgspec import Struct
from picktune.log import SQLiteLog
from picktune.records import Candidate, Exposure, Message, Slate, Turn, new_id, utc_now
from picktune.slate import new_candidate_id

Progress = Callable[[str, int, int], None]

SYSTEM = (
    "You help the customers of a shop that sells lamps and furniture. Be kind, be brief, and ask if unsure."
)
HELD = 50.0  # ms: the p99 up to which a rate counts as held
SLOWEST = 2.0  # requests a second: slower than this nothing is tried


class Target(Struct, frozen=True):
    """A server, and what it is asked."""

    peer: Peer
    body: str

    def load(self, rate: float, seconds: float, *, stream: bool = False) -> Load:
        """So many requests a second."""
        return Load(
            targets=self.peer.ports,
            path=self.peer.path,
            key=self.peer.key,
            bodies=[self.body],
            rate=rate,
            seconds=seconds,
            stream=stream,
            warm=20 * len(self.peer.ports),
        )


class Added(Struct, frozen=True):
    """Milliseconds beyond a direct call, and of the processor, of one request; medians over the segments."""

    p50: float
    p99: float
    cpu: float
    failed: int
    direct_p50: float
    first_p50: float = math.nan


def chat(model: str, **more: object) -> str:
    """A request as a chat application sends it; each is another person's."""
    asked = {
        "model": model,
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": "Where is my order 10@@? It should have been here on Monday."},
        ],
        "temperature": 0.8,
        "max_tokens": 64,
        **more,
    }
    return msgspec.json.encode(asked).decode()


def targets(direct: Peer, ours: Peer, peer: Peer | None, *, stream: bool = False) -> dict[str, Target]:
    """Those that are compared, the direct call first."""
    more = {"stream": True} if stream else {}
    found = {
        "direct": Target(direct, chat(UPSTREAM_MODEL, **more)),
        "slate of 1": Target(ours, chat("picktune", n=1, user="user-@@", **more)),
        "slate of 2+2": Target(ours, chat("picktune", user="user-@@", **more)),
        "named arm": Target(ours, chat("base", **more)),
    }
    if peer is not None:
        found["LiteLLM"] = Target(peer, chat(UPSTREAM_MODEL, **more))
    return found


def added(
    generator: Generator,
    compared: Mapping[str, Target],
    rate: float,
    seconds: float,
    rounds: int,
    progress: Callable[[int, int], None],
    *,
    stream: bool = False,
) -> dict[str, Added]:
    """What each adds to the direct call of the same round, in short segments that take turns."""
    seen: dict[str, list[Seen]] = {name: [] for name in compared}
    spent: dict[str, list[float]] = {name: [] for name in compared}
    for number in range(rounds):
        for place, (name, target) in enumerate(compared.items()):
            before = target.peer.cpu
            load = target.load(rate, seconds, stream=stream)
            (one,) = generator.run(load)
            spent[name].append(1000 * (target.peer.cpu - before) / (one.sent + load.warm))
            seen[name].append(one)
            progress(number * len(compared) + place + 1, rounds * len(compared))
    base = seen["direct"]

    def beyond(name: str, figure: Callable[[Seen], float]) -> float:
        return statistics.median(figure(one) - figure(b) for one, b in zip(seen[name], base, strict=True))

    return {
        name: Added(
            p50=beyond(name, lambda one: one.percentile(0.5)),
            p99=beyond(name, lambda one: one.percentile(0.99)),
            cpu=statistics.median(spent[name]),
            failed=sum(one.failed for one in seen[name]),
            direct_p50=statistics.median(one.percentile(0.5) for one in base),
            first_p50=beyond(name, lambda one: one.first(0.5)) if stream else math.nan,
        )
        for name in compared
    }


class _Search:
    """The highest rate at which p99 stays under ``HELD`` and nothing fails: up by leaps, then in between."""

    def __init__(self, start: float) -> None:
        self.rate = start
        self.held = 0.0
        self._too_much = math.inf
        self._again = True

    @property
    def done(self) -> bool:
        return self.rate < SLOWEST or self._too_much < 1.12 * self.held

    def tell(self, held: bool) -> None:
        if not held and self._again:
            self._again = False  # one bad moment of the machine's is no verdict
            return
        self._again = True
        if held:
            self.held = self.rate
        else:
            self._too_much = self.rate
        if self._too_much == math.inf:
            self.rate *= 1.6
        else:
            self.rate = math.sqrt(self.held * self._too_much) if self.held else self.rate / 2


def highest_rates(
    generator: Generator, compared: Mapping[str, tuple[Target, float]], seconds: float, progress: Progress
) -> dict[str, float]:
    """The highest rate that each holds, in requests a second; each comes with the rate to begin with.

    0 for one that does not even hold ``SLOWEST``.
    """
    searches = {name: _Search(start) for name, (_, start) in compared.items()}
    steps = 0
    while pending := [name for name, search in searches.items() if not search.done]:
        for name in pending:
            search = searches[name]
            load = compared[name][0].load(search.rate, seconds)
            (seen,) = generator.run(msgspec.structs.replace(load, patience=5.0))
            search.tell(not seen.failed and seen.percentile(0.99) < HELD)
            steps += 1
            progress("the highest rates", steps, max(steps + len(pending), 10 * len(compared)))
    return {name: search.held for name, search in searches.items()}


def memory(
    generator: Generator, target: Target, slates: int, progress: Callable[[int, int], None]
) -> list[int]:
    """Bytes that the server holds after some thousand slates, then after each tenth of ``slates`` more."""
    held, part = [], slates // 10

    def draw(count: int) -> None:
        # As fast as it can: a queue for few connections.
        load = target.load(20_000.0, count / 20_000.0)
        (seen,) = generator.run(msgspec.structs.replace(load, connections=8, patience=300.0, warm=0))
        if seen.failed:
            raise SystemExit(f"{seen.failed} of {count} slates were not drawn: {seen.statuses}")

    draw(max(part, 2000))
    held.append(target.peer.rss)
    for number in range(10):
        draw(part)
        held.append(target.peer.rss)
        progress(number + 1, 10)
    return held


def picks(
    generator: Generator,
    target: Target,
    decisions: list[str],
    *,
    chats: float,
    rate: float,
    seconds: float,
    rounds: int,
    progress: Callable[[int, int], None],
) -> list[Seen]:
    """Picks a second beside the chats; each is acknowledged when it is on disk."""
    count, seen = int(rate * seconds), []
    for number in range(rounds):
        mine = decisions[number * count : (number + 1) * count]
        sent = Load(
            targets=target.peer.ports,
            path=target.peer.path.replace("/chat/completions", "/picks"),
            key=target.peer.key,
            bodies=mine,
            rate=rate,
            seconds=seconds,
            warm=0,
        )
        beside, found = generator.run(target.load(chats, seconds), sent)
        if found.failed or beside.failed:
            raise SystemExit(f"not every pick or chat was answered: {found.statuses}, {beside.statuses}")
        seen.append(found)
        progress(number + 1, rounds)
    return seen


def decidable(path: Path, count: int) -> list[str]:
    """Slates in the log at ``path``, shown to many, and ``count`` decisions on them, not sent yet."""
    return asyncio.run(_decidable(path, count))


async def _decidable(path: Path, count: int) -> list[str]:
    rng, viewers = random.Random(7), 10
    sent: list[str] = []
    async with SQLiteLog.open(path) as log:
        for number in range(math.ceil(count / viewers)):
            slate = _slate(number, rng)
            order = tuple(one.id for one in slate.candidates)
            shown = [
                Exposure(slate_id=slate.id, viewer=f"viewer-{one}", order=order, shown_at=utc_now())
                for one in range(viewers)
            ]
            writes = [log.add_slate(slate), *(log.add_exposure(one) for one in shown)]
            await asyncio.gather(*writes)
            sent += [_pick(slate, one.viewer, rng) for one in shown]
    rng.shuffle(sent)
    return sent[:count]


def _slate(number: int, rng: random.Random) -> Slate:
    now = utc_now()
    messages = (Message(role="user", content=f"Where is my order {number}?"),)
    turn = Turn(id=new_id(), conversation_id=f"seeded-{number}", messages=messages, created_at=now)
    candidates = tuple(
        Candidate(
            id=new_candidate_id(rng),
            arm="base" if place % 2 else "base-b",
            kind="base",
            model=None,
            text=f"It left our warehouse this morning. ({place})",
            position=place,
            propensity=0.5,
            tokens=9,
            latency=0.1,
            finish_reason="stop",
        )
        for place in range(4)
    )
    about = {"policy": "2+2", "seed": number, "complete": True, "created_at": now}
    return Slate(id=new_id(), turn=turn, candidates=candidates, **about)


def _pick(slate: Slate, viewer: str, rng: random.Random) -> str:
    decision = {
        "key": f"{slate.id}-{viewer}",
        "slate_id": slate.id,
        "verdict": "chosen",
        "candidate_id": rng.choice(slate.candidates).id,
        "annotator": viewer,
        "dwell_ms": 4000,
    }
    return msgspec.json.encode(decision).decode()
