"""The part of the service that keeps signals and scores, and draws other replies when somebody asks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from picktune.campaigns import TAG, without_reserved
from picktune.errors import Conflict, ConversationNotFound, InvalidInput, NotShown
from picktune.log.conversations import same_state
from picktune.policy import POLICIES
from picktune.records import AnnotatorRole, Slate
from picktune.signals import Noticed, Regenerated, Scale, Score, Signal, parse_scale

if TYPE_CHECKING:
    from picktune.keeper import Keeper
    from picktune.late import ReadableLog
    from picktune.log.base import LogReader
    from picktune.settings import Settings

T = TypeVar("T")


class SignalService:
    """See ``Service``, which this is a part of."""

    if TYPE_CHECKING:
        settings: Settings
        log: ReadableLog
        now: Callable[[], datetime]
        _keeper: Keeper
        _drawing: dict[str, asyncio.Task[Slate]]
        _ask: Callable[[Callable[[LogReader], Any]], Awaitable[Any]]
        _drawn: Callable[[str, asyncio.Task[Slate]], None]
        draw: Callable[..., Awaitable[Slate]]
        slate: Callable[[str], Awaitable[Slate]]
        stored_slate: Callable[[str], Awaitable[Slate]]

    async def note(
        self,
        slate_id: str,
        noticed: Sequence[tuple[str, Noticed]],
        *,
        annotator: str,
        role: AnnotatorRole = "user",
    ) -> list[Signal]:
        """Keep what somebody did with a slate, each under a key; on disk when this returns.

        Raises what ``Log.note`` raises.
        """
        now = self.now()
        await self._keeper.flush()
        return await self.log.note(
            [
                Signal(key=key, slate_id=slate_id, detail=one, annotator=annotator, role=role, noted_at=now)
                for key, one in noticed
            ]
        )

    def scales(self) -> tuple[Scale, ...]:
        """The scales on which experts give scores here."""
        return tuple(parse_scale(text) for text in self.settings.scales)

    async def score(
        self,
        candidate_id: str,
        value: int,
        *,
        scale: str,
        annotator: str,
        role: AnnotatorRole = "expert",
        key: str,
        comment: str | None = None,
    ) -> Score:
        """Keep an expert's mark; it is on disk when this returns. Raises what ``Log.score`` raises."""
        known = {one.name: one for one in self.scales()}
        if scale not in known:
            known |= await self._ask(lambda reader: _campaign_scales(reader, candidate_id))
        if scale not in known:
            raise InvalidInput(
                f"no scale named {scale!r}; known: {', '.join(known) or 'none; see the setting scales'}",
                field="scale",
            )
        await self._keeper.flush()
        return await self.log.score(
            Score(
                key=key,
                candidate_id=candidate_id,
                scale=scale,
                value=value,
                low=known[scale].low,
                high=known[scale].high,
                comment=comment,
                annotator=annotator,
                role=role,
                scored_at=self.now(),
            )
        )

    async def regenerate(
        self, slate_id: str, *, annotator: str, role: AnnotatorRole = "user", key: str
    ) -> Slate:
        """Other replies to the turn of a slate that the annotator has seen and not decided on.

        The slate that they replace stays in the log, linked to the new one, and is offered no more. The same
        key brings the same slate. Raises ``SlateNotFound``, ``NotShown``, ``Conflict`` if the annotator has
        decided or the conversation has moved on, and what ``draw`` raises.
        """
        mark = "\0".join(("regenerate", slate_id, annotator, key))
        task = self._drawing.get(mark)
        if task is None:
            task = asyncio.create_task(self._regenerate(slate_id, annotator, role, key))
            self._drawing[mark] = task
            task.add_done_callback(lambda done: self._drawn(mark, done))
        return await asyncio.shield(task)

    async def _regenerate(self, slate_id: str, annotator: str, role: AnnotatorRole, key: str) -> Slate:
        await self._keeper.flush()
        slate = await self.stored_slate(slate_id)
        earlier = await self._ask(lambda reader: _earlier(reader, slate, annotator, key))
        if earlier is not None:
            return await self.slate(earlier)
        turn = slate.turn
        drawn = await self.draw(
            turn.messages,
            conversation_id=turn.conversation_id,
            user_ref=turn.user_ref,
            tags=without_reserved(turn.tags),
            campaign=next((tag.removeprefix(TAG) for tag in turn.tags if tag.startswith(TAG)), None),
            locale=turn.locale,
            policy=slate.policy if slate.policy in POLICIES else None,
            consent=turn.consent,
            redacted=True,
        )
        await self._keeper.flush()
        signal = Signal(
            key=key,
            slate_id=slate_id,
            detail=Regenerated(successor=drawn.id),
            annotator=annotator,
            role=role,
            noted_at=self.now(),
        )
        (kept,) = await self.log.note([signal])
        # Another process may have drawn under the same key meanwhile: the first one stands.
        if isinstance(kept.detail, Regenerated) and kept.detail.successor != drawn.id:
            return await self.slate(kept.detail.successor)
        return drawn


def _earlier(reader: LogReader, slate: Slate, annotator: str, key: str) -> str | None:
    """The slate that was drawn under the key before, if there is one; else whether one may be drawn."""
    for signal in reader.signals(slate.id, kind="regenerated"):
        if (signal.annotator, signal.key) == (annotator, key) and isinstance(signal.detail, Regenerated):
            return signal.detail.successor
    if not any(one.viewer == annotator for one in reader.exposures(slate.id)):
        raise NotShown(slate.id, annotator)
    picks = reader.picks(slate.id, annotator)
    if picks and picks[-1].verdict != "undone":
        raise Conflict(
            f"{annotator!r} has decided on slate {slate.id!r}; undo that before drawing others",
            field="slate_id",
        )
    with contextlib.suppress(ConversationNotFound):
        conversation = reader.conversation(slate.turn.conversation_id)
        if conversation.status == "closed" or not same_state(conversation.messages, slate.turn.messages):
            raise Conflict(
                f"conversation {conversation.id!r} has moved on since slate {slate.id!r} was drawn; open it "
                f"again",
                field="slate_id",
            )
    return None


def _campaign_scales(reader: LogReader, candidate_id: str) -> dict[str, Scale]:
    """The scales of the campaigns under which the reply was drawn."""
    tags = reader.slate_of_candidate(candidate_id).turn.tags
    names = {tag.removeprefix(TAG) for tag in tags if tag.startswith(TAG)}
    return {one.scale.name: one.scale for one in reader.campaigns() if one.name in names and one.scale}
