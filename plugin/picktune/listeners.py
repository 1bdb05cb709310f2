"""Who in the host application wants to know of decisions: told when they are on disk, and in nobody's way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from picktune.records import Pick, Record, Slate

if TYPE_CHECKING:
    from picktune.service import Service

logger = logging.getLogger("picktune")

CLOSING = 10.0


class Decided(Record, frozen=True, kw_only=True):
    """A decision that is on disk. ``reply`` is what goes to the customer: the picked or the edited words.

    It is ``None`` for a skip, a tie and "none good" without a reply of one's own, and for a decision taken
    back: then whatever was sent for the one before is the application's to withdraw.
    """

    pick: Pick
    conversation_id: str
    user_ref: str | None
    reply: str | None


Listener = Callable[[Decided], Awaitable[None]]


class Listeners:
    """Calls each listener once for each new decision. One that fails is noted, and disturbs nobody."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._listeners: list[Listener] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, listener: Listener) -> None:
        """Tell this one as well, from now on."""
        self._listeners.append(listener)

    def tell(self, pick: Pick) -> None:
        """Tell all of them, in the background."""
        if self._listeners:
            task = asyncio.create_task(self._tell(pick))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Let what has begun end; what takes more than ten seconds is called off."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=CLOSING)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _tell(self, pick: Pick) -> None:
        about = {"slate_id": pick.slate_id}
        try:
            slate = await self._service.slate(pick.slate_id)
            versions = await self._service.picks_as_said(slate, pick.annotator)
            said = next((one for one in versions if one.key == pick.key), pick)
        except Exception:
            logger.exception("nobody was told of a decision, whose slate cannot be read", extra=about)
            return
        decided = Decided(
            pick=said,
            conversation_id=slate.turn.conversation_id,
            user_ref=slate.turn.user_ref,
            reply=_reply(said, slate),
        )
        for listener in self._listeners:
            try:
                await listener(decided)
            except Exception:
                logger.exception("a listener failed at a decision; the decision stands", extra=about)


def _reply(pick: Pick, slate: Slate) -> str | None:
    if pick.verdict in ("skip", "undone"):
        return None
    if pick.edited_text or pick.verdict != "chosen":
        return pick.edited_text or None
    return next((one.text for one in slate.candidates if one.id == pick.candidate_id), None)
