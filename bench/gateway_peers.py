"""The servers that are compared, in processes of their own: the upstream, Picktune, LiteLLM and vLLM."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from picktune.demo.processes import free_port
from picktune.keys import KeyRing
from picktune.records import utc_now

ROOT = Path(__file__).resolve().parent.parent
LITELLM_VENV = ROOT / ".venv-litellm"
LITELLM = "litellm[proxy]"
MASTER_KEY = "sk-bench"
UPSTREAM_MODEL = "bench"

# What LiteLLM's page on production asks for, less what needs a database, Redis or Slack; it logs nothing.
_LITELLM_CONFIG = """\
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_key: none
      api_base: {url}/v1
general_settings:
  master_key: {key}
litellm_settings:
  request_timeout: 600
  set_verbose: false
  json_logs: true
  telemetry: false
"""
_LITELLM_ENVIRONMENT = {
    "LITELLM_LOG": "ERROR",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # it would be fetched from the network
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}


class Peer:
    """One server: where it listens, what opens it, and the processes that it is."""

    def __init__(
        self, ports: list[int], path: str, key: str, processes: list[subprocess.Popen[bytes]]
    ) -> None:
        self.ports = ports
        self.path = path
        self.key = key
        self.processes = processes

    @property
    def rss(self) -> int:
        """Bytes of memory that the processes hold, with those that they started."""
        return sum(_rss(pid) for pid in self._members())

    @property
    def cpu(self) -> float:
        """Seconds of processor time that they have spent; other work on the machine hardly changes it."""
        return sum(_cpu(pid) for pid in self._members())

    def _members(self) -> list[int]:
        # Each leads a group of its own.
        groups = {process.pid for process in self.processes}
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.getpgid(int(folder.name)) in groups:
                    found.append(int(folder.name))
        return found


@contextmanager
def upstream() -> Iterator[Peer]:
    """The server that answers at once."""
    script = Path(__file__).with_name("gateway_upstream.py")
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, start_new_session=True)
    with _ended(process):
        port = int(process.stdout.readline())
        yield Peer([port], "/v1/chat/completions", "none", [process])


@contextmanager
def picktune(home: Path, model_url: str, *, processes: int = 1) -> Iterator[Peer]:
    """``picktune serve`` with a durable log in ``home``; several processes share that log."""
    home.mkdir(parents=True, exist_ok=True)
    config = home / "picktune.toml"
    # The limits stay on and count, and are beyond what the load asks for.
    limits = "[rates]\nkey_slates = 10000000\nkey_picks = 10000000\n[vllm]\noutstanding = 256\n"
    config.write_text(f'engine = "vllm"\nvllm_url = "{model_url}"\n{limits}')
    ring = KeyRing(home / "keys.json")
    key, _ = ring.create(f"bench-{len(ring.all())}", ["slate", "pick", "read", "admin"], now=utc_now())
    with contextlib.ExitStack() as stack:
        ports, started = [], []
        for number in range(processes):
            port = free_port()
            command = [
                sys.executable,
                "-c",
                "from picktune.cli import main; main()",
                "serve",
                "--home",
                str(home),
            ]
            command += ["--config", str(config), "--port", str(port), "--log-level", "warning"]
            log = stack.enter_context((home / f"serve-{number}.log").open("wb"))
            process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=home, env=_environment(), start_new_session=True
            )
            stack.enter_context(_ended(process))
            ports.append(port)
            started.append(process)
        for number, (port, process) in enumerate(zip(ports, started, strict=True)):
            wait_until_up(f"http://127.0.0.1:{port}/readyz", process, home / f"serve-{number}.log")
        yield Peer(ports, "/picktune/v1/chat/completions", key, started)


@contextmanager
def litellm(folder: Path, model_url: str, *, workers: int) -> Iterator[Peer]:
    """LiteLLM's proxy as its documentation has it for production: uvicorn, and no logging at all."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.yaml"
    config.write_text(_LITELLM_CONFIG.format(model=UPSTREAM_MODEL, url=model_url, key=MASTER_KEY))
    port = free_port()
    command = [str(LITELLM_VENV / "bin/litellm"), "--config", str(config), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--num_workers", str(workers)]
    with (folder / "litellm.log").open("wb") as log:
        environment = {**_environment(), **_LITELLM_ENVIRONMENT}
        environment.pop("PYTHONPATH", None)
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True
        )
        with _ended(process):
            wait_until_up(f"http://127.0.0.1:{port}/health/liveliness", process, folder / "litellm.log")
            yield Peer([port], "/v1/chat/completions", MASTER_KEY, [process])


@contextmanager
def vllm(folder: Path) -> Iterator[Peer]:
    """The real vLLM with the sample model, on all cores."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "vllm.log").open("wb") as log:
        command = [str(ROOT / "scripts/vllm"), "serve", "sample", "--port", str(port)]
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=_environment(), start_new_session=True
        )
        with _ended(process):
            wait_until_up(f"http://127.0.0.1:{port}/health", process, folder / "vllm.log", seconds=240)
            yield Peer([port], "/v1/chat/completions", "none", [process])


def install_litellm() -> str:
    """Make LiteLLM's environment if it is missing, for its pins are not ours, and say which version it is."""
    python = LITELLM_VENV / "bin/python"
    if not (LITELLM_VENV / "bin/litellm").exists():
        shutil.rmtree(LITELLM_VENV, ignore_errors=True)
        print(f"installing {LITELLM} into {LITELLM_VENV.name}, once (about a minute)", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(LITELLM_VENV)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-qq", LITELLM], check=True)
    said = subprocess.run(
        [str(python), "-c", "from importlib.metadata import version; print(version('litellm'))"],
        check=True,
        capture_output=True,
        text=True,
    )
    return said.stdout.strip()


def wait_until_up(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 300.0) -> None:
    """Wait until the address answers with a success; raises ``RuntimeError`` with the end of the log."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(URLError, OSError), urlopen(Request(url), timeout=5) as answer:  # noqa: S310
            if answer.status == 200:
                return
        time.sleep(0.2)
    raise RuntimeError(f"{process.args[0]} did not come up; the end of {log}:\n{log.read_text()[-3000:]}")


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End the process afterwards, and those that it started: it leads a group of its own."""
    try:
        yield
    finally:
        _signal(process, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _signal(process, signal.SIGKILL)
            process.wait()
        if process.stdout:
            process.stdout.close()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PICKTUNE_")}


def _cpu(pid: int) -> float:
    with contextlib.suppress(OSError):
        user, system = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _rss(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return 1024 * int(line.split()[1])
    return 0
