"""The part of the service that compares whole conversations: makes the sides, shows them, keeps verdicts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from picktune.comparisons import (
    Comparison,
    Judgement,
    Side,
    decision_of,
    opening_and_rest,
    order_of,
)
from picktune.errors import ComparisonNotFound, Conflict, EngineError, InvalidInput
from picktune.policy import Policy, arms_of
from picktune.records import AnnotatorRole, Arm, Conversation, Message, new_id
from picktune.slate import new_candidate_id
from picktune.tracing import provider_of

if TYPE_CHECKING:
    from picktune.engines.base import Engine
    from picktune.follower import Follower
    from picktune.late import ReadableLog
    from picktune.log.base import LogReader
    from picktune.settings import Settings
    from picktune.support import Support
    from picktune.tracing import Tracing

MOST_REPLIES = 20
ONE_EACH = Policy(name="whole", base=1, tuned=1)


class ComparisonService:
    """See ``Service``, which this is a part of."""

    if TYPE_CHECKING:
        settings: Settings
        tracing: Tracing
        log: ReadableLog
        engine: Engine
        rng: random.Random
        now: Callable[[], datetime]
        _follower: Follower
        check_engine: Callable[[], None]
        _ask: Callable[[Callable[[LogReader], Any]], Awaitable[Any]]

    async def compare_stored(
        self, conversation_ids: Sequence[str], *, id: str | None = None, title: str = ""
    ) -> Comparison:
        """A comparison of stored conversations as they stand; nobody knows which arm answered which.

        Raises ``ConversationNotFound``, and ``InvalidInput`` if they cannot be compared.
        """
        found: list[Conversation] = await self._ask(
            lambda reader: [reader.conversation(one) for one in conversation_ids]
        )
        if len(found) < 2:
            raise InvalidInput("name two conversations or more", field="conversation_ids")
        sides = [
            Side(id=new_candidate_id(self.rng), messages=one.messages, conversation_id=one.id)
            for one in found
        ]
        return await self._keep(
            sides, id=id, title=title or found[0].title, tags=found[0].tags, locale=found[0].locale
        )

    async def compare_given(
        self,
        sides: Sequence[tuple[Sequence[Message], str | None, str | None]],
        *,
        id: str | None = None,
        title: str = "",
        tags: Sequence[str] = (),
        locale: str = "en",
    ) -> Comparison:
        """A comparison of conversations from elsewhere: of each its messages, its arm and its model."""
        made = [
            Side(id=new_candidate_id(self.rng), messages=tuple(messages), arm=arm, model=model)
            for messages, arm, model in sides
        ]
        return await self._keep(made, id=id, title=title, tags=tags, locale=locale)

    async def play(self, conversation_id: str, *, id: str | None = None) -> Comparison:
        """A stored conversation answered anew from its first message, once wholly by each arm.

        The customer says the same in both, whatever is replied. Raises ``ConversationNotFound``, ``Conflict``
        if it is too long or both arms say the same throughout, and the engine's errors.
        """
        if id is not None:
            with suppress(ComparisonNotFound):
                return await self.comparison(id)  # the request was sent again
        conversation = await self._ask(lambda reader: reader.conversation(conversation_id))
        if not any(message.role == "user" for message in conversation.messages):
            raise Conflict(
                f"nobody asks anything in conversation {conversation_id!r}", field="conversation_id"
            )
        opening, rest = opening_and_rest(conversation.messages, conversation.pending)
        if len(rest) >= MOST_REPLIES:
            raise Conflict(
                f"conversation {conversation_id!r} wants over {MOST_REPLIES} replies; choose a shorter one",
                field="conversation_id",
            )
        self.check_engine()
        arms = [arm for arm, _ in arms_of(ONE_EACH, self._follower.aliases, self.settings.sampling)]
        told = await asyncio.gather(*(self._told(arm, opening, rest) for arm in arms))
        sides = [
            Side(
                id=new_candidate_id(self.rng),
                messages=messages,
                arm=arm.name,
                model=arm.model,
                conversation_id=conversation_id,
            )
            for arm, messages in zip(arms, told, strict=True)
        ]
        if len({side.messages for side in sides}) < len(sides):
            raise Conflict("both arms said the same throughout; there is nothing to compare")
        return await self._keep(
            sides, id=id, title=conversation.title, tags=conversation.tags, locale=conversation.locale
        )

    async def next_comparison(self, viewer: str) -> tuple[Comparison | None, tuple[str, ...], int]:
        """What the viewer should judge next, in the viewer's order and kept as shown; and how many wait."""
        comparison, left = await self._ask(lambda reader: reader.waiting_comparison(viewer))
        if comparison is None:
            return None, (), 0
        return comparison, await self.show_comparison(comparison, viewer), left

    async def show_comparison(self, comparison: Comparison, viewer: str) -> tuple[str, ...]:
        """Keep that the viewer sees it; the order of its sides."""
        order = order_of(comparison, viewer)
        return await self.log.expose_comparison(comparison.id, viewer, order, self.now())

    async def comparison(self, comparison_id: str) -> Comparison:
        """The comparison of that id; raises ``ComparisonNotFound``."""
        found: Comparison = await self._ask(lambda reader: reader.comparison(comparison_id))
        return found

    async def judge(self, judgement: Judgement) -> Judgement:
        """Keep a verdict; it is on disk when this returns. Raises what ``Log.judge`` raises."""
        if judgement.verdict == "undone" and self.settings.reveal:
            raise Conflict("judgements cannot be undone where arms are revealed", field="comparison_id")
        return await self.log.judge(judgement)

    async def comparison_supports(self) -> list[Support]:
        """The support rates of the judgements on whole conversations, which picks of replies never join."""
        roles, alpha, cap = self.settings.roles, self.settings.alpha, self.settings.annotator_cap

        def read(reader: LogReader) -> list[Support]:
            return supports_of_wholes(reader, roles, alpha=alpha, annotator_cap=cap)

        found: list[Support] = await self._ask(read)
        return found

    async def _told(self, arm: Arm, opening: Sequence[Message], rest: Sequence[str]) -> tuple[Message, ...]:
        messages = list(opening)
        speaker = self.tracing.speaker(
            self.engine, provider=provider_of(self.engine), base=self.engine.base_model
        )
        for then in (*rest, None):
            seed = self.rng.getrandbits(31)
            try:
                async with asyncio.timeout(self.settings.timeout):
                    (said, *_) = await speaker.generate(
                        tuple(messages), model=arm.model, n=1, sampling=arm.sampling, seed=seed
                    )
            except TimeoutError:
                raise EngineError(f"a reply took longer than {self.settings.timeout:g} s") from None
            if not said.text.strip():
                raise EngineError("a reply was empty; try again")
            messages.append(Message(role="assistant", content=said.text))
            if then is not None:
                messages.append(Message(role="user", content=then))
        return tuple(messages)

    async def _keep(
        self, sides: Sequence[Side], *, id: str | None, title: str, tags: Sequence[str], locale: str
    ) -> Comparison:
        comparison = Comparison(
            id=id or new_id(),
            title=title,
            sides=tuple(sides),
            tags=tuple(tags),
            locale=locale,
            seed=self.rng.getrandbits(63),
            created_at=self.now(),
        )
        if await self.log.add_comparison(comparison):
            return comparison
        return await self.comparison(comparison.id)


def supports_of_wholes(
    reader: LogReader, roles: Sequence[AnnotatorRole], *, alpha: float, annotator_cap: int
) -> list[Support]:
    """See ``comparison_supports``."""
    from picktune.support import compare

    found = (decision_of(one) for one in reader.judged(roles=roles))
    return compare([one for one in found if one is not None], alpha=alpha, annotator_cap=annotator_cap)
