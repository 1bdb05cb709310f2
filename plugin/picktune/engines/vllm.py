"""vLLM as the engine, over HTTP: the base and its adapters by name on one server."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Mapping, Sequence
from os.path import realpath
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
from msgspec import structs
from picktune_adapters import check_adapter
from picktune_adapters.check_checkpoint import check_checkpoint
from picktune_adapters.kinds import kind_of
from picktune_adapters.names import check_name, is_name

from picktune.engines.answers import Completion, Model, Scored, Tokenized, checked, decode, reason
from picktune.engines.base import Generation, ReplicaState, Speaker
from picktune.engines.limits import VLLMLimits
from picktune.engines.live import LiveAnswer
from picktune.engines.own_servers import OwnServers
from picktune.engines.pool import Pool
from picktune.engines.prompts import TOO_LONG, defused, shorter
from picktune.engines.remote import Remotes
from picktune.engines.replica import Replica
from picktune.errors import AdapterCorrupt, AdapterNotFound, EngineDown, EngineError, InvalidInput
from picktune.records import Message, Sampling

# vLLM closes a connection that has idled for five seconds; one must not be in use again at that moment.
_KEPT_SECONDS = 2.0
_ALREADY = "already"
_CHAT = "/v1/chat/completions"
_COMPLETE = "/v1/completions"
_TOKENIZE = "/tokenize"
_SCORES_AT_ONCE = 8  # a few, so that people's requests find room beside them
_NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


class VLLMEngine:
    """Samples replies from a vLLM server at ``url``, or several, which must not be reachable from outside.

    Several are replicas of one model: each gets every adapter, and a request goes to one of them (see
    ``Pool``). Only names that this engine loaded, or that a server lists, are ever sent to it. ``client``
    replaces the engine's own HTTP client and is not closed with it.
    """

    def __init__(
        self,
        *url: str,
        key: str | None = None,
        client: httpx.AsyncClient | None = None,
        limits: VLLMLimits | None = None,
        rng: random.Random | None = None,
    ) -> None:
        limits = limits or VLLMLimits()
        rng = rng or random.Random()  # noqa: S311 - spreads load, hides nothing
        self._own = client is None
        self._client = _new_client(limits.outstanding * len(url)) if client is None else client
        self._limits = limits
        self._rng = rng
        self._replicas = tuple(Replica(one, self._client, key, limits, rng) for one in dict.fromkeys(url))
        self._pool = Pool(self._replicas, limits, rng)
        alone = structs.replace(limits, checkpoints=())
        make = lambda one: VLLMEngine(one, key=key, client=self._client, limits=alone, rng=rng)  # noqa: E731
        self._beside = OwnServers(limits.checkpoints, make)
        self._remotes = Remotes()

    @property
    def base_model(self) -> str:
        """What the server was started with as ``--model``; raises ``EngineDown`` before ``start``."""
        base = self._started()
        return base.root or base.id

    @property
    def replicas(self) -> tuple[ReplicaState, ...]:
        """How each server is."""
        return (*(one.state for one in self._replicas), *self._beside.replicas)

    def speakers(self) -> Sequence[Speaker]:
        """Each server that answers, as an engine of its own that shares what is known of the server."""
        return [self._only(one) for one in self._replicas if self._is_up(one)]

    async def start(self) -> None:
        """Find out which model is served; raises ``EngineDown`` if no server answers."""
        await self._look()

    async def look(self) -> Model:
        """Ask what is served now; raises ``EngineDown`` and ``EngineError``."""
        return await self._look()

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
        if (own := self._beside.get(model)) is not None:
            return await own.generate(
                messages, model=None, n=n, sampling=sampling, seed=seed, options=options
            )
        if (remote := self._remotes.get(model)) is not None:
            return await remote.generate(messages, n=n, sampling=sampling, seed=seed, options=options)
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
            response = await self._pool.post(_CHAT, body, key=_beginning(body["messages"]), model=model)
            if response.status_code != 400 or not TOO_LONG.search(response.text):
                break
            less = shorter(kept)
            if less == kept:
                break
            kept = less
        completion = decode(_answered(response, refusable=bool(options)), Completion)
        latency = time.perf_counter() - since
        choices = sorted(completion.choices, key=lambda choice: choice.index)
        if not choices:
            raise EngineError(f"{response.request.url} answered without a reply; look into vLLM's log")
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
        if (own := self._beside.get(model)) is not None:
            return await own.forward(messages, fields, model=None)
        if (remote := self._remotes.get(model)) is not None:
            return await remote.forward(messages, fields)
        base = await self._serving(model)
        said = _defused(messages)
        body = {**fields, "model": model or base.id, "messages": said, "stream": False}
        response = await self._pool.post(_CHAT, body, key=_beginning(said), model=model)
        return decode(_answered(response, refusable=True), dict[str, Any])

    async def stream(
        self, messages: Sequence[Mapping[str, Any]], fields: Mapping[str, Any], *, model: str | None
    ) -> LiveAnswer:
        """The server's own answer while it comes; see ``Streaming.stream``."""
        if (own := self._beside.get(model)) is not None:
            return await own.stream(messages, fields, model=None)
        if self._remotes.get(model) is not None:
            raise InvalidInput(f"{model} is served by a platform and not streamed; ask for it without stream")
        base = await self._serving(model)
        said = _defused(messages)
        body = {**fields, "model": model or base.id, "messages": said, "stream": True}
        answer = await self._pool.open(_CHAT, body, key=_beginning(said), model=model)
        if not isinstance(answer, LiveAnswer):
            _answered(answer, refusable=True)
            raise EngineError(f"{answer.request.url} answered {answer.status_code}, which is no stream")
        return answer

    async def log_probs(
        self, text: str | Sequence[int], *, model: str | None, at: Sequence[int] | None = None
    ) -> list[float]:
        """log p of the tokens in these places, or of all but the first, in nats; see ``canary.Scoring``.

        One request a token, and no ``prompt_logprobs``: vLLM 0.32 on CPUs ends when they are asked for beside
        other requests. Only the wanted token is allowed; its log p is the one before the rest is excluded.
        """
        if (own := self._beside.get(model)) is not None:
            return await own.log_probs(text, model=None, at=at)
        base = await self._serving(model)
        replica = next((one for one in self._replicas if self._is_up(one)), None)
        if replica is None:
            raise EngineDown("no vLLM server answers; try again in a moment")
        name = model or base.id
        if isinstance(text, str):
            asked = {"model": name, "prompt": text}
            ids = decode(checked(await replica.manage("POST", _TOKENIZE, asked)), Tokenized).tokens
        else:
            ids = list(text)
        gate = asyncio.Semaphore(_SCORES_AT_ONCE)

        async def score(place: int) -> float:
            async with gate:
                return await _score(replica, name, ids[:place], ids[place])

        found = await asyncio.gather(*map(score, range(1, len(ids)) if at is None else at))
        if found and (max(found) > 0.0 or not any(found)):
            raise EngineError(
                f"vLLM at {replica.url} gives no log-probabilities of the model itself; start it without "
                "--logprobs-mode, or with raw_logprobs"
            )
        return found

    async def load(self, name: str, folder: Path) -> None:
        """Load an adapter into each server that answers; all must see the folder under the same path.

        Servers that have it already are left alone. One that does not answer now gets it when this is called
        again; until then it is asked for other models only. A checkpoint is looked for at ``checkpoints`` of
        the limits. Raises ``AdapterCorrupt`` if the adapter is not sound, is a prompt adapter, or a server
        refuses it, ``InvalidAdapterName`` for a name that could lead anywhere else, and ``EngineError`` for a
        checkpoint that no server serves.
        """
        check_name(name)
        kind = await asyncio.to_thread(kind_of, folder)
        if kind == "remote":
            await self._remotes.load(name, folder)
            return
        base = self._base() or await self._look()
        if kind == "checkpoint":
            place = _folder(base)
            await asyncio.to_thread(check_checkpoint, folder, base=place)
            await self._beside.find(name, folder)
            return
        path = await asyncio.to_thread(_checked_path, folder, _folder(base))
        up = [one for one in self._replicas if self._is_up(one)]
        done = await asyncio.gather(*(_load(one, name, path) for one in up), return_exceptions=True)
        faults = [one for one in done if isinstance(one, BaseException)]
        # A server that has gone in the meantime must not keep the others from serving the adapter.
        if faults and (len(faults) == len(done) or not all(isinstance(one, EngineDown) for one in faults)):
            raise next((one for one in faults if not isinstance(one, EngineDown)), faults[0])

    async def unload(self, name: str) -> None:
        """Drop an adapter from every server; one that is not there is no error, nor is a server."""
        check_name(name)
        if self._remotes.forget(name) or self._beside.forget(name):
            return
        for one in self._replicas:
            one.names.discard(name)
        up = [one for one in self._replicas if one.base is None or self._is_up(one)]
        done = await asyncio.gather(*(_unload(one, name) for one in up), return_exceptions=True)
        faults = [one for one in done if isinstance(one, BaseException)]
        if faults and (len(faults) == len(done) or not all(isinstance(one, EngineDown) for one in faults)):
            raise faults[0]

    async def loaded(self) -> list[str]:
        """The adapters that every server lists that answers, and the checkpoints whose own do, sorted."""
        await self._look()
        names = [one.names for one in self._replicas if self._is_up(one)]
        return sorted(
            [*(set.intersection(*names) if names else ()), *await self._beside.look(), *self._remotes.names()]
        )

    async def ready(self) -> bool:
        """Whether a server says that it is healthy."""
        healthy = await asyncio.gather(*(one.healthy() for one in self._replicas if one.foreign is None))
        return any(healthy) and self._base() is not None

    async def close(self) -> None:
        """Close the connections."""
        await self._remotes.close()
        if self._own:
            await self._client.aclose()

    def _only(self, replica: Replica) -> VLLMEngine:
        one = VLLMEngine(client=self._client, limits=self._limits, rng=self._rng)
        one._replicas = (replica,)
        one._pool = Pool(one._replicas, self._limits, self._rng)
        one._beside = self._beside
        one._remotes = self._remotes
        return one

    def _is_up(self, replica: Replica) -> bool:
        return replica.base is not None and replica.foreign is None and replica.reached

    def _base(self) -> Model | None:
        known = (one.base for one in self._replicas if one.foreign is None)
        return next((base for base in known if base is not None), None)

    def _started(self) -> Model:
        base = self._base()
        if base is None:
            where = ", ".join(one.url for one in self._replicas)
            raise EngineDown(f"vLLM at {where} was not reached yet; start the engine first")
        return base

    async def _serving(self, model: str | None) -> Model:
        """The base, if a server serves the adapter, should one be named; else ``AdapterNotFound``."""
        base = self._base() or await self._look()
        if model is not None and model not in self._pool.names():
            if is_name(model):
                await self._look()
            if model not in self._pool.names():
                raise AdapterNotFound(model, sorted([*self._pool.names(), *self._beside.names()]))
        return base

    async def _look(self) -> Model:
        """Ask every server what it serves; raises what went wrong if none answers."""
        done = await asyncio.gather(*(one.look() for one in self._replicas), return_exceptions=True)
        base = self._base()
        for one in self._replicas:
            one.foreign = None
            if one.base is not None and base is not None and _model(one.base) != _model(base):
                one.foreign = (
                    f"it serves {_model(one.base)} and the others {_model(base)}; start it with the same "
                    "--model, or take it out of 'vllm.urls'"
                )
        faults = [one for one in done if isinstance(one, BaseException)]
        for fault in faults:
            if not isinstance(fault, EngineError) or len(faults) == len(done):
                raise fault
        return self._started()


def _answered(response: httpx.Response, *, refusable: bool) -> httpx.Response:
    """The response, if it is a success; whoever chose the fields hears why the server refuses them."""
    if refusable and response.status_code in (400, 422):
        raise InvalidInput(f"the model's server refuses the request: {reason(response)}")
    return checked(response)


async def _load(replica: Replica, name: str, path: str) -> None:
    url = replica.url
    response = await replica.manage("POST", "/v1/load_lora_adapter", {"lora_name": name, "lora_path": path})
    if response.status_code == 404 and "detail" in response.text and "error" not in response.text:
        raise EngineError(
            f"vLLM at {url} does not load adapters while it runs; start it with "
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 and --enable-lora, as scripts/vllm serve does"
        )
    if response.status_code == 400 and _ALREADY in response.text:
        root = next((model.root for model in await replica.listed() if model.id == name), None)
        if root != path:
            raise AdapterCorrupt(
                f"vLLM at {url} has another adapter under the name {name!r}, from {root}; "
                "names are never used twice: add this one under a new name"
            )
    elif response.status_code in (400, 404, 500):
        raise AdapterCorrupt(
            f"vLLM at {url} refuses adapter {name!r} ({reason(response)}); its log says why, and "
            f"it must be able to read {path}"
        )
    else:
        checked(response)
    replica.names.add(name)


async def _score(replica: Replica, name: str, prompt: list[int], token: int) -> float:
    body = {
        "model": name,
        "prompt": prompt,
        "max_tokens": 1,
        "temperature": 0.0,
        "logprobs": 0,
        "allowed_token_ids": [token],
    }
    response = checked(await replica.manage("POST", _COMPLETE, body))
    scored = decode(response, Scored)
    if not scored.choices or not scored.choices[0].logprobs.token_logprobs:
        raise EngineError(f"{response.request.url} answered without a log-probability; look into its log")
    return scored.choices[0].logprobs.token_logprobs[0]


async def _unload(replica: Replica, name: str) -> None:
    response = await replica.manage("POST", "/v1/unload_lora_adapter", {"lora_name": name})
    if response.status_code != 404:
        checked(response)


def _defused(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**one, "content": defused(one["content"])} if isinstance(one.get("content"), str) else {**one}
        for one in messages
    ]


def _model(base: Model) -> str:
    return base.root or base.id


def _beginning(messages: Sequence[Mapping[str, Any]]) -> str:
    """What stays the same for all turns of a conversation: up to its first message after the system's."""
    first = next((at for at, one in enumerate(messages) if one.get("role") != "system"), 0)
    return "\n".join(str(one.get("content")) for one in messages[: first + 1])


def _new_client(most: int) -> httpx.AsyncClient:
    # Room beyond what is let through, for looks at health and the loading of adapters.
    limits = httpx.Limits(
        max_connections=most + 16, max_keepalive_connections=most + 16, keepalive_expiry=_KEPT_SECONDS
    )
    try:
        from httpx_aiohttp import HttpxAiohttpClient
    except ImportError:
        return httpx.AsyncClient(limits=limits, trust_env=False)
    client: httpx.AsyncClient = HttpxAiohttpClient(limits=limits, trust_env=False)
    return client


def _folder(base: Model) -> Path | None:
    """Where the base's files lie; a base that is no folder here cannot be compared with."""
    folder = Path(base.root or base.id)
    return folder if any(folder.glob("*.safetensors")) else None


def _checked_path(folder: Path, base: Path | None) -> str:
    """The real path of a sound adapter's folder."""
    check_adapter(folder, base=base)
    return realpath(folder)
