"""Arms that a platform serves: a fine-tuned model behind an OpenAI-compatible address that is not ours."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
from picktune_adapters.check_remote import RemoteModel, check_remote

from picktune.engines.answers import Completion, reason
from picktune.engines.base import Generation
from picktune.errors import EngineBusy, EngineDown, EngineError, InvalidInput
from picktune.records import Message, Sampling

KEY = "PICKTUNE_PLATFORM_KEY"
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)


class RemoteArm:
    """One model of a platform; ``client`` is shared by all."""

    def __init__(self, told: RemoteModel, client: httpx.AsyncClient, key: str | None) -> None:
        self._told = told
        self._url = told.url.rstrip("/") + "/chat/completions"
        self._client = client
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    async def generate(
        self,
        messages: Sequence[Message],
        *,
        n: int,
        sampling: Sampling,
        seed: int,
        options: Mapping[str, Any] | None = None,
    ) -> list[Generation]:
        """Sample ``n`` replies; see ``Engine.generate``. A platform without ``n`` is asked several times."""
        greedy = sampling.temperature == 0.0
        found: list[Generation] = []
        while len(found) < n:
            fields = {
                **(options or {}),
                "n": 1 if greedy else n - len(found),
                "temperature": sampling.temperature,
                "top_p": 1.0 if greedy else sampling.top_p,
                "max_tokens": sampling.max_tokens,
                "seed": (seed + len(found)) % 2**31,
                **({"stop": list(sampling.stop)} if sampling.stop else {}),
            }
            since = time.perf_counter()
            said = [{"role": one.role, "content": one.content} for one in messages]
            answer = await self._ask(said, fields)
            try:
                completion = msgspec.json.decode(answer, type=Completion)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise EngineError(f"{self._where} answered no chat completion ({error})") from error
            if not completion.choices:
                raise EngineError(f"{self._where} answered without a reply")
            usage, latency = completion.usage, time.perf_counter() - since
            for one in completion.choices:
                found.append(
                    Generation(
                        text=one.message.content or "",
                        tokens=-(-usage.completion_tokens // len(completion.choices)) if usage else 0,
                        latency=latency,
                        finish_reason=one.finish_reason or "stop",
                        prompt_tokens=usage.prompt_tokens if usage else 0,
                    )
                )
            if greedy:
                return [found[0]] * n
        return found[:n]

    async def forward(
        self, messages: Sequence[Mapping[str, Any]], fields: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The platform's own answer; see ``Forwarding.forward``."""
        answer = await self._ask([dict(one) for one in messages], fields)
        try:
            return msgspec.json.decode(answer, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise EngineError(f"{self._where} answered no JSON ({error})") from error

    async def check(self) -> None:
        """Ask for one short reply; raises ``EngineError`` if the model cannot be asked."""
        greedy = Sampling(temperature=0.0, max_tokens=16)
        await self.generate([Message(role="user", content="Say hello.")], n=1, sampling=greedy, seed=0)

    @property
    def _where(self) -> str:
        return f"{self._told.model} at {self._told.url}"

    async def _ask(self, messages: Sequence[Mapping[str, Any]], fields: Mapping[str, Any]) -> bytes:
        body = {**fields, "model": self._told.model, "messages": messages, "stream": False}
        try:
            response = await self._client.post(self._url, json=body, headers=self._headers, timeout=_TIMEOUT)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise EngineDown(f"{self._where} cannot be reached ({type(error).__name__}: {error})") from error
        status = response.status_code
        if status < 300:
            return response.content
        if status in (429, 503):
            seconds = response.headers.get("retry-after", "")
            raise EngineBusy(
                f"{self._where} is busy ({reason(response)}); try again later",
                retry_after=float(seconds) if seconds.isdigit() else 1.0,
            )
        if status in (401, 403):
            what = "refuses the key; put the right one" if self._headers else "wants a key; put it"
            raise EngineError(f"{self._where} {what} into {KEY} and start again ({reason(response)})")
        if status in (400, 422):
            raise InvalidInput(f"{self._where} refuses the request: {reason(response)}")
        raise EngineError(f"{self._where} answered {status} ({reason(response)})")


class Remotes:
    """The remote arms of an engine. Their key is in the environment alone; ``client`` is made when needed."""

    def __init__(
        self, client: httpx.AsyncClient | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._own = client is None
        self._client = client
        self._environ = environ
        self._arms: dict[str, RemoteArm] = {}

    def names(self) -> list[str]:
        """The arms that are in service, sorted."""
        return sorted(self._arms)

    def get(self, name: str | None) -> RemoteArm | None:
        """The arm of that name, if it is a remote one."""
        return None if name is None else self._arms.get(name)

    async def load(self, name: str, folder: Path) -> None:
        """Take a remote version into service once it has answered; raises as ``Engine.load`` does."""
        if name in self._arms:
            return
        told = await asyncio.to_thread(check_remote, folder)
        if self._client is None:
            self._client = httpx.AsyncClient(trust_env=False, follow_redirects=False)
        arm = RemoteArm(told, self._client, self._environ.get(KEY))
        await arm.check()
        self._arms[name] = arm

    def forget(self, name: str) -> bool:
        """Ask it no more; whether it was there."""
        return self._arms.pop(name, None) is not None

    async def close(self) -> None:
        """Close the connections."""
        self._arms.clear()
        if self._own and self._client is not None:
            await self._client.aclose()
            self._client = None
