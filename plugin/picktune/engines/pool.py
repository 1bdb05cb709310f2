"""Several vLLM replicas as one: which of them is asked, and what is asked again when that fails."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import httpx

from picktune.engines.answers import checked
from picktune.engines.limits import VLLMLimits
from picktune.engines.live import LiveAnswer
from picktune.engines.replica import DROPPED, UNSENT, Replica
from picktune.errors import AdapterNotFound, EngineBusy, EngineDown, EngineError

AnswerT = TypeVar("AnswerT", httpx.Response, LiveAnswer | httpx.Response)

# Seconds before the second round, doubled for each later one, times a random share of one.
_PAUSE = 0.1


class Pool:
    """The replicas of one model. ``post`` finds one that can answer, and another if it does not.

    A request is sent again only if it cannot have been answered: the connection failed or broke before any
    answer, the replica was busy, or it has not got the adapter. Never after a time limit: the replica may
    still be at work on it. ``rng`` jitters the pauses.
    """

    def __init__(self, replicas: Sequence[Replica], limits: VLLMLimits, rng: random.Random) -> None:
        self.replicas = tuple(replicas)
        self._limits = limits
        self._rng = rng

    async def post(
        self, path: str, body: dict[str, Any], *, key: str, model: str | None = None
    ) -> httpx.Response:
        """The answer of a replica that serves the adapter ``model``, or any for the base.

        ``key`` leads requests that share a beginning to the same replica. Raises ``EngineBusy`` if all are
        full, ``EngineDown`` if none can be reached, and ``AdapterNotFound``.
        """
        if self._limits.hedge and len(self.replicas) > 1:
            return await self._hedged(path, body, key, model)
        return await self._post(path, body, key, model, [])

    async def open(
        self, path: str, body: dict[str, Any], *, key: str, model: str | None = None
    ) -> LiveAnswer | httpx.Response:
        """The same while it comes, or the response of a replica that refuses; see ``Replica.open``.

        Once it has begun to come, nobody else is asked.
        """

        def say(replica: Replica) -> Awaitable[LiveAnswer | httpx.Response]:
            return replica.open(path, body)

        return await self._ask(say, path, key, model, [])

    async def _hedged(self, path: str, body: dict[str, Any], key: str, model: str | None) -> httpx.Response:
        tried: list[Replica] = []
        first = asyncio.ensure_future(self._post(path, body, key, model, tried))
        tasks = {first}
        try:
            done, _ = await asyncio.wait(tasks, timeout=self._limits.hedge)
            if not done and len(tried) < len(self.replicas):
                tasks.add(asyncio.ensure_future(self._post(path, body, key, model, list(tried))))
            while True:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                good = [task for task in done if task.exception() is None]
                if good or len(done) == len(tasks):
                    return (good[0] if good else first).result()
                await asyncio.wait(tasks - done)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _post(
        self, path: str, body: dict[str, Any], key: str, model: str | None, tried: list[Replica]
    ) -> httpx.Response:
        def say(replica: Replica) -> Awaitable[httpx.Response]:
            return replica.say(path, body)

        return await self._ask(say, path, key, model, tried)

    async def _ask(
        self,
        say: Callable[[Replica], Awaitable[AnswerT]],
        path: str,
        key: str,
        model: str | None,
        tried: list[Replica],
    ) -> AnswerT:
        last: Exception = EngineDown("vLLM was not asked")
        tried_now = False
        for attempt in range(self._limits.attempts):
            try:
                replica = self._choose(key, model, tried)
            except (EngineBusy, EngineDown, AdapterNotFound) as error:
                raise (last if tried_now else error) from None
            if replica in tried:
                if isinstance(last, EngineBusy | AdapterNotFound):
                    raise last  # all were asked; to knock again at once would only add to it
                await asyncio.sleep(self._rng.random() * _PAUSE * 2**attempt)
            tried.append(replica)
            tried_now = True
            try:
                response = await say(replica)
            except (*UNSENT, *DROPPED) as error:
                last = replica.translated(error, path)
                last.__cause__ = error
                continue
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise replica.translated(error, path) from error
            if isinstance(response, LiveAnswer):
                return response
            if response.status_code in (429, 503):
                last = _busy(response)
            elif response.status_code == 404 and model is not None:
                replica.names.discard(model)
                last = AdapterNotFound(model, self.names())
            else:
                return response
        raise last

    def names(self) -> list[str]:
        """The adapters that some replica has, sorted."""
        return sorted({name for replica in self.replicas for name in replica.names})

    def _choose(self, key: str, model: str | None, tried: Sequence[Replica]) -> Replica:
        """Sticky by ``key`` as long as that replica is not much busier than the idlest one."""
        ours = [one for one in self.replicas if one.base is not None and one.foreign is None]
        if not ours:
            raise EngineDown(f"vLLM at {self._where()} was not reached yet; start the engine first")
        able = [one for one in ours if model is None or model in one.names]
        if model is not None and not able:
            raise AdapterNotFound(model, self.names())
        up = [one for one in able if one.breaker.allows()]
        if not up:
            first = min(able, key=lambda one: one.breaker.retry_in)
            raise EngineDown(
                f"vLLM at {first.url} failed several times in a row (last: {first.breaker.reason}) and is "
                f"asked again in {first.breaker.retry_in:.0f} s; look into its log, or run picktune doctor"
            )
        fresh = [one for one in up if one not in tried] or up
        room = [one for one in fresh if one.outstanding < self._limits.outstanding]
        if not room:
            soonest = min(one.seconds for one in fresh)
            raise EngineBusy(
                f"all {len(fresh)} replicas of vLLM have {self._limits.outstanding} requests at work; try "
                "again later, or raise the setting 'vllm.outstanding'",
                retry_after=min(max(soonest, 1.0), 30.0),
            )
        room = [one for one in room if not one.breaker.shaky] or room
        idlest = min(one.outstanding for one in room)
        # The arm is part of it: caches of prefixes are kept apart by adapter, so its arms may part.
        sticky = max(room, key=lambda one: _weight(one.url, f"{model}\n{key}"))
        if sticky.outstanding <= idlest + self._limits.spill:
            return sticky
        return self._rng.choice([one for one in room if one.outstanding == idlest])

    def _where(self) -> str:
        return ", ".join(one.url for one in self.replicas)


def _weight(url: str, key: str) -> bytes:
    """Rendezvous hashing: when a replica goes, only its own conversations move."""
    return hashlib.blake2b(f"{url}\n{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _busy(response: httpx.Response) -> EngineError:
    try:
        checked(response)
    except EngineError as error:
        return error
    raise AssertionError("unreachable")
