"""A log in front of another: what comes in is redacted before the other sees it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TypeVar

from anyio import to_thread
from msgspec import structs

from picktune.comparisons import Comparison, Judgement
from picktune.errors import PicktuneError, RedactionFailed
from picktune.late import LateLog, ReadableLog
from picktune.records import Conversation, DecidedSlate, Exposure, Pick, Reaction, Slate
from picktune.redaction.redaction import WITHHELD, Redaction
from picktune.signals import Score

logger = logging.getLogger("picktune")

SaidT = TypeVar("SaidT", Pick, Reaction)


class RedactingLog(LateLog):
    """A ``ReadableLog`` whose reader gives what is stored, which is redacted; what a call returns is not.

    Where redaction fails, the words of slates, decisions and reactions are withheld (``[WITHHELD]``) and the
    rest is kept; conversations and imported decisions are refused with ``RedactionFailed``.
    """

    def __init__(self, inner: ReadableLog, redaction: Redaction) -> None:
        super().__init__(lambda: inner)
        self.open()
        self._redaction = redaction

    async def add_slate(self, slate: Slate, exposure: Exposure | None = None) -> None:
        """See ``Log``."""
        await super().add_slate(await to_thread.run_sync(lambda: kept_form(self._redaction, slate)), exposure)

    async def record(self, pick: Pick) -> Pick:
        """See ``Log``."""
        if pick.edited_text is None and pick.comment is None and not pick.reasons:
            return await super().record(pick)
        stored = await to_thread.run_sync(lambda: self._said(pick, self._conversation(pick.slate_id)))
        kept = await super().record(stored)
        if kept.version == stored.version or kept.key == pick.key:
            return structs.replace(
                kept, edited_text=pick.edited_text, comment=pick.comment, reasons=pick.reasons
            )
        return kept

    async def react(self, reaction: Reaction) -> Reaction:
        """See ``Log``."""
        if reaction.comment is None and not reaction.reasons:
            return await super().react(reaction)

        def work() -> Reaction:
            slate = self.reader.slate_of_candidate(reaction.candidate_id)
            return self._said(reaction, slate.turn.conversation_id)

        kept = await super().react(await to_thread.run_sync(work))
        return structs.replace(kept, comment=reaction.comment, reasons=reaction.reasons)

    async def score(self, score: Score) -> Score:
        """See ``Log``."""
        if score.comment is None:
            return await super().score(score)

        def work() -> Score:
            slate = self.reader.slate_of_candidate(score.candidate_id)
            (comment,) = self._words(slate.turn.conversation_id, [score.comment or ""])
            return structs.replace(score, comment=comment)

        kept = await super().score(await to_thread.run_sync(work))
        return structs.replace(kept, comment=score.comment)

    async def add_comparison(self, comparison: Comparison) -> bool:
        """See ``Log``; raises ``RedactionFailed``. Placeholders in it are those of stored conversations."""

        def work() -> Comparison:
            sides = tuple(
                structs.replace(
                    side,
                    messages=self._redaction.messages(
                        side.conversation_id or comparison.id, side.messages, placeholders=True
                    ),
                )
                for side in comparison.sides
            )
            title = self._redaction.text(comparison.id, comparison.title, placeholders=True)
            return structs.replace(comparison, sides=sides, title=title)

        return await super().add_comparison(await to_thread.run_sync(work))

    async def judge(self, judgement: Judgement) -> Judgement:
        """See ``Log``."""
        if judgement.comment is None and not judgement.reasons:
            return await super().judge(judgement)

        def work() -> Judgement:
            said = [] if judgement.comment is None else [judgement.comment]
            texts = [*judgement.reasons, *said]
            done = self._words(judgement.comparison_id, texts)
            count = len(judgement.reasons)
            comment = None if judgement.comment is None else done[count]
            return structs.replace(judgement, reasons=tuple(done[:count]), comment=comment)

        kept = await super().judge(await to_thread.run_sync(work))
        return structs.replace(kept, reasons=judgement.reasons, comment=judgement.comment)

    async def add_conversations(self, conversations: Sequence[Conversation]) -> int:
        """See ``Log``; raises ``RedactionFailed``, and then none is kept."""
        redacted = await to_thread.run_sync(lambda: [self._conversation_form(one) for one in conversations])
        return await super().add_conversations(redacted)

    async def add_decided(self, decided_slate: DecidedSlate) -> bool:
        """See ``Log``; raises ``RedactionFailed``. Placeholders in it are those of the log it comes from."""
        return await super().add_decided(await to_thread.run_sync(lambda: self._decided_form(decided_slate)))

    def _conversation(self, slate_id: str) -> str:
        return self.reader.slate(slate_id).turn.conversation_id

    def _said(self, said: SaidT, conversation_id: str) -> SaidT:
        edited = said.edited_text if isinstance(said, Pick) else None
        texts = [text for text in (edited, said.comment, *said.reasons) if text is not None]
        done = iter(self._words(conversation_id, texts))
        changes: dict[str, object] = {}
        if edited is not None:
            changes["edited_text"] = next(done)
        changes["comment"] = None if said.comment is None else next(done)
        changes["reasons"] = tuple(done)
        return structs.replace(said, **changes)

    def _words(self, conversation_id: str, texts: Sequence[str]) -> list[str]:
        try:
            return self._redaction.texts(conversation_id, texts)
        except RedactionFailed as error:
            logger.error("the words of a decision are withheld: %s", error)
            return [WITHHELD] * len(texts)

    def _conversation_form(self, one: Conversation) -> Conversation:
        spoken = [message.content for message in one.messages]
        texts = self._redaction.texts(one.id, [*spoken, *one.pending])
        messages = tuple(
            structs.replace(message, content=text) for message, text in zip(one.messages, texts, strict=False)
        )
        return structs.replace(
            one,
            messages=messages,
            pending=tuple(texts[len(spoken) :]),
            title=self._redaction.text(one.id, one.title),
            scenario=self._redaction.text(one.id, one.scenario),
        )

    def _decided_form(self, one: DecidedSlate) -> DecidedSlate:
        try:
            stored = self.reader.slate(one.slate.id)
        except PicktuneError:
            stored = None
        conversation_id = one.slate.turn.conversation_id
        known = stored is not None and stored.turn.messages == one.slate.turn.messages
        slate = one.slate if known else self._redaction.slate(one.slate, placeholders=True)
        pick = structs.replace(
            one.pick,
            edited_text=self._redaction.text(conversation_id, one.pick.edited_text, placeholders=True),
            comment=self._redaction.text(conversation_id, one.pick.comment, placeholders=True),
            reasons=tuple(self._redaction.texts(conversation_id, one.pick.reasons, placeholders=True)),
        )
        return structs.replace(one, slate=slate, pick=pick)


def kept_form(redaction: Redaction, slate: Slate, *, turn: bool = True) -> Slate:
    """The slate as it is stored: redacted, or, if that fails, without a word and out of the training."""
    try:
        return redaction.slate(slate, turn=turn)
    except RedactionFailed as error:
        logger.error("the words of a slate are withheld: %s", error, extra={"slate_id": slate.id})
        return withheld(slate)


def withheld(slate: Slate) -> Slate:
    """The slate without its words, which nobody can then learn from."""
    messages = tuple(structs.replace(one, content=WITHHELD) for one in slate.turn.messages)
    consent = "log" if slate.turn.consent == "train" else slate.turn.consent
    return structs.replace(
        slate,
        turn=structs.replace(slate.turn, messages=messages, consent=consent),
        candidates=tuple(structs.replace(one, text=WITHHELD) for one in slate.candidates),
    )
