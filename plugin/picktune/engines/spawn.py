"""A vLLM of our own: started with the right flags, watched, started again when it dies, and ended with us."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import httpx

from picktune.errors import EngineDown

logger = logging.getLogger("picktune")

PLUGIN = "picktune_vllm"
_MODULE = "vllm.entrypoints.openai.api_server"
# On Linux the kernel ends the server when we are killed; a signal handler of ours could not.
_LAUNCH = (
    "import ctypes, os, sys\n"
    "if sys.platform == 'linux': ctypes.CDLL(None).prctl(1, 15)\n"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)
_LONGEST_PAUSE = 60.0
_STEADY = 300.0  # seconds after which an end is no longer the last one's repetition
_PATIENCE = 20.0  # seconds to end by itself
_LOG_LIMIT = 50_000_000


class VLLMCommand(NamedTuple):
    """How vLLM is started: its arguments, and what is added to the environment."""

    arguments: tuple[str, ...]
    environment: dict[str, str]


def vllm_command(
    python: str,
    model: str,
    *,
    port: int,
    key: str,
    max_rank: int,
    max_loras: int,
    options: Sequence[str] = (),
    plugin: bool = True,
    environ: Mapping[str, str] | None = None,
) -> VLLMCommand:
    """The flags that Picktune needs: loopback only, a key, adapters that are loaded while it runs.

    The key travels in the environment, as anyone on the machine can list the arguments. Resolvers of
    adapters stay off: they follow any path that a request names. ``plugin`` loads our ``vllm_plugin``,
    which keeps the arms apart on CPUs, if it is installed there; what VLLM_PLUGINS names is loaded as well.
    """
    environ = os.environ if environ is None else environ
    plugins = [name for name in environ.get("VLLM_PLUGINS", "").split(",") if name not in ("", PLUGIN)]
    environment = {
        "VLLM_API_KEY": key,
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_SERVER_DEV_MODE": "0",
        "VLLM_PLUGINS": ",".join([*plugins, *([PLUGIN] if plugin else [])]),
        "VLLM_CPU_KVCACHE_SPACE": environ.get("VLLM_CPU_KVCACHE_SPACE", "1"),
        "VLLM_CPU_NUM_OF_RESERVED_CPU": environ.get("VLLM_CPU_NUM_OF_RESERVED_CPU", "0"),
    }
    if preloads := _preloads(python):
        environment["LD_PRELOAD"] = ":".join([*preloads, *filter(None, [environ.get("LD_PRELOAD")])])
    if Path(model).is_dir():
        environment["HF_HUB_OFFLINE"] = "1"
    arguments = (
        *(python, "-c", _LAUNCH, "-m", _MODULE, "--model", model),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--enable-lora", "--max-loras", str(max_loras), "--max-lora-rank", str(max_rank)),
        *("--enable-prefix-caching", *options),
    )
    return VLLMCommand(arguments, environment)


class SpawnedVLLM:
    """One vLLM process, kept alive by a thread between ``start`` and ``stop``.

    ``log`` is where it writes. It is started again when it ends, and when it answered once and then not for
    ``hung`` seconds, after pauses that grow to a minute. ``told`` hears, in words, how it is coming along.
    """

    def __init__(
        self,
        make: Callable[[int, str], VLLMCommand],
        log: Path,
        *,
        told: Callable[[str], None] = logger.info,
        hung: float = 60.0,
        pause: float = 1.0,
    ) -> None:
        self.port = _free_port()
        self.key = secrets.token_urlsafe(32)
        self.log = log
        self.starts = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._command = make(self.port, self.key)
        self._told = told
        self._hung = hung
        self._first_pause = pause
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it listens, if it does."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Begin to start it, and return at once; raises ``EngineDown`` if its Python cannot run vLLM."""
        python = self._command.arguments[0]
        check = "import importlib.util, sys; sys.exit(importlib.util.find_spec('vllm') is None)"
        try:
            found = subprocess.run([python, "-c", check], capture_output=True, timeout=60)  # noqa: S603
            why = "it has no vllm" if found.returncode else None
        except (OSError, subprocess.TimeoutExpired) as error:
            why = str(error)
        if why:
            raise EngineDown(
                f"{python} cannot run vLLM ({why}); install it there (scripts/vllm install makes "
                ".venv-vllm), and name its Python with --vllm-python"
            )
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._keep, name="vllm", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it, and wait until it has ended."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_PATIENCE + 15)

    def _keep(self) -> None:
        pause = self._first_pause
        try:
            while not self._stopping.is_set():
                begin = time.monotonic()
                why = self._once()
                if self._stopping.is_set():
                    return
                pause = self._first_pause if time.monotonic() - begin > _STEADY else pause
                self._told(
                    f"vLLM {why} ({self._last_line() or 'it said nothing'}); starting it again in "
                    f"{pause:g} s; its log: {self.log}"
                )
                self._stopping.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
        except Exception:
            logger.exception("vLLM is no longer watched")
        finally:
            self._end()

    def _once(self) -> str:
        """Run it until it ends or hangs, or until we stop; what became of it."""
        self._end()
        self.starts += 1
        environment = {**os.environ, **self._command.environment}
        with contextlib.suppress(FileNotFoundError):
            if self.log.stat().st_size > _LOG_LIMIT:
                self.log.replace(self.log.with_suffix(".old.log"))
        try:
            with self.log.open("ab") as output:
                self.process = subprocess.Popen(  # noqa: S603 - the operator's own command
                    self._command.arguments,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                )
        except OSError as error:
            return f"could not be started: {error}"
        self._told(f"vLLM is starting at {self.url}; its log: {self.log}")
        begin = said = time.monotonic()
        answered: float | None = None
        with httpx.Client(trust_env=False, timeout=5.0) as client:
            while not self._stopping.wait(0.5):
                code = self.process.poll()
                now = time.monotonic()
                if code is not None:
                    return f"ended with code {code}"
                if (answered is None or now - answered > 5.0) and self._healthy(client):
                    if answered is None:
                        self._told(f"vLLM answers after {now - begin:.0f} s")
                    answered = time.monotonic()
                elif answered is None and now - said >= 10.0:
                    said = now
                    self._told(f"vLLM is starting ({now - begin:.0f} s): {self._last_line()}")
                elif answered is not None and now - answered > self._hung:
                    return f"has not answered for {self._hung:.0f} s"
        return "was stopped"

    def _healthy(self, client: httpx.Client) -> bool:
        try:
            return client.get(f"{self.url}/health").status_code == 200
        except httpx.HTTPError:
            return False

    def _last_line(self) -> str:
        with contextlib.suppress(OSError), self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - 4096))
            lines = file.read().decode("utf-8", "replace").splitlines()
            return next((line.strip()[-160:] for line in reversed(lines) if line.strip()), "")
        return ""

    def _end(self) -> None:
        """End the process and what it started: its engine outlives a server that is killed."""
        if self.process is None:
            return
        for sign, patience in ((signal.SIGTERM, _PATIENCE), (signal.SIGKILL, 10.0)):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience)
                break
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process = None


def default_python() -> str:
    """The Python that runs vLLM if none is named: that of ``.venv-vllm`` here, or our own."""
    beside = Path(".venv-vllm", "bin", "python")
    return str(beside.absolute()) if beside.exists() else sys.executable


def _preloads(python: str) -> list[str]:
    """Faster memory and threads for the CPU build, where ``scripts/vllm install`` put the latter."""
    openmp = Path(python).parent.parent / "lib" / "libiomp5.so"
    if sys.platform != "linux" or not openmp.exists():
        return []
    return [*map(str, sorted(Path("/usr/lib").glob("*/libtcmalloc_minimal.so.4"))[:1]), str(openmp)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
