"""``picktune demo`` as people run it: the whole loop on a tiny model, Ctrl-C, and a server that fails."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from picktune.demo.processes import free_port
from picktune.keys import KeyRing
from picktune.log import SQLiteLogReader
from picktune.tickets import sample_tickets
from picktune_adapters.registry import Registry

pytestmark = pytest.mark.slow

MAIN = "import sys; from picktune.cli import main; sys.exit(main())"
NIGHT = "--min-picks 5 --min-held-out 1 --epochs 1 --rank 4"


def demo(home: Path, *options: str, port: int | None = None) -> list[str]:
    chosen = str(port or free_port())
    return [sys.executable, "-c", MAIN, "demo", "--home", str(home), "--port", chosen, "--no-open", *options]


def environment() -> dict[str, str]:
    return {**{k: v for k, v in os.environ.items() if not k.startswith("PICKTUNE_")}, "HF_HUB_OFFLINE": "1"}


def run(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env=environment(), capture_output=True, text=True, check=False, timeout=500
    )


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "home"


@pytest.fixture(scope="module")
def looped(home: Path, tiny_model: Path) -> tuple[subprocess.CompletedProcess[str], int]:
    """The loop on the tiny model, whose babble the gate would never admit."""
    port = free_port()
    small = ["--train-slates", "12", "--fresh-slates", "8", "--max-tokens", "16", "--regardless"]
    command = demo(home, "--auto", "--model", str(tiny_model), *small, "--nightly", NIGHT, port=port)
    return run(command, home.parent), port


def test_the_loop_ends_with_one_line_of_figures(
    looped: tuple[subprocess.CompletedProcess[str], int], home: Path
) -> None:
    done, port = looped
    assert done.returncode == 0, done.stdout + done.stderr
    *said, last = done.stdout.strip().splitlines()
    figures: dict[str, Any] = json.loads(last)
    assert figures["simulated"] is True
    assert figures["slates"] >= 8
    assert 0 <= figures["support_after"] <= 1
    assert figures["interval"][0] <= figures["support_after"] <= figures["interval"][1]
    assert figures["interval_before"][0] <= figures["support_before"] <= figures["interval_before"][1]
    assert 0 < figures["training_seconds"] < figures["seconds"]
    assert figures["home"] == str(home)
    shown = "\n".join(said)
    assert "simulated" in shown.lower()
    assert "Support rate" in shown
    assert figures["adapter"] in shown
    assert not listens(port)


def test_it_learns_from_training_tickets_and_is_tested_on_unseen_ones(
    looped: tuple[subprocess.CompletedProcess[str], int], home: Path
) -> None:
    figures = json.loads(looped[0].stdout.strip().splitlines()[-1])
    said = {
        split: {ticket.message for ticket in sample_tickets("en", split=split)}
        for split in ("training", "unseen")
    }
    reader = SQLiteLogReader(home / "picktune.db")
    try:
        decisions = list(reader.decisions())
        slates = {one.slate_id: reader.slate(one.slate_id) for one in decisions}
    finally:
        reader.close()
    assert {one.role for one in decisions} == {"model"}
    before = [one for one in decisions if one.model is None]
    after = [one for one in decisions if one.model is not None]
    assert len(before) == 12
    assert len(after) >= 8
    assert {one.model for one in after} == {figures["adapter"]}
    for decisions_of, split in ((before, "training"), (after, "unseen")):
        for one in decisions_of:
            assert slates[one.slate_id].turn.messages[-1].content in said[split]
    assert len({one.conversation_id for one in decisions}) == len(decisions)


def test_the_adapter_joined_in_the_open(
    looped: tuple[subprocess.CompletedProcess[str], int], home: Path
) -> None:
    assert looped[0].returncode == 0
    registry = Registry(home / "registry")
    (version,) = registry.versions()
    assert version.simulated
    assert registry.aliases().challenger == version.name
    assert registry.aliases().champion is None
    assert all(key.revoked_at is not None for key in KeyRing(home / "keys.json").all())


def test_a_second_loop_wants_a_home_of_its_own(
    looped: tuple[subprocess.CompletedProcess[str], int], home: Path
) -> None:
    assert looped[0].returncode == 0
    again = run(demo(home, "--auto"), home.parent)
    assert again.returncode == 1
    assert "holds an earlier demonstration" in again.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def test_however_it_ends_the_server_ends_too(tmp_path: Path, tiny_model: Path, how: signal.Signals) -> None:
    port = free_port()
    with subprocess.Popen(
        demo(tmp_path / "home", "--model", str(tiny_model), port=port),
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            said = []
            assert process.stdout is not None
            for line in process.stdout:
                said.append(line.strip())
                if "Ctrl-C" in line:
                    break
            link = next(line for line in said if line.startswith("http"))
            with httpx.Client(follow_redirects=True, trust_env=False) as browser:
                page = browser.get(link)
                listed = browser.get(f"http://127.0.0.1:{port}/picktune/workbench")
            assert page.status_code == listed.status_code == 200
            assert sum(str(ticket.title) in listed.text for ticket in sample_tickets()) > 10
            process.send_signal(how)
            assert process.wait(60) == (-signal.SIGKILL if how == signal.SIGKILL else 0)
        finally:
            process.kill()
    deadline = time.monotonic() + 30
    while listens(port) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not listens(port)


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run(demo(tmp_path / "home", "--auto", port=taken.getsockname()[1]), tmp_path)
    assert done.returncode == 1
    assert "the server has ended" in done.stderr
    assert "serve.log" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.model
def test_a_short_loop_on_the_real_model(tmp_path: Path, smollm2: Path) -> None:
    small = ["--train-slates", "8", "--fresh-slates", "4", "--max-tokens", "16", "--regardless"]
    done = run(demo(tmp_path / "home", "--auto", *small, "--nightly", NIGHT), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.strip().splitlines()[-1])
    assert figures["slates"] >= 4
    (version,) = Registry(tmp_path / "home" / "registry").versions()
    assert Path(version.base_model).name == smollm2.name
    assert "Traceback" not in (tmp_path / "home" / "serve.log").read_text("utf-8")
