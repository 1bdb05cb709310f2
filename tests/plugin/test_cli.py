"""The command line: every command does its one thing, and says in one line what went wrong."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from picktune.cli import main
from picktune.commands.supporttable import drawing
from picktune.keys import KeyRing
from picktune.log import SQLiteLog, SQLiteLogReader
from picktune.records import Candidate, Exposure, Message, Pick, Slate, Turn, new_id
from picktune_adapters.registry import Registry

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
Run = Callable[..., Result]


def slate_of(number: int, tuned: str | None) -> Slate:
    turn = Turn(
        id=new_id(),
        conversation_id=f"c{number}",
        messages=(Message(role="user", content="Where is my order?"),),
        tags=("order",),
        created_at=NOW,
    )
    name, kind = ("base-b", "base") if tuned is None else ("challenger", "challenger")
    arms = [("base", "base", None), (name, kind, tuned)] * 2
    candidates = tuple(
        Candidate(
            id=new_id(),
            arm=arm,
            kind=kind,  # type: ignore[arg-type]
            model=model,
            text=f"Reply {number} {place}",
            position=place,
            propensity=0.5,
            tokens=3,
            latency=0.1,
        )
        for place, (arm, kind, model) in enumerate(arms)
    )
    return Slate(
        id=new_id(), turn=turn, candidates=candidates, policy="2+2", seed=1, complete=True, created_at=NOW
    )


@pytest.fixture
def picked(home: Path) -> Path:
    """A log with 20 picks for the adapter ``v1``, 4 against it, 2 of the base, and one edited reply."""

    async def write() -> None:
        async with SQLiteLog.open(home / "picktune.db") as log:
            for number in range(26):
                slate = slate_of(number, "v1" if number < 24 else None)
                await log.add_slate(slate)
                await log.add_exposure(
                    Exposure(
                        slate_id=slate.id,
                        viewer="mei",
                        order=tuple(one.id for one in slate.candidates),
                        shown_at=NOW,
                    )
                )
                await log.record(
                    Pick(
                        key="k",
                        slate_id=slate.id,
                        verdict="chosen",
                        candidate_id=slate.candidates[1 if number < 20 else 0].id,
                        edited_text="Dear customer" if number == 0 else None,
                        annotator="mei",
                        role="model" if number >= 24 else "agent",
                        decided_at=NOW,
                    )
                )

    asyncio.run(write())
    return home


# The group


def test_help_names_every_command_without_importing_what_is_slow() -> None:
    code = (
        "import sys\nfrom picktune.cli import main\n"
        "try:\n    main(['-h'])\nexcept SystemExit: pass\n"
        "assert not {'torch', 'transformers', 'scipy', 'picktune_retrain'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name in ("serve", "keys", "adapters", "promote", "rollback", "support", "import", "export"):
        assert re.search(rf"^  {name} ", done.stdout, re.MULTILINE), done.stdout
    for name in ("link", "demo", "nightly"):
        assert re.search(rf"^  {name} ", done.stdout, re.MULTILINE), done.stdout


def test_importing_picktune_takes_no_time() -> None:
    code = "import time; a = time.perf_counter(); import picktune; print(time.perf_counter() - a)"
    taken = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(taken) < 0.3


@pytest.mark.parametrize("arguments", [["-h"], ["--help"], ["serve", "-h"], ["keys", "create", "-h"]])
def test_help(run: Run, arguments: list[str]) -> None:
    assert run(*arguments).output.startswith("Usage: ")


def test_version(run: Run) -> None:
    assert run("--version").output.startswith("picktune, version ")


def test_wrong_usage_ends_with_2(run: Run) -> None:
    run("dance", code=2)
    run("serve", "--port", "99999", code=2)
    run("promote", "v1", code=2)
    run("import", code=2)


def test_an_error_is_one_line_in_red(run: Run) -> None:
    result = CliRunner().invoke(main, ["support"], color=True)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("\x1b[31mError: there is no log at")
    assert result.stderr.count("\n") == 1


def test_a_wrong_setting_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICKTUNE_PROT", "1")
    assert "did you mean 'port'" in run("adapters", code=1).stderr


def test_a_config_file_may_be_named(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "other.toml"
    config.write_text(f'home = "{tmp_path / "elsewhere"}"\n', "utf-8")
    run("keys", "create", "--name", "shop", "--config", str(config))
    # The environment names a home too, and wins over the file; --home wins over both.
    assert (tmp_path / "home" / "keys.json").exists()
    run("keys", "create", "--name", "shop", "--home", str(tmp_path / "third"))
    assert (tmp_path / "third" / "keys.json").exists()


# Keys and links


def test_keys(run: Run, home: Path) -> None:
    assert "No keys yet" in run("keys", "list").output
    text = run("keys", "create", "--name", "shop", "--scope", "slate", "--scope", "pick").stdout.strip()
    found = KeyRing(home / "keys.json").find(text)
    assert found is not None
    assert (found.name, found.scopes) == ("shop", ("pick", "slate"))
    assert "shop" in run("keys", "create", "--name", "shop", code=1).stderr
    listed = run("keys", "list").output
    assert "shop" in listed
    assert text not in listed
    assert run("keys", "revoke", "--name", "shop").output == "shop is revoked.\n"
    assert KeyRing(home / "keys.json").find(text) is None
    run("keys", "revoke", "--name", "shop", code=1)
    rows = json.loads(run("keys", "list", "--json").output)
    assert [(row["name"], row["revoked_at"] is None) for row in rows] == [("shop", False)]
    assert set(rows[0]) == {"name", "scopes", "created_at", "revoked_at"}


def test_a_link(run: Run, home: Path) -> None:
    from picktune.auth import Auth
    from starlette.responses import Response

    def viewer(output: str) -> Any:
        return Auth(home).sign_in(output.strip().partition("token=")[2], Response())

    plain = run("link", "mei", "--role", "expert").output
    assert plain.startswith("http://127.0.0.1:8321/picktune/enter?token=")
    assert (viewer(plain).name, viewer(plain).role, viewer(plain).may("admin")) == ("mei", "expert", False)
    admin = run("link", "--admin", "--url", "https://desk.example/").output
    assert admin.startswith("https://desk.example/picktune/enter?token=")
    assert (viewer(admin).name, viewer(admin).may("admin")) == ("agent", True)
    run("link", "a\nb", code=1)


# Adapters


def test_adapters(run: Run, home: Path, tiny_adapter: Any) -> None:
    assert "No adapters yet" in run("adapters").output
    registry = Registry(home / "registry")
    for number in (1, 2):
        folder = tiny_adapter(f"v{number}", seed=number)
        registry.add(
            folder,
            name=f"v{number}",
            base_model="/models/tiny",
            run_id="r",
            dataset_id="d" * 64,
            picks=90,
            metrics={"accuracy": 0.62},
            simulated=number == 2,
            now=NOW,
        )
    registry.move("challenger", "v2", by="test", reason="admitted", now=NOW)
    table = run("adapters").output
    assert re.search(r"v2 .*challenger.*lora.*90 simulated.*62%", table)
    assert run("promote", "v2", "--reason", "people like it", "--by", "mei").output == (
        "The champion is now v2; before, it was the base.\n"
    )
    shown = json.loads(run("adapters", "--json").output)
    assert shown["aliases"] == {"champion": "v2", "challenger": None}
    assert [one["name"] for one in shown["versions"]] == ["v1", "v2"]
    assert ("mei", "people like it") in [(one.by, one.reason) for one in registry.history()]
    assert "already" in run("promote", "v2", "--reason", "again").output
    assert "the base; before, it was v2" in run("rollback", "--reason", "complaints").output
    assert "nothing to roll back" in run("rollback", "--reason", "more", code=1).stderr
    assert "registered: v1, v2" in run("promote", "v9", "--reason", "x", code=1).stderr
    (home / "registry" / "adapters" / "v1" / "version.json").write_bytes(b"{")
    assert "damaged" in run("adapters").stderr


# Support


def test_support(run: Run, picked: Path) -> None:
    output = run("support").output
    assert re.search(r"v1 .*83\.3%.*●.*20 of 24", output)
    assert "simulated" not in output
    both = run("support", "--role", "agent", "--role", "model", "--by", "tag").output
    assert "base against base (simulated)" in both
    assert re.search(r"order .*20 of 24", both)
    rows = json.loads(run("support", "--json").output)
    assert [(row["model"], row["wins"], row["n"]) for row in rows] == [("v1", 20, 24), (None, 0, 0)]
    assert "by position" in run("support", "--by", "position").output
    later = json.loads(run("support", "--json", "--since", "2027-01-01").output)
    assert [row["n"] for row in later] == [0]


def test_the_drawing_of_an_interval() -> None:
    assert drawing(0.75, 0.6, 0.9, 21) == "··········│·━━━●━━━··"
    assert drawing(None, 0.0, 1.0, 5) == "━━┃━━"
    assert drawing(1.0, 0.9, 1.0, 11) == "·····│···━●"


# Import


def test_import(run: Run, home: Path, tmp_path: Path) -> None:
    assert re.search(r"samples: \d+ new, 0 known already", run("import", "--samples", "--limit", "5").output)
    assert run("import", "--samples", "--limit", "5").output == "samples: 0 new, 5 known already\n"
    with SQLiteLogReader(home / "picktune.db") as reader:
        assert reader.count_conversations() == 5
    broken = tmp_path / "broken.jsonl"
    broken.write_bytes(b"\xff\n")
    run("import", str(broken), code=1)
    run("import", str(tmp_path / "nothing.jsonl"), code=2)
    run("import", "--format", "xml", str(broken), code=2)


# Serving


class Served:
    """A real ``picktune serve`` on a free port."""

    def __init__(self, home: Path, log: Path, *options: str) -> None:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PICKTUNE_")}
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    "from picktune.cli import main; main()",
                    *("serve", "--home", str(home), "--port", "0"),
                    *("--engine", "vllm", "--vllm-url", "http://127.0.0.1:9", *options),
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**environ, "PYTHONUNBUFFERED": "1"},
            )
        self.url = self._found(r"Picktune serves (\S+)")
        self.link = self._found(r"(http\S+/enter\?token=\S+)")

    def _found(self, pattern: str) -> str:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = re.search(pattern, self.log.read_text("utf-8"))
            if found:
                return found[1]
            assert self.process.poll() is None, self.log.read_text("utf-8")
            time.sleep(0.05)
        raise AssertionError(self.log.read_text("utf-8"))

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(sign)
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()


@pytest.fixture
def served(home: Path, tmp_path: Path) -> Iterator[Served]:
    server = Served(home, tmp_path / "serve.log", "--viewer", "mei", "--viewer-role", "expert")
    yield server
    server.stop()


def test_serve(served: Served, home: Path, run: Run) -> None:
    base = served.url.removesuffix("/picktune")
    port = int(base.rpartition(":")[2])
    with httpx.Client(base_url=base, follow_redirects=True, trust_env=False) as client:
        assert client.get("/healthz").json()["ok"] is True
        assert client.get("/readyz").status_code == 503
        assert client.get("/picktune/workbench").status_code == 401
        assert client.get(served.link).status_code == 200
        assert client.get("/picktune/workbench").status_code == 200
        assert client.get("/picktune/adapters").status_code == 200
        key = run("keys", "create", "--name", "late").stdout.strip()
        headers = {"Authorization": f"Bearer {key}"}
        assert client.get("/picktune/v1/support", headers=headers).json()["supports"][0]["n"] == 0
        large = client.post("/picktune/v1/slates", content=b"x" * 6_000_000, headers=headers)
        assert (large.status_code, large.json()["error"]["code"]) == (413, "payload_too_large")
        assert "server" not in client.get("/healthz").headers
        assert "close" not in client.get("/healthz").headers.get("connection", "")

    taken = run("serve", "--port", str(port), "--engine", "vllm", code=1)
    assert f"port {port}" in taken.stderr
    assert "--port" in taken.stderr
    assert (home / "secret").stat().st_mode & 0o777 == 0o600
    assert served.stop() in (0, -signal.SIGTERM)


def test_ctrl_c_ends_it_quietly(home: Path, tmp_path: Path) -> None:
    server = Served(home, tmp_path / "serve.log")
    assert server.stop(signal.SIGINT) == 0
    assert "Traceback" not in server.log.read_text("utf-8")


def test_other_machines_are_let_in_only_when_asked(run: Run) -> None:
    refused = run("serve", "--host", "::", "--port", "0", code=2)
    assert "--allow-remote" in refused.stderr
    unknown = run("serve", "--host", "no.such.host.invalid", "--allow-remote", "--engine", "vllm", code=1)
    assert "no.such.host.invalid" in unknown.stderr


def test_an_address_of_another_machine_cannot_be_bound(run: Run) -> None:
    result = run("serve", "--host", "192.0.2.1", "--allow-remote", "--engine", "vllm", code=1)
    assert "192.0.2.1" in result.stderr


def test_a_port_that_is_taken_is_said_before_a_model_is_loaded(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = run("serve", "--port", str(taken.getsockname()[1]), "--model", "/no/such/model", code=1)
    assert "cannot listen" in result.stderr
