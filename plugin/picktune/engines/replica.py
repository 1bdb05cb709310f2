"""One vLLM server of several: what it serves, how busy it is, and whether it can be asked."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from typing import Any

import httpx
import msgspec

from picktune.engines.answers import Model, Models, checked, decode
from picktune.engines.base import ReplicaState
from picktune.engines.breaker import Breaker
from picktune.engines.limits import VLLMLimits
from picktune.engines.live import LiveAnswer
from picktune.errors import EngineBusy, EngineDown, EngineError
from picktune.traceparent import trace_headers

# The request never reached a server that could work on it, or its connection broke before any answer: the
# same again changes nothing there.
UNSENT = (httpx.ConnectError, httpx.ConnectTimeout)
DROPPED = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)


_JSON = {"Content-Type": "application/json"}


def _encoded(body: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:  # half a character, which only an escape can express
        return json.dumps(body).encode()


class Replica:
    """A vLLM server at ``url``; ``client`` is shared by all replicas.

    ``names`` are the adapters that it listed or loaded; ``foreign`` says why it is no replica of the others.
    """

    def __init__(
        self, url: str, client: httpx.AsyncClient, key: str | None, limits: VLLMLimits, rng: random.Random
    ) -> None:
        self.url = url.rstrip("/")
        self.base: Model | None = None
        self.names: set[str] = set()
        self.foreign: str | None = None
        self.outstanding = 0
        self.seconds = 1.0  # how long an answer takes, as a moving average
        self.outcomes: Counter[str] = Counter()
        self.breaker = Breaker(
            failures=limits.failures, seconds=limits.cooldown, longest=limits.longest_cooldown, rng=rng
        )
        self._unreached = False
        self._client = client
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._limits = limits
        self._urls: dict[str, httpx.URL] = {}  # to parse one takes longer than to write a request

    @property
    def reached(self) -> bool:
        """Whether it answered when it was asked last."""
        return not self._unreached

    @property
    def state(self) -> ReplicaState:
        """What operators see of it."""
        return ReplicaState(
            url=self.url,
            breaker=self.breaker.state,
            outstanding=self.outstanding,
            adapters=tuple(sorted(self.names)),
            problem=self.foreign or self.breaker.reason,
            opened=self.breaker.opened,
            outcomes=dict(self.outcomes),
        )

    async def say(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """Send what makes it think, and tell the breaker how that went; raises httpx's errors."""
        begin = time.perf_counter()
        self.outstanding += 1
        self.breaker.trying()
        try:
            response = await self.send("POST", path, body, patience=self._limits.whole)
        except BaseException as error:
            self.hear(error)
            raise
        finally:
            self.outstanding -= 1
        self._count(response, time.perf_counter() - begin)
        return response

    async def open(self, path: str, body: dict[str, Any]) -> LiveAnswer | httpx.Response:
        """Send what makes it think, and give the answer while it comes; raises httpx's errors.

        What is not a success is a response that was read. Whoever gets a live answer must close it.
        """
        begin = time.perf_counter()
        self.outstanding += 1
        self.breaker.trying()
        live = False
        try:
            limits = self._limits
            patience = max(limits.first, limits.between)
            timeout = httpx.Timeout(
                connect=limits.connect, write=limits.write, pool=limits.pool, read=patience
            )
            headers = {**self._headers, **trace_headers(self.url)}
            request = self._client.build_request(
                "POST", self.url + path, json=body, headers=headers, timeout=timeout
            )
            try:
                async with asyncio.timeout(limits.first):
                    response = await self._client.send(request, stream=True)
                    live = response.status_code < 300
                    if not live:
                        await response.aread()
            except TimeoutError:
                raise httpx.ReadTimeout("there was no answer", request=request) from None
        except BaseException as error:
            self.hear(error)
            raise
        finally:
            if not live:
                self.outstanding -= 1
        if not live:
            self._count(response, time.perf_counter() - begin)
            return response
        self.breaker.succeeded()
        return LiveAnswer(response, limits, begin=begin, path=path, told=self._ended)

    def _ended(self, error: BaseException | None, path: str, seconds: float) -> EngineError | None:
        """What a live answer says at its end; the error of ours, if it broke off."""
        self.outstanding -= 1
        if error is None:
            self.outcomes["ok"] += 1
            self.seconds += 0.1 * (seconds - self.seconds)
            return None
        self.hear(error)
        return self.translated(error, path) if isinstance(error, httpx.HTTPError) else None

    def hear(self, error: BaseException) -> None:
        """Tell the breaker, and count, what came in place of an answer."""
        if isinstance(error, httpx.PoolTimeout):
            self.breaker.gave_up()  # it is we who have no connection left
            self.outcomes["no_connection"] += 1
        elif isinstance(error, httpx.HTTPError | httpx.InvalidURL):
            self.breaker.failed(f"{type(error).__name__}: {error}")
            # The aiohttp transport calls a connection that broke a ConnectTimeout.
            self._unreached = isinstance(error, (*UNSENT, *DROPPED))
            self.outcomes["unreachable" if self._unreached else "late"] += 1
        elif isinstance(error, EngineError):
            self.breaker.failed(error.message)
            self.outcomes["failed"] += 1
        else:
            self.breaker.gave_up()
            self.outcomes["cancelled"] += 1

    def _count(self, response: httpx.Response, seconds: float) -> None:
        status = response.status_code
        if status in (429, 503):
            self.breaker.succeeded()  # it is there, and says so
            self.outcomes["busy"] += 1
        elif status >= 500:
            self.breaker.failed(f"it answered {status}")
            self._unreached = False
            self.outcomes["failed"] += 1
        else:
            self.breaker.succeeded()
            self.outcomes["ok" if status < 300 else "refused"] += 1
            if status < 300:
                self.seconds += 0.1 * (seconds - self.seconds)

    async def send(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, patience: float | None = None
    ) -> httpx.Response:
        """Send one request; raises httpx's errors."""
        limits = self._limits
        timeout = httpx.Timeout(
            connect=limits.connect, write=limits.write, pool=limits.pool, read=patience or limits.read
        )
        headers, content = self._headers, None
        if body is not None:
            headers, content = {**headers, **_JSON, **trace_headers(self.url)}, _encoded(body)
        return await self._client.request(
            method, self._at(path), content=content, headers=headers, timeout=timeout
        )

    def _at(self, path: str) -> httpx.URL:
        if path not in self._urls:
            self._urls[path] = httpx.URL(self.url + path)
        return self._urls[path]

    async def manage(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """Send what every replica must hear, whatever its breaker says; raises the errors of engines."""
        try:
            try:
                return await self.send(method, path, body)
            except (*DROPPED, httpx.ConnectTimeout):
                return await self.send(method, path, body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self.translated(error, path) from error

    async def look(self) -> None:
        """Ask what it serves, and tell the breaker if it cannot be reached, or can be again.

        That it lists its models does not close a breaker that opened because it fails to answer with them.
        Raises ``EngineDown`` and ``EngineError``.
        """
        try:
            response = await self.manage("GET", "/v1/models")
        except EngineDown as down:
            self.breaker.failed(down.message)
            self._unreached = True
            self.names = set()  # whatever it had is to be loaded again
            raise
        listed = decode(checked(response), Models).data
        base = next((model for model in listed if model.parent is None), None)
        if base is None:
            raise EngineError(f"vLLM at {self.url} lists no base model; look into its log")
        self.base = base
        self.names = {model.id for model in listed if model.parent is not None}
        if self._unreached:
            self.breaker.succeeded()
            self._unreached = False

    async def listed(self) -> list[Model]:
        """Everything that it serves."""
        return decode(checked(await self.manage("GET", "/v1/models")), Models).data

    async def healthy(self) -> bool:
        """Whether it says so within two seconds."""
        try:
            response = await self._client.get(f"{self.url}/health", headers=self._headers, timeout=2.0)
        except httpx.HTTPError:
            return False
        return response.status_code == 200

    def translated(self, error: Exception, path: str) -> EngineError:
        """Our error for one of httpx's."""
        if isinstance(error, httpx.PoolTimeout):
            return EngineBusy(f"all connections to vLLM at {self.url} are in use; try again", retry_after=5.0)
        if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout):
            return EngineError(
                f"vLLM at {self.url} did not answer {path} in time; it may be overloaded: look into its log"
            )
        return EngineDown(
            f"vLLM at {self.url} cannot be reached ({type(error).__name__}: {error}); start it with "
            "scripts/vllm serve, or mend the setting 'vllm_url' or 'vllm.urls'; picktune doctor looks closer"
        )
