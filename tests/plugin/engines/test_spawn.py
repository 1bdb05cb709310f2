"""The watching of a vLLM of our own, with a stand-in that starts at once; the real one is in tests/vllm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from picktune.engines.spawn import SpawnedVLLM, VLLMCommand, vllm_command
from picktune.errors import EngineDown

SERVER = """
import http.server, os, sys
print("key", os.environ["VLLM_API_KEY"][:0] + "is there", sys.argv, flush=True)
if os.path.exists("die"):
    sys.exit("out of memory")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(500 if os.path.exists("hang") else 200)
        self.end_headers()
    def log_message(self, *args): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that is called vllm, and a folder to steer it by."""
    package = tmp_path / "site" / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    for folder in (package, package.parent, package.parent.parent):
        (folder / "__init__.py").touch()
    (package / "api_server.py").write_text(SERVER, "utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(port: int, key: str) -> VLLMCommand:
    return vllm_command(
        sys.executable,
        "some/model",
        port=port,
        key=key,
        max_rank=8,
        max_loras=4,
        options=("--dtype", "float32"),
    )


@pytest.fixture
def spawned(stand_in: Path) -> Iterator[SpawnedVLLM]:
    said: list[str] = []
    one = SpawnedVLLM(make, stand_in / "vllm.log", told=said.append, hung=1.0, pause=0.1)
    one.said = said  # type: ignore[attr-defined]
    yield one
    one.stop()


def until(true: Callable[[], object], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def answers(one: SpawnedVLLM) -> bool:
    try:
        return httpx.get(f"{one.url}/health", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_it_is_private_and_its_key_is_in_no_argument() -> None:
    command = make(1234, "secret")
    assert "secret" not in " ".join(command.arguments)
    assert command.environment["VLLM_API_KEY"] == "secret"
    said = " ".join(command.arguments)
    for flag in ("--host 127.0.0.1", "--port 1234", "--enable-lora", "--max-loras 4", "--max-lora-rank 8"):
        assert flag in said
    assert "VLLM_LORA_RESOLVER_CACHE_DIR" not in command.environment


def test_our_plugin_joins_those_of_the_operator_or_is_left_out() -> None:
    def plugins(operators: str, plugin: bool) -> str:
        command = vllm_command(
            "python", "m", port=1, key="k", max_rank=8, max_loras=4, plugin=plugin,
            environ={"VLLM_PLUGINS": operators},
        )  # fmt: skip
        return command.environment["VLLM_PLUGINS"]

    assert plugins("", True) == "picktune_vllm"
    assert plugins("theirs", True) == "theirs,picktune_vllm"
    assert plugins("theirs,picktune_vllm", False) == "theirs"
    assert plugins("", False) == ""


@pytest.mark.skipif(sys.platform != "linux", reason="preloading is Linux's")
def test_the_threads_that_its_environment_brings_are_preloaded(tmp_path: Path) -> None:
    def preloads(environ: dict[str, str]) -> str | None:
        python = str(tmp_path / "bin" / "python")
        made = vllm_command(python, "m", port=1, key="k", max_rank=8, max_loras=4, environ=environ)
        return made.environment.get("LD_PRELOAD")

    assert preloads({"LD_PRELOAD": "/theirs.so"}) is None
    openmp = tmp_path / "lib" / "libiomp5.so"
    openmp.parent.mkdir()
    openmp.touch()
    assert str(openmp) in str(preloads({})).split(":")
    assert str(preloads({"LD_PRELOAD": "/theirs.so"})).split(":")[-1] == "/theirs.so"


def test_it_is_started_again_when_it_dies(spawned: SpawnedVLLM, stand_in: Path) -> None:
    spawned.start()
    until(lambda: answers(spawned))
    assert spawned.process is not None
    os.kill(spawned.process.pid, signal.SIGKILL)
    until(lambda: spawned.starts == 2 and answers(spawned))
    assert "ended with code -9" in " ".join(spawned.said)  # type: ignore[attr-defined]
    spawned.stop()
    assert not answers(spawned)
    assert "is there" in (stand_in / "vllm.log").read_text("utf-8")
    assert spawned.key not in (stand_in / "vllm.log").read_text("utf-8")


def test_it_is_started_again_when_it_hangs(spawned: SpawnedVLLM, stand_in: Path) -> None:
    spawned.start()
    until(lambda: answers(spawned))
    until(lambda: "answers after" in " ".join(spawned.said))  # type: ignore[attr-defined]
    (stand_in / "hang").touch()
    until(lambda: "has not answered" in " ".join(spawned.said))  # type: ignore[attr-defined]
    (stand_in / "hang").unlink()
    until(lambda: answers(spawned))


def test_one_that_cannot_start_is_tried_ever_more_rarely_and_says_why(
    spawned: SpawnedVLLM, stand_in: Path
) -> None:
    (stand_in / "die").touch()
    spawned.start()
    until(lambda: spawned.starts >= 3)
    said = " ".join(spawned.said)  # type: ignore[attr-defined]
    assert "ended with code 1 (out of memory)" in said
    assert "again in 0.1 s" in said
    assert "again in 0.2 s" in said


def test_a_python_without_vllm_is_refused_at_once(tmp_path: Path) -> None:
    def no_vllm(port: int, key: str) -> VLLMCommand:
        return vllm_command(str(tmp_path / "none"), "m", port=port, key=key, max_rank=8, max_loras=4)

    with pytest.raises(EngineDown, match="scripts/vllm install"):
        SpawnedVLLM(no_vllm, tmp_path / "log").start()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux's kernel tells children that we died")
def test_it_ends_when_we_are_killed(stand_in: Path) -> None:
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from picktune.engines.spawn import SpawnedVLLM, vllm_command\n"
        "one = SpawnedVLLM(lambda port, key: vllm_command(sys.executable, 'm', port=port, key=key,"
        " max_rank=8, max_loras=4), Path('vllm.log'))\n"
        "one.start()\n"
        "print(one.url, flush=True)\n"
        "time.sleep(60)\n"
    )
    ours = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert ours.stdout is not None
    with ours.stdout:
        url = ours.stdout.readline().strip()

    def up() -> bool:
        try:
            return httpx.get(f"{url}/health", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    until(up)
    ours.kill()
    ours.wait()
    until(lambda: not up())
