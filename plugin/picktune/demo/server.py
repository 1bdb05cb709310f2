"""What the demonstration asks the running server: whether it is ready, who speaks, and the support rate."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import httpx
import msgspec
from msgspec import structs

from picktune.bodies import AddConversations, NewConversation
from picktune.demo.plan import Plan
from picktune.demo.processes import DemoFailed, check_alive, serving, tail
from picktune.health import Readiness
from picktune.keys import KeyRing
from picktune.records import Conversation, new_id, utc_now
from picktune.support import Support
from picktune.supportview import SupportAnswer

STARTS_WITHIN = 600.0
FOLLOWS_WITHIN = 120.0


class Server:
    """The running server of one demonstration, with a client that has a key to its API."""

    def __init__(self, plan: Plan, process: Process, client: httpx.AsyncClient) -> None:
        self.client = client
        self._plan = plan
        self._process = process

    async def until_ready(self) -> None:
        """Wait until a slate could be drawn; raises ``DemoFailed`` with the reason and the server's log."""
        await self._until(lambda now: now.ready, STARTS_WITHIN, "the server is not ready")

    async def until_speaks(self, adapter: str) -> None:
        """Wait until the adapter is the challenger in the slates; raises ``DemoFailed``."""
        await self._until(
            lambda now: now.adapters.challenger == adapter,
            FOLLOWS_WITHIN,
            f"the server has not taken up {adapter}",
        )

    async def supports(self) -> dict[str | None, Support]:
        """The support rates by adapter; under ``None``, the base's against itself."""
        response = await self.client.get("/support")
        if not response.is_success:
            raise DemoFailed(f"GET /support was answered with {response.status_code}: {response.text[:200]}")
        answer = msgspec.json.decode(response.content, type=SupportAnswer)
        return {support.model: support for support in answer.supports}

    async def add(self, conversations: Sequence[Conversation]) -> None:
        """Put conversations on the workbench; those that are there already stay as they are."""
        body = AddConversations(conversations=tuple(_as_new(one) for one in conversations))
        response = await self.client.post("/conversations", content=msgspec.json.encode(body))
        if not response.is_success:
            raise DemoFailed(f"the sample tickets were refused: {response.text[:200]}")

    def check_alive(self) -> None:
        """Raise ``DemoFailed`` if the server has ended."""
        check_alive(self._process, self._plan.log)

    async def failed(self, error: Exception) -> DemoFailed:
        """What to raise for an error of the server: with its end, if it has ended, and its last words."""
        await asyncio.sleep(0.5)  # an end is noticed a moment after its connections break
        self.check_alive()
        return DemoFailed(f"{str(error) or type(error).__name__}; {tail(self._plan.log)}")

    async def _until(self, true: Callable[[Readiness], bool], within: float, problem: str) -> None:
        said = "no answer"
        try:
            async with asyncio.timeout(within):
                while True:
                    self.check_alive()
                    try:
                        response = await self.client.get(f"{self._plan.url}/readyz", timeout=10.0)
                        now = msgspec.json.decode(response.content, type=Readiness)
                    except (httpx.TransportError, msgspec.DecodeError) as error:
                        said = str(error) or type(error).__name__
                    else:
                        if true(now):
                            return
                        said = "; ".join(reasons(now)) or "no reason given"
                    await asyncio.sleep(0.3)
        except TimeoutError:
            raise DemoFailed(f"{problem} after {within:.0f} s ({said}); {tail(self._plan.log)}") from None


def reasons(now: Readiness) -> list[str]:
    """Why the server is not ready, and why adapters do not speak."""
    checks = (now.engine, now.log, now.registry)
    return [check.reason for check in checks if check.reason] + [
        f"{name}: {problem}" for name, problem in now.problems.items()
    ]


def _as_new(conversation: Conversation) -> NewConversation:
    taken = NewConversation.__struct_fields__
    return NewConversation(**{k: v for k, v in structs.asdict(conversation).items() if k in taken})


@asynccontextmanager
async def running(plan: Plan) -> AsyncIterator[Server]:
    """Start the server of a demonstration, with a key that is revoked when it is stopped."""
    ring, name = KeyRing(plan.home / "keys.json"), f"demo-{new_id()[-8:]}"
    key, _ = ring.create(name, ["slate", "pick", "read"], now=utc_now())
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        async with (
            serving(plan.config, plan.log) as process,
            httpx.AsyncClient(
                base_url=f"{plan.url}/v1", headers=headers, timeout=httpx.Timeout(900.0), trust_env=False
            ) as client,
        ):
            yield Server(plan, process, client)
    finally:
        ring.revoke(name, now=utc_now())
