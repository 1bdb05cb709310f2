"""Processes that stand for vLLM where a test needs several, or needs them to fail at a given moment."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest


class Upstream:
    """One such process; see ``upstream.py``."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("upstream.py")), str(self.port)],
            env={name: value for name, value in os.environ.items() if not name.startswith("COV")},
        )

    def until_up(self) -> None:
        for _ in range(400):
            with contextlib.suppress(httpx.TransportError):
                self.seen()
                return
            time.sleep(0.025)
        pytest.fail("the upstream process did not start")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        self.kill()
        self.start()
        self.until_up()

    def does(self, **what: Any) -> None:
        httpx.post(f"{self.url}/test", json=what, trust_env=False)

    def seen(self) -> Any:
        return httpx.get(f"{self.url}/test", trust_env=False).json()


@pytest.fixture
def upstreams() -> Iterator[Callable[[int], list[Upstream]]]:
    """Starts so many of them, all at once."""
    started: list[Upstream] = []

    def start(count: int) -> list[Upstream]:
        started.extend(Upstream() for _ in range(count))
        for one in started:
            one.until_up()
        return list(started)

    yield start
    for one in started:
        one.kill()
