"""vLLM as the engine, over HTTP: the base and its adapters by name on one server."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from os.path import realpath
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
from msgspec import structs
from picktune_adapters import check_adapter
from picktune_adapters.names import check_name, is_name

from picktune.engines.answers import Completion, Model, Models, checked, decode, reason
from picktune.engines.base import Generation
from picktune.engines.prompts import TOO_LONG, defused, shorter
from picktune.errors import (
    AdapterCorrupt,
    AdapterNotFound,
    EngineBusy,
    EngineDown,
    EngineError,
    InvalidInput,
)
from picktune.records import Message, Sampling

# Seconds: a server that is there accepts at once, but may think for minutes.
TIMEOUT = httpx.Timeout(connect=5.0, read=180.0, write=30.0, pool=30.0)
# vLLM closes a connection that has idled for five seconds; one must not be in use again at that moment.
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=50, keepalive_expiry=2.0)
_ALREADY = "already"
_CHAT = "/v1/chat/completions"
_NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


class VLLMEngine:
    """Samples replies from a vLLM server at ``url``, which must not be reachable from outside.

    Only names that this engine loaded, or that the server lists, are ever sent to it. ``client`` replaces the
    engine's own HTTP client and is not closed with it.
    """

    def __init__(self, url: str, *, key: str | None = None, client: httpx.AsyncClient | None = None) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._own = client is None
        self._client = _new_client() if client is None else client
        self._base: Model | None = None
        self._names: set[str] = set()

    @property
    def base_model(self) -> str:
        """What the server was started with as ``--model``; raises ``EngineDown`` before ``start``."""
        base = self._started()
        return base.root or base.id

    async def start(self) -> None:
        """Find out which model the server serves; raises ``EngineDown`` if it does not answer."""
        await self._models()

    async def generate(
        self,
        messages: Sequence[Message],
        *,
        model: str | None,
        n: int,
        sampling: Sampling,
        seed: int,
        options: Mapping[str, Any] = _NO_OPTIONS,
    ) -> list[Generation]:
        """Sample ``n`` replies; see ``Engine.generate`` and ``Forwarding.generate``."""
        base = await self._serving(model)
        if n < 1:
            return []
        greedy = sampling.temperature == 0.0
        since = time.perf_counter()
        body = {
            **options,
            "model": model or base.id,
            "n": 1 if greedy else n,
            "temperature": sampling.temperature,
            "top_p": 1.0 if greedy else sampling.top_p,
            "max_tokens": min(sampling.max_tokens, (base.max_model_len or 2**20) // 2),
            "stop": list(sampling.stop),
            "seed": seed,
            "return_token_ids": True,
        }
        kept = [structs.replace(one, content=defused(one.content)) for one in messages]
        while True:
            body["messages"] = [{"role": message.role, "content": message.content} for message in kept]
            response = await self._post(_CHAT, body)
            if response.status_code != 400 or not TOO_LONG.search(response.text):
                break
            less = shorter(kept)
            if less == kept:
                break
            kept = less
        completion = decode(self._answered(response, model, bool(options)), Completion)
        latency = time.perf_counter() - since
        choices = sorted(completion.choices, key=lambda choice: choice.index)
        if not choices:
            raise EngineError(f"vLLM at {self.url} answered without a reply; look into its log")
        shared = math.ceil((completion.usage.completion_tokens if completion.usage else 0) / len(choices))
        replies = [
            Generation(
                text=choice.message.content or "",
                tokens=shared if choice.token_ids is None else len(choice.token_ids),
                latency=latency,
                finish_reason=choice.finish_reason or "stop",
                prompt_tokens=completion.usage.prompt_tokens if completion.usage else 0,
            )
            for choice in choices
        ]
        return replies * n if greedy else replies

    async def forward(
        self, messages: Sequence[Mapping[str, Any]], fields: Mapping[str, Any], *, model: str | None
    ) -> dict[str, Any]:
        """The server's own answer; see ``Forwarding.forward``."""
        base = await self._serving(model)
        said = [
            {**one, "content": defused(one["content"])} if isinstance(one.get("content"), str) else {**one}
            for one in messages
        ]
        body = {**fields, "model": model or base.id, "messages": said, "stream": False}
        response = self._answered(await self._post(_CHAT, body), model, refusable=True)
        return decode(response, dict[str, Any])

    async def load(self, name: str, folder: Path) -> None:
        """Load an adapter into the server, which must see the same folder under the same path.

        Raises ``AdapterCorrupt`` if the adapter is not sound or the server refuses it, ``InvalidAdapterName``
        for a name that could lead anywhere else.
        """
        check_name(name)
        base = self._base or await self._models()
        path = await asyncio.to_thread(_checked_path, folder, Path(base.root or base.id))
        response = await self._post("/v1/load_lora_adapter", {"lora_name": name, "lora_path": path})
        if response.status_code == 404 and "detail" in response.text and "error" not in response.text:
            raise EngineError(
                f"vLLM at {self.url} does not load adapters while it runs; start it with "
                "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 and --enable-lora, as scripts/vllm serve does"
            )
        if response.status_code == 400 and _ALREADY in response.text:
            root = next((model.root for model in await self._listed() if model.id == name), None)
            if root != path:
                raise AdapterCorrupt(
                    f"vLLM at {self.url} has another adapter under the name {name!r}, from {root}; "
                    "names are never used twice: add this one under a new name"
                )
        elif response.status_code in (400, 404, 500):
            raise AdapterCorrupt(
                f"vLLM at {self.url} refuses adapter {name!r} ({reason(response)}); its log says why, and "
                f"it must be able to read {path}"
            )
        else:
            checked(response)
        self._names.add(name)

    async def unload(self, name: str) -> None:
        """Drop an adapter from the server; one that is not there is no error."""
        self._names.discard(check_name(name))
        response = await self._post("/v1/unload_lora_adapter", {"lora_name": name})
        if response.status_code != 404:
            checked(response)

    async def loaded(self) -> list[str]:
        """The names of the adapters that the server lists, sorted."""
        await self._models()
        return sorted(self._names)

    async def ready(self) -> bool:
        """Whether the server says that it is healthy."""
        try:
            response = await self._client.get(f"{self.url}/health", headers=self._headers, timeout=2.0)
        except httpx.HTTPError:
            return False
        return response.status_code == 200 and self._base is not None

    async def close(self) -> None:
        """Close the connections."""
        if self._own:
            await self._client.aclose()

    async def _send(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
        return await self._client.request(method, self.url + path, json=body, headers=self._headers)

    def _started(self) -> Model:
        if self._base is None:
            raise EngineDown(f"vLLM at {self.url} was not reached yet; start the engine first")
        return self._base

    async def _serving(self, model: str | None) -> Model:
        """The base, if the server serves the adapter, should one be named; else ``AdapterNotFound``."""
        base = self._base or await self._models()
        if model is not None and model not in self._names:
            if is_name(model):
                await self._models()
            if model not in self._names:
                raise AdapterNotFound(model, sorted(self._names))
        return base

    def _answered(self, response: httpx.Response, model: str | None, refusable: bool) -> httpx.Response:
        """The response, if it is a success; whoever chose the fields hears why the server refuses them."""
        if response.status_code == 404 and model is not None:
            self._names.discard(model)
            raise AdapterNotFound(model, sorted(self._names))
        if refusable and response.status_code in (400, 422):
            raise InvalidInput(f"the model's server refuses the request: {reason(response)}")
        return checked(response)

    async def _models(self) -> Model:
        listed = await self._listed()
        base = next((model for model in listed if model.parent is None), None)
        if base is None:
            raise EngineError(f"vLLM at {self.url} lists no base model; look into its log")
        self._base = base
        self._names = {model.id for model in listed if model.parent is not None}
        return base

    async def _listed(self) -> list[Model]:
        return decode(checked(await self._request("GET", "/v1/models")), Models).data

    async def _post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        return await self._request("POST", path, body)

    async def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        try:
            try:
                return await self._send(method, path, body)
            except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError, httpx.ConnectTimeout):
                # A kept connection that the server had given up; the same again changes nothing there.
                return await self._send(method, path, body)
        except httpx.PoolTimeout as error:
            raise EngineBusy(
                f"all connections to vLLM at {self.url} are in use; try again", retry_after=5.0
            ) from error
        except (httpx.ReadTimeout, httpx.WriteTimeout) as error:
            raise EngineError(
                f"vLLM at {self.url} did not answer {path} in time; it may be overloaded: look into its log"
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise EngineDown(
                f"vLLM at {self.url} cannot be reached ({type(error).__name__}: {error}); "
                "start it with scripts/vllm serve, or mend the setting 'vllm_url'"
            ) from error


def _new_client() -> httpx.AsyncClient:
    try:
        from httpx_aiohttp import HttpxAiohttpClient
    except ImportError:
        return httpx.AsyncClient(timeout=TIMEOUT, limits=_LIMITS, trust_env=False)
    client: httpx.AsyncClient = HttpxAiohttpClient(timeout=TIMEOUT, limits=_LIMITS, trust_env=False)
    return client


def _checked_path(folder: Path, base: Path) -> str:
    """The real path of a sound adapter's folder; a base that is no folder here cannot be compared with."""
    check_adapter(folder, base=base if any(base.glob("*.safetensors")) else None)
    return realpath(folder)
