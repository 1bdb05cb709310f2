"""The demonstration's processes: ``picktune serve`` and ``picktune nightly``, started, watched, stopped."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from picktune.errors import PicktuneError

TAIL = 25
STOP_WITHIN = 20.0


class DemoFailed(PicktuneError, RuntimeError):
    """The demonstration cannot go on; ``exit_code`` is the command's."""

    code = "demo_failed"

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def free_port() -> int:
    """A port of the loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def serving(config: Path, log: Path) -> AsyncIterator[Process]:
    """A ``picktune serve`` with that configuration, which writes to ``log``; it is stopped on leaving."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = await _start(["serve"], config, output.fileno())
    try:
        yield process
    finally:
        await stop(process)


async def run(arguments: Sequence[str], config: Path, *, line: Callable[[str], None]) -> int:
    """Run a command of picktune to its end, hand on its lines as they come, and return its exit code."""
    process = await _start(arguments, config, PIPE)
    try:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        while said := await process.stdout.readline():
            line(said.decode("utf-8", "replace").rstrip())
        return await process.wait()
    finally:
        await stop(process)


async def stop(process: Process) -> None:
    """End the process: politely, and after twenty seconds for good."""
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def check_alive(process: Process, log: Path) -> None:
    """Raise ``DemoFailed`` with the end of the server's log if the server has ended."""
    if process.returncode is not None:
        raise DemoFailed(f"the server has ended with code {process.returncode}; {tail(log)}")


def tail(log: Path) -> str:
    """The last lines of a log, under a sentence that says where the rest is."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]
    except OSError as error:
        return f"its log {log} cannot be read: {error.strerror}"
    return f"the end of its log {log}:\n" + "\n".join(f"    {line}" for line in lines or ["(empty)"])


async def _start(arguments: Sequence[str], config: Path, output: int) -> Process:
    # The configuration file decides; what is set for another Picktune on this machine must not.
    kept = {"PICKTUNE_CACHE"}
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PICKTUNE_") or k in kept}
    # Ctrl-C reaches this process only, which then stops its children in order.
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "picktune.demo.child",
        str(os.getpid()),
        *arguments,
        stdin=DEVNULL,
        stdout=output,
        stderr=STDOUT,
        env={**environ, "PICKTUNE_CONFIG": str(config), "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
        limit=2**20,
    )
