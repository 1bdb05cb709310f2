"""The load: requests that leave when they are due, whatever became of those before them.

``Generator`` starts this file as a process of its own, which takes loads as lines of JSON and answers each
with what it saw. Latency counts from when a request was due, so one that had to wait counts its wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import selectors
import statistics
import subprocess
import sys
import time
from collections import Counter, deque

import msgspec

_FIRST = re.compile(rb'"content":\s*"[^"]')


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of request at a constant rate; ``bodies`` are sent in turn, with their number for ``@@``.

    ``targets`` are ports on this machine, each with a share of the connections, of which there are at most so
    many. ``warm`` requests go before those that count; ``patience`` is how many seconds the last answers get.
    """

    targets: list[int]
    path: str
    bodies: list[str]
    rate: float
    seconds: float
    key: str = "none"
    stream: bool = False
    warm: int = 20
    connections: int = 256
    patience: float = 15.0


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds of each answer, and of a stream's first token; ``sent`` is how many were due.

    ``late_ms`` is the median by which the generator itself was late.
    """

    ms: list[float]
    first_ms: list[float]
    statuses: dict[str, int]
    sent: int
    late_ms: float

    @property
    def failed(self) -> int:
        """How many were not answered, or not with a success."""
        return self.sent - sum(count for status, count in self.statuses.items() if status.startswith("2"))

    def percentile(self, share: float) -> float:
        """Milliseconds; infinite if so many were never answered."""
        ranked = sorted(self.ms) + [float("inf")] * (self.sent - len(self.ms))
        return ranked[min(int(share * len(ranked)), len(ranked) - 1)]

    def first(self, share: float) -> float:
        """The same for the first token."""
        ranked = sorted(self.first_ms) + [float("inf")] * (self.sent - len(self.first_ms))
        return ranked[min(int(share * len(ranked)), len(ranked) - 1)]


class Generator:
    """The process that makes the load."""

    def __init__(self) -> None:
        process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._process, self._into, self._out = process, process.stdin, process.stdout

    def run(self, *loads: Load) -> list[Seen]:
        """What became of the loads, which run at the same time."""
        self._into.write(msgspec.json.encode(loads) + b"\n")
        self._into.flush()
        line = self._out.readline()
        if not line:
            raise RuntimeError("the process that makes the load ended; what it said above is why")
        return msgspec.json.decode(line, type=list[Seen])

    def close(self) -> None:
        """End the process."""
        self._into.close()
        self._out.close()
        self._process.wait(10)


class _Connection(asyncio.Protocol):
    """One connection, which carries one request at a time."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self.open = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def send(self, content: bytes, due: float | None) -> None:
        self._due, self._buffer, self._ends, self._first = due, bytearray(), 0, 0.0
        self._transport.write(content)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._run.load.stream and not self._first and _FIRST.search(self._buffer):
            self._first = time.perf_counter()
        if not self._ends:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._buffer[:end]).lower()
            at = head.find(b"\r\ncontent-length:")
            self._ends = end + 4 + int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else -1
        if self._buffer.endswith(b"0\r\n\r\n") if self._ends < 0 else len(self._buffer) >= self._ends:
            self._run.answered(self, self._due, self._first, bytes(self._buffer[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        self._run.lost(self)


class _Run:
    """One load under way."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self._idle: deque[_Connection] = deque()
        self._waiting: deque[tuple[int, float | None]] = deque()
        self._opened = 0
        self._ms: list[float] = []
        self._first_ms: list[float] = []
        self._late: list[float] = []
        self._statuses: Counter[str] = Counter()
        self._open_tasks: set[asyncio.Task[None]] = set()
        self._left = 0
        self._done = asyncio.Event()
        host = f"POST {load.path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {load.key}\r\n"
        self._head = f"{host}content-type: application/json\r\naccept: */*\r\ncontent-length: ".encode()

    async def run(self) -> Seen:
        load = self.load
        count = max(1, int(load.rate * load.seconds))
        for _ in range(min(8 * len(load.targets), load.connections)):
            await self._connect()
        for number in range(load.warm):
            await self._one(number - load.warm)
        begin = time.perf_counter() + 0.02
        self._left, self._done = count, asyncio.Event()
        for number in range(count):
            due = begin + number / load.rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            self._late.append(time.perf_counter() - due)
            self._send(number, due)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(load.patience):
                await self._done.wait()
        for connection in [*self._idle]:
            connection._transport.abort()
        return Seen(
            ms=self._ms,
            first_ms=self._first_ms,
            statuses=dict(self._statuses),
            sent=count,
            late_ms=1000 * statistics.median(self._late),
        )

    async def _one(self, number: int) -> None:
        self._left, self._done = 1, asyncio.Event()
        self._send(number, None)
        async with asyncio.timeout(self.load.patience):
            await self._done.wait()

    def _send(self, number: int, due: float | None) -> None:
        while self._idle and not self._idle[0].open:
            self._idle.popleft()
        if self._idle:
            self._idle.popleft().send(self._request(number), due)
            return
        self._waiting.append((number, due))
        if self._opened < self.load.connections:
            task = asyncio.ensure_future(self._connect())
            self._open_tasks.add(task)
            task.add_done_callback(self._open_tasks.discard)

    async def _connect(self) -> None:
        port = self.load.targets[self._opened % len(self.load.targets)]
        self._opened += 1
        _, made = await asyncio.get_running_loop().create_connection(
            lambda: _Connection(self), "127.0.0.1", port
        )
        self._next(made)

    def _request(self, number: int) -> bytes:
        bodies = self.load.bodies
        body = bodies[number % len(bodies)].replace("@@", str(number)).encode()
        return b"%b%d\r\n\r\n%b" % (self._head, len(body), body)

    def _next(self, connection: _Connection) -> None:
        if self._waiting:
            number, due = self._waiting.popleft()
            connection.send(self._request(number), due)
        else:
            self._idle.append(connection)

    def answered(self, connection: _Connection, due: float | None, first: float, status: bytes) -> None:
        now = time.perf_counter()
        if due is not None:
            self._statuses[status.decode("latin-1")] += 1
            self._ms.append(1000 * (now - due))
            if first:
                self._first_ms.append(1000 * (first - due))
        self._next(connection)
        self._count_down()

    def lost(self, connection: _Connection) -> None:
        """A connection that the other side closed; what it carried is missing among the answers."""
        self._opened -= 1

    def _count_down(self) -> None:
        self._left -= 1
        if not self._left:
            self._done.set()


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.buffer.readline):
        loads = msgspec.json.decode(line, type=list[Load])
        gc.collect()
        gc.disable()
        seen = await asyncio.gather(*(_Run(load).run() for load in loads))
        gc.enable()
        sys.stdout.buffer.write(msgspec.json.encode(seen) + b"\n")
        sys.stdout.buffer.flush()


def _loop() -> asyncio.AbstractEventLoop:
    # epoll waits in whole milliseconds, select in microseconds, and requests must leave when they are due.
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=_loop) as runner:
        runner.run(_serve())
