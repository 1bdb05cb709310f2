"""What the service does about privacy: whose consent counts; what the model, the log and people see."""

from __future__ import annotations

import logging
from collections import OrderedDict

from anyio import to_thread
from msgspec import structs

from picktune.errors import ConversationNotFound, LogUnavailable, NotKept, RedactionFailed
from picktune.late import LateLog, ReadableLog
from picktune.log.privacy import lowest
from picktune.records import Consent, Conversation, Slate, Turn
from picktune.redaction.log import RedactingLog, kept_form, withheld
from picktune.redaction.redaction import WITHHELD, Redaction

logger = logging.getLogger("picktune")

HELD = 1000
"""How many slates that nothing is kept of can be shown again before the oldest is dropped."""


class Privacy:
    """Between the service and its log; without a ``redaction`` everything is stored as it was said."""

    def __init__(self, log: ReadableLog, redaction: Redaction | None, usual: Consent) -> None:
        self.redaction = redaction
        self.log: ReadableLog = log if redaction is None else RedactingLog(log, redaction)
        self._inner = log
        self.usual = usual
        self._withheld: set[str] = set()
        self._unkept: OrderedDict[str, Slate] = OrderedDict()
        self._unkept_for: dict[str, set[str]] = {}

    async def consent(
        self, asked: Consent | None, user_ref: str | None, conversation_id: str | None
    ) -> Consent:
        """What may be done with a new turn: the least of what is asked, and of what was said before.

        While the log cannot be read, nobody knows what was said before: then nothing is learned from it.
        """
        level = asked or self.usual
        if user_ref is None and conversation_id is None:
            return level
        return lowest(level, await self._standing(user_ref, conversation_id))

    async def _standing(self, user_ref: str | None, conversation_id: str | None) -> Consent:
        try:
            if not isinstance(self._inner, LateLog) or self._inner.is_open:
                known = self._inner.reader.standing_consent_at_once(user_ref, conversation_id)
                if known is not None:
                    return known
            return await to_thread.run_sync(
                lambda: self._inner.reader.standing_consent(user_ref, conversation_id)
            )
        except LogUnavailable:
            return "log"

    async def redacted(self, turn: Turn) -> Turn:
        """The turn as the model and the log see it; if that fails, as the model sees it, and not the log."""
        redaction = self.redaction
        if redaction is None or turn.consent == "none":
            return turn

        def work() -> Turn:
            try:
                stored = self._inner.reader.conversation(turn.conversation_id)
                redaction.remember(stored.id, stored.messages)
            except (ConversationNotFound, LogUnavailable):
                pass
            return structs.replace(turn, messages=redaction.messages(turn.conversation_id, turn.messages))

        try:
            return await to_thread.run_sync(work)
        except RedactionFailed as error:
            logger.error("the words of a turn are withheld from the log: %s", error)
            self._withheld.add(turn.id)
            return turn

    async def kept_form(self, slate: Slate) -> Slate:
        """A slate that was drawn for a ``redacted`` turn, as it is stored."""
        redaction = self.redaction
        if slate.turn.id in self._withheld:
            self._withheld.discard(slate.turn.id)
            return withheld(slate)
        if redaction is None:
            return slate
        return await to_thread.run_sync(lambda: kept_form(redaction, slate, turn=False))

    async def shown(self, stored: Slate, drawn: Slate | None = None) -> Slate:
        """A stored slate as people see it; one whose words were withheld as it was ``drawn``."""
        redaction = self.redaction
        if redaction is None:
            return stored
        if drawn is not None and any(one.text == WITHHELD for one in stored.candidates):
            return structs.replace(drawn, turn=structs.replace(drawn.turn, consent=stored.turn.consent))
        try:
            restored = await to_thread.run_sync(lambda: redaction.restore_slate(stored))
        except RedactionFailed as error:
            logger.error("a slate is shown with placeholders: %s", error, extra={"slate_id": stored.id})
            return stored
        return restored

    async def conversation(self, stored: Conversation) -> Conversation:
        """A stored conversation as people see it."""
        return (await self.conversations([stored]))[0]

    async def conversations(self, stored: list[Conversation]) -> list[Conversation]:
        """Stored conversations as people see them."""
        redaction = self.redaction
        if redaction is None:
            return stored
        try:
            return await to_thread.run_sync(lambda: [redaction.restore_conversation(one) for one in stored])
        except RedactionFailed as error:
            logger.error("conversations are shown with placeholders: %s", error)
            return stored

    # Slates without consent

    def hold(self, slate: Slate) -> None:
        """Remember, in memory only, a slate that nothing is kept of."""
        self._unkept[slate.id] = slate
        while len(self._unkept) > HELD:
            oldest, _ = self._unkept.popitem(last=False)
            self._unkept_for.pop(oldest, None)

    def held(self, slate_id: str) -> Slate | None:
        """Such a slate, if it is still remembered."""
        return self._unkept.get(slate_id)

    def held_for(self, slate_id: str, viewer: str) -> None:
        """Remember to whom such a slate was shown."""
        self._unkept_for.setdefault(slate_id, set()).add(viewer)

    def held_viewers(self, slate_id: str) -> set[str]:
        """To whom such a slate was shown."""
        return set(self._unkept_for.get(slate_id, ()))

    def check_kept(self, slate_id: str) -> None:
        """Raise ``NotKept`` for such a slate."""
        if slate_id in self._unkept:
            raise NotKept(slate_id)

    def check_candidate_kept(self, candidate_id: str) -> None:
        """Raise ``NotKept`` for a reply on such a slate."""
        for slate in self._unkept.values():
            if any(one.id == candidate_id for one in slate.candidates):
                raise NotKept(slate.id)
