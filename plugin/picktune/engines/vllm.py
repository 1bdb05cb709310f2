"""vLLM over HTTP: the base by its own name, adapters by theirs, ``n`` replies in one request."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec
from anyio import to_thread
from picktune_adapters import names
from picktune_adapters.check import MAX_RANK, check_adapter

from picktune.engines.base import Generation
from picktune.errors import AdapterCorrupt, AdapterNotFound, EngineBusy, EngineDown, EngineError
from picktune.records import Message, Sampling

# Seconds by phase. Reading is bounded by whoever draws the slate, which knows how long a person may wait.
TIMEOUT = httpx.Timeout(connect=2.0, write=10.0, pool=10.0, read=300.0)

T = TypeVar("T")


class _Model(msgspec.Struct):
    id: str
    root: str | None = None
    parent: str | None = None


class _Models(msgspec.Struct):
    data: list[_Model]


class _Said(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    index: int
    message: _Said
    finish_reason: str | None = None
    token_ids: list[int] | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]


class VLLMEngine:
    """An ``Engine`` on a vLLM server that was started with ``--enable-lora`` and runtime loading.

    ``url`` is scheme, host and port of a private address: vLLM's management routes must not be reachable from
    outside. A ``client`` that is handed in stays open on ``close``. Only adapters that were loaded here, or
    that the server lists, are ever named to it, for its resolver follows paths.
    """

    def __init__(self, url: str, *, key: str | None = None, client: httpx.AsyncClient | None = None) -> None:
        self.url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._given = client
        self._client = client
        self._base: _Model | None = None
        self._loaded: set[str] = set()

    @property
    def base_model(self) -> str:
        """The folder or id of the model that the server was started with; its address before ``start``."""
        return self.url if self._base is None else self._base.root or self._base.id

    async def start(self) -> None:
        """Reach the server and learn its base model and its adapters; raises ``EngineDown``."""
        if self._client is None:
            self._client = httpx.AsyncClient(transport=_transport(), timeout=TIMEOUT)
        models = await self._models()
        base = next((model for model in models if model.parent is None), None)
        if base is None:
            raise EngineDown(f"vLLM at {self.url} serves no model; look at its log")
        self._base = base

    async def generate(
        self,
        messages: Sequence[Message],
        *,
        model: str | None,
        n: int,
        sampling: Sampling,
        seed: int,
    ) -> list[Generation]:
        """Sample replies with one request; the server gives each of the ``n`` its own stream of the seed."""
        # vLLM refuses n > 1 at temperature 0, where all replies are the same.
        greedy = sampling.temperature == 0.0
        if self._base is None:
            raise EngineDown(f"vLLM at {self.url} has not been reached yet; try again in a moment")
        if model is not None and model not in self._loaded:
            raise AdapterNotFound(model, sorted(self._loaded))
        body: dict[str, Any] = {
            "model": self._base.id if model is None else model,
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "n": 1 if greedy else n,
            "seed": seed,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "return_token_ids": True,
        }
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        began = time.monotonic()
        answer = await self._request("POST", "/v1/chat/completions", body)
        latency = time.monotonic() - began
        if answer.status_code == 404 and model is not None:
            self._loaded.discard(model)
            raise AdapterNotFound(model, sorted(self._loaded))
        self._check(answer)
        choices = sorted(self._read(answer, _Completion).choices, key=lambda choice: choice.index)
        said = [
            Generation(
                text=choice.message.content or "",
                tokens=len(choice.token_ids or ()),
                latency=latency,
                finish_reason=choice.finish_reason or "stop",
            )
            for choice in choices
        ]
        return said * n if greedy else said

    async def load(self, name: str, folder: Path) -> None:
        """Load an adapter after checking it ourselves: vLLM takes NaN and lets it poison the base."""
        names.check_name(name)
        if name in self._loaded:
            return
        path = await to_thread.run_sync(self._sound, folder)
        body = {"lora_name": name, "lora_path": path}
        answer = await self._request("POST", "/v1/load_lora_adapter", body)
        if answer.status_code == 400 and "already been loaded" in answer.text:
            there = next((model for model in await self._models() if model.id == name), None)
            if there is None or there.root != path:
                raise AdapterCorrupt(
                    f"vLLM at {self.url} serves other files under the name {name!r}; names are never used "
                    "twice: restart vLLM",
                    field="name",
                )
        elif answer.status_code in (403, 405) or (answer.status_code == 404 and not _says(answer)):
            raise EngineError(
                f"vLLM at {self.url} does not load adapters while running; start it with "
                "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 and --enable-lora"
            )
        elif answer.is_error:
            raise AdapterCorrupt(
                f"vLLM at {self.url} cannot load adapter {name!r}: {_says(answer) or 'see its log'}",
                field="name",
            )
        self._loaded.add(name)

    async def unload(self, name: str) -> None:
        """Drop an adapter; one that is not loaded changes nothing."""
        self._loaded.discard(name)
        answer = await self._request("POST", "/v1/unload_lora_adapter", {"lora_name": name})
        if answer.status_code != 404:
            self._check(answer)

    async def loaded(self) -> list[str]:
        """What the server lists now: after it was restarted, nothing."""
        models = await self._models()
        self._loaded = {model.id for model in models if model.parent is not None}
        return sorted(self._loaded)

    async def ready(self) -> bool:
        """Whether the server says that it is well."""
        if self._base is None:
            return False
        try:
            return (await self._request("GET", "/health")).status_code == 200
        except EngineError:
            return False

    async def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None and self._given is None:
            await self._client.aclose()
            self._client = None

    def _sound(self, folder: Path) -> str:
        """The folder's absolute path, once its files fit each other and the base; ``AdapterCorrupt`` else."""
        base = Path(self.base_model)
        check_adapter(folder, base=base if base.is_dir() else None, max_rank=MAX_RANK)
        return str(folder.absolute())

    async def _models(self) -> list[_Model]:
        answer = await self._request("GET", "/v1/models")
        self._check(answer)
        return self._read(answer, _Models).data

    async def _request(self, method: str, path: str, body: object = None) -> httpx.Response:
        if self._client is None:
            raise EngineDown(f"the connection to vLLM at {self.url} is closed; start the engine first")
        try:
            return await self._client.request(
                method, f"{self.url}{path}", json=body, headers=self._headers, timeout=TIMEOUT
            )
        except httpx.PoolTimeout as error:
            raise EngineBusy(f"all connections to vLLM at {self.url} are in use") from error
        except httpx.TransportError as error:
            raise EngineDown(
                f"vLLM at {self.url} does not answer ({type(error).__name__}); "
                "start it with: scripts/vllm serve"
            ) from error

    def _check(self, answer: httpx.Response) -> None:
        if not answer.is_error:
            return
        said = _says(answer) or answer.reason_phrase
        if answer.status_code == 429:
            after = answer.headers.get("retry-after", "")
            raise EngineBusy(
                f"vLLM at {self.url} is busy: {said}", retry_after=float(after) if after.isdigit() else 1.0
            )
        if answer.status_code in (401, 403):
            raise EngineError(f"vLLM at {self.url} refuses our key; set vllm_key to its --api-key")
        if answer.status_code == 503:
            raise EngineDown(f"vLLM at {self.url} is not available: {said}")
        raise EngineError(f"vLLM at {self.url} answered {answer.status_code}: {said}")

    def _read(self, answer: httpx.Response, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise EngineError(f"what answers at {self.url} is not vLLM: {error}; check vllm_url") from error


def _says(answer: httpx.Response) -> str:
    """What vLLM says of an error, on one line and not longer than a person would read."""
    try:
        said = answer.json()
    except ValueError:
        return ""
    if isinstance(said, dict):
        said = said.get("error", said)
    message = said.get("message") if isinstance(said, dict) else None
    return " ".join(message.split())[:500] if isinstance(message, str) else ""


def _transport() -> httpx.AsyncBaseTransport | None:
    # The extra 'vllm' brings a transport that costs half as much a request; httpx's own does as well.
    try:
        from httpx_aiohttp import AiohttpTransport
    except ImportError:
        return None
    transport: httpx.AsyncBaseTransport = AiohttpTransport()
    return transport
