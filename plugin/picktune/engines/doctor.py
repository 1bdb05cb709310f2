"""Whether a vLLM server is what Picktune needs, found out without loading anything into it."""

from __future__ import annotations

import ipaddress
import re
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
import msgspec

from picktune.engines.answers import Model, Models, reason
from picktune.errors import EngineError
from picktune.records import Record

Level = Literal["ok", "warning", "fault"]

# The minor versions that the tests have run against.
KNOWN = ("0.32",)
_TOO_HIGH = 1_000_000
_LIMIT = re.compile(r"max_lora_rank (\d+)")
_SLOTS = re.compile(r'vllm:lora_requests_info\{[^}]*max_lora="(\d+)"')
_LOAD = "/v1/load_lora_adapter"
_RUNTIME = "start it with VLLM_ALLOW_RUNTIME_LORA_UPDATING=1, as picktune serve --spawn-vllm does"


class Finding(Record, frozen=True, kw_only=True):
    """One thing that was looked at: how it is, and if it is not well, what to change."""

    check: str
    level: Level
    says: str
    mend: str | None = None


class Diagnosis(Record, frozen=True, kw_only=True):
    """Everything that was found at one server."""

    url: str
    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing is at fault; warnings are none."""
        return all(one.level != "fault" for one in self.findings)


def diagnose(
    url: str, *, key: str | None, ranks: Sequence[int] = (), bases: Sequence[str] = (), client: httpx.Client
) -> Diagnosis:
    """Look at the server at ``url``, which needs to hold adapters of those ``ranks`` for those ``bases``.

    Nothing is loaded, and no request makes it think; every error becomes a finding.
    """
    url = url.rstrip("/")
    return Diagnosis(url=url, findings=tuple(_findings(_Server(url, key, client), ranks, bases)))


class _Server:
    def __init__(self, url: str, key: str | None, client: httpx.Client) -> None:
        self.url = url
        self.key = key
        self._client = client

    def ask(self, method: str, path: str, body: Any = None, *, key: bool = True) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key and key else {}
        return self._client.request(method, self.url + path, json=body, headers=headers)


def _findings(server: _Server, ranks: Sequence[int], bases: Sequence[str]) -> Iterator[Finding]:
    try:
        health = server.ask("GET", "/health")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        yield _fault(
            "reachable",
            f"nothing answers ({type(error).__name__}: {error})",
            "start it (scripts/vllm serve, or picktune serve --spawn-vllm MODEL), or mend 'vllm_url' or "
            "'vllm.urls'",
        )
        return
    if health.status_code != 200:
        yield _fault(
            "reachable", f"/health answers {health.status_code}", "look into its log, and restart it"
        )
        return
    yield _ok("reachable", "it answers and says that it is healthy")
    looks: dict[str, Callable[[], Iterator[Finding]]] = {
        "version": lambda: _version(server),
        "key": lambda: _key(server),
        "private": lambda: _outside(server),
        "model": lambda: _model(server, bases),
        "adapters": lambda: _adapters(server, ranks),
        "slots": lambda: _slots(server),
    }
    for name, look in looks.items():
        try:
            found = list(look())
            yield from found
            if name == "key" and found[0].level == "fault":
                return  # everything else would be refused as well
        except (httpx.HTTPError, EngineError) as error:
            yield _fault(
                name, f"could not be looked at ({type(error).__name__}: {error})", "look into its log"
            )


def _version(server: _Server) -> Iterator[Finding]:
    try:
        version = str(server.ask("GET", "/version").json()["version"])
    except (ValueError, KeyError, TypeError):
        yield _fault("version", "it does not say that it is vLLM", "name a vLLM server in 'vllm_url'")
        return
    if version.startswith(tuple(f"{one}." for one in KNOWN)):
        yield _ok("version", version)
    else:
        yield _warning(
            "version",
            f"{version}; tested was {', '.join(KNOWN)}",
            "run scripts/test tests/vllm against it before people rely on it",
        )


def _key(server: _Server) -> Iterator[Finding]:
    with_key = server.ask("GET", "/v1/models").status_code
    if with_key in (401, 403):
        what = "the key is refused" if server.key else "it wants a key"
        yield _fault("key", what, "set 'vllm_key' to the key that it was started with (--api-key)")
    elif server.ask("GET", "/v1/models", key=False).status_code in (401, 403):
        yield _ok("key", "it answers with our key only")
    else:
        yield _warning(
            "key",
            "it answers anyone who reaches it",
            "start it with --api-key, or VLLM_API_KEY, and set 'vllm_key'",
        )


def _outside(server: _Server) -> Iterator[Finding]:
    """Its key guards ``/v1`` only: whoever reaches the port can load adapters through ``/adapters``."""
    parts = urlsplit(server.url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    addresses = _addresses(host)
    if all(one.is_loopback for one in addresses):
        others = [one for one in _addresses(socket.gethostname()) if not one.is_loopback]
        reached = next((one for one in others if _connects(str(one), port)), None)
        if reached is None:
            yield _ok("private", "it listens where only this machine reaches it")
        else:
            yield _fault(
                "private",
                f"it can be reached at {reached}, and who reaches it can load adapters: its key does not "
                "guard the route /adapters",
                "start it with --host 127.0.0.1",
            )
    elif all(one.is_private for one in addresses):
        yield _warning(
            "private",
            f"{host} is on a private network; whoever reaches it can load adapters, for its key does not "
            "guard the route /adapters",
            f"let nobody but Picktune reach {host}:{port}",
        )
    else:
        yield _fault(
            "private",
            f"{host} is a public address; whoever reaches it can load adapters, for its key does not guard "
            "the route /adapters",
            "move it to a private network",
        )
    if server.ask("GET", "/server_info").status_code == 200:
        yield _fault(
            "development",
            "its routes for developers are open",
            "start it without VLLM_SERVER_DEV_MODE",
        )


def _model(server: _Server, bases: Sequence[str]) -> Iterator[Finding]:
    base, adapters = _listed(server)
    name = base.root or base.id
    yield _ok("model", f"{name}, {base.max_model_len or 'unknown'} tokens; adapters: {len(adapters)}")
    others = sorted({one for one in bases if one not in (name, base.id, Path(name).name)})
    if others:
        yield _warning(
            "base",
            f"adapters in the registry were trained on {', '.join(others)}",
            f"serve that model, or train on {name}; the others are refused",
        )


def _listed(server: _Server) -> tuple[Model, list[Model]]:
    response = server.ask("GET", "/v1/models")
    try:
        listed = msgspec.json.decode(response.content, type=Models).data
        base = next(one for one in listed if one.parent is None)
    except (msgspec.MsgspecError, UnicodeDecodeError, StopIteration):
        raise EngineError(f"/v1/models answers {response.status_code} ({reason(response)})") from None
    return base, [one for one in listed if one.parent is not None]


def _adapters(server: _Server, ranks: Sequence[int]) -> Iterator[Finding]:
    """Runtime loading, LoRA, the disk and the highest rank, told by how it refuses an impossible adapter."""
    with tempfile.TemporaryDirectory(prefix="picktune-doctor-") as folder:
        Path(folder).chmod(0o755)
        config = {"peft_type": "LORA", "r": _TOO_HIGH, "lora_alpha": 1, "target_modules": ["q_proj"]}
        Path(folder, "adapter_config.json").write_bytes(msgspec.json.encode(config))
        answer = server.ask("POST", _LOAD, {"lora_name": "picktune-doctor", "lora_path": folder})
    says = reason(answer)
    if answer.status_code == 404 and "error" not in answer.text:
        yield _fault("loading", "it loads no adapters while it runs", _RUNTIME)
        return
    yield _ok("loading", "it loads adapters while it runs")
    limit = _LIMIT.search(says)
    if limit is None and "No adapter found" in says:
        yield _fault(
            "disk",
            f"it does not see this machine's files ({folder})",
            "mount the registry under the same path there, or run Picktune where vLLM runs",
        )
    elif limit is None:
        yield _fault("lora", f"it takes no LoRA adapters ({says})", "start it with --enable-lora")
    else:
        most, needed = int(limit[1]), max(ranks, default=0)
        yield _ok("lora", "it takes LoRA adapters, and sees this machine's files")
        if needed > most:
            yield _fault(
                "rank",
                f"ranks up to {most}, and an adapter in the registry has {needed}",
                f"start it with --max-lora-rank {needed}",
            )
        else:
            yield _ok("rank", f"up to {most}")


def _slots(server: _Server) -> Iterator[Finding]:
    found = _SLOTS.search(server.ask("GET", "/metrics").text)
    if found is None:
        yield _warning(
            "slots",
            "how many adapters fit at once is unknown until one has answered",
            "start it with --max-loras 4 or more: champion, challenger, and those that are on their way out",
        )
    elif int(found[1]) < 3:
        yield _warning(
            "slots",
            f"{found[1]} adapters fit at once; with a champion and a challenger, a third one must wait",
            "start it with --max-loras 4 or more",
        )
    else:
        yield _ok("slots", f"{found[1]} adapters fit at once")


def _addresses(host: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        found = {str(info[4][0]).partition("%")[0] for info in socket.getaddrinfo(host, None)}
    except OSError:
        return []
    return sorted((ipaddress.ip_address(one) for one in found), key=str)


def _connects(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False


def _ok(check: str, says: str) -> Finding:
    return Finding(check=check, level="ok", says=says)


def _warning(check: str, says: str, mend: str) -> Finding:
    return Finding(check=check, level="warning", says=says, mend=mend)


def _fault(check: str, says: str, mend: str) -> Finding:
    return Finding(check=check, level="fault", says=says, mend=mend)
