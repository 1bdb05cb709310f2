"""What a log is: where slates, exposures, picks and reactions are kept for good."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal, Protocol

from picktune_adapters import AdapterVersion, Aliases

from picktune.log.gating import GateReader
from picktune.log.news import Mark, Withdrawn
from picktune.log.signal_log import SignalLog, SignalLogReader
from picktune.records import (
    AnnotatorRole,
    ChoiceSet,
    Consent,
    Conversation,
    DecidedSlate,
    Decision,
    Demonstration,
    Exposure,
    Pick,
    Preference,
    ReactedReply,
    Reaction,
    Selection,
    Slate,
)

ConsentScope = Literal["user", "conversation"]


class LogReader(SignalLogReader, GateReader, Protocol):
    """Reads a log, from any process, while another writes it. Blocking; a reader belongs to one thread."""

    def slate(self, slate_id: str) -> Slate:
        """The slate of that id; raises ``SlateNotFound``."""
        ...

    def slate_of_candidate(self, candidate_id: str) -> Slate:
        """The slate that holds the candidate; raises ``CandidateNotFound``."""
        ...

    def waiting_slate(self, conversation_id: str, *, viewer: str | None = None) -> Slate | None:
        """The newest slate drawn for the conversation as it stands that nobody has decided on yet.

        With a ``viewer``, only one that was shown to that viewer or to nobody. A slate drawn for an earlier
        state of the conversation is never returned.
        """
        ...

    def exposures(self, slate_id: str) -> list[Exposure]:
        """Who has seen the slate, and in which order."""
        ...

    def picks(self, slate_id: str, annotator: str | None = None) -> list[Pick]:
        """All versions of all decisions on the slate, oldest first."""
        ...

    def reactions(self, slate_id: str) -> list[Reaction]:
        """All reactions to the replies of the slate, oldest first."""
        ...

    def conversation(self, conversation_id: str) -> Conversation:
        """The conversation with the replies sent so far; raises ``ConversationNotFound``."""
        ...

    def conversations(
        self, *, status: str | None = "open", locale: str | None = None, limit: int = 50, offset: int = 0
    ) -> list[Conversation]:
        """A page of the conversations, the oldest update first."""
        ...

    def count_conversations(self, *, status: str | None = "open", locale: str | None = None) -> int:
        """How many there are."""
        ...

    def decisions(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        roles: Sequence[AnnotatorRole] | None = None,
    ) -> Iterator[Decision]:
        """The standing decisions, by time: each annotator's newest on each slate, if it is not undone."""
        ...

    def news(
        self, after: Mark | None, *, since: datetime | None = None
    ) -> Iterator[Mark | Withdrawn | Decision]:
        """What has come to the standing decisions since the mark, for a copy of them that is kept.

        First comes the mark for the next call, then what no longer stands, then the new standing decisions,
        in no order. Without a mark, or if the mark is of an older revision, it begins anew (``Mark.fresh``).
        Decisions before ``since`` are left out.
        """
        ...

    def choice_sets(
        self, *, until: datetime | None = None, roles: Sequence[AnnotatorRole] | None = None
    ) -> Iterator[ChoiceSet]:
        """What was picked out of what was shown, by time: one for each standing ``chosen`` on two or more."""
        ...

    def preferences(
        self, *, until: datetime | None = None, roles: Sequence[AnnotatorRole] | None = None
    ) -> Iterator[Preference]:
        """The choice sets as pairs: the picked reply with each other reply that stood beside it."""
        ...

    def demonstrations(
        self, *, until: datetime | None = None, roles: Sequence[AnnotatorRole] | None = None
    ) -> Iterator[Demonstration]:
        """Edited and hand-written replies, by time."""
        ...

    def decided_slates(self, selection: Selection) -> Iterator[DecidedSlate]:
        """The standing decisions that are selected, by time, each with its slate and how it was seen."""
        ...

    def reacted_replies(self, selection: Selection) -> Iterator[ReactedReply]:
        """Of those selected, each annotator's newest reaction to each reply, in the order of their coming."""
        ...

    def count_selected(self, selection: Selection) -> tuple[int, int]:
        """How many decisions and how many reactions that gives."""
        ...

    def standing_consent_at_once(self, user_ref: str | None, conversation_id: str | None) -> Consent | None:
        """The same as ``standing_consent``, or ``None`` if to know it could take a moment."""
        ...

    def standing_consent(self, user_ref: str | None, conversation_id: str | None) -> Consent:
        """What the user, and the conversation, agreed to for all that comes: the least of the two."""
        ...

    def counts(self) -> dict[str, int]:
        """How many rows of each kind there are, by table."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class Log(SignalLog, Protocol):
    """Writes a log; whatever a coroutine here has returned from is on disk.

    Every method raises ``LogUnavailable`` if the file cannot be written, and then nothing of it was.
    """

    async def add_slate(self, slate: Slate, exposure: Exposure | None = None) -> None:
        """Keep a slate with its turn and candidates, and, if it comes along, that it was shown to somebody.

        The same slate again changes nothing.
        """
        ...

    async def add_exposure(self, exposure: Exposure) -> Exposure:
        """Keep that a viewer saw a slate; the first exposure of a viewer to a slate stands and is returned.

        Raises ``SlateNotFound``, and ``InvalidInput`` if the order is not one of the slate's candidates.
        """
        ...

    async def record(self, pick: Pick) -> Pick:
        """Keep a decision and return it as it stands, with its version; the same key again changes nothing.

        If the slate belongs to a stored conversation and the decision sends a reply, the reply joins the
        conversation and the customer's next pending message follows it, in the same transaction; the
        conversation closes when none is pending. ``undone`` takes that back.

        Raises ``SlateNotFound``; ``CandidateNotFound`` for one that is not on the slate; ``NotShown`` if the
        annotator never saw it; ``AlreadyDecided`` if a decision of the annotator stands; ``KeyReused`` if the
        key belongs to a different decision; ``Conflict`` if there is nothing to undo, or if the conversation
        has moved on since; ``InvalidInput`` if the verdict and the fields contradict each other (``chosen``
        without a candidate; ``none_good``, ``skip`` or ``undone`` with one).
        """
        ...

    async def add_decided(self, decided_slate: DecidedSlate) -> bool:
        """Keep a decision that was taken elsewhere, with its slate; whether it is new. It sends nothing.

        The same decision again changes nothing. Raises ``InvalidInput`` if it cannot be stored, and
        ``Conflict`` (``AlreadyDecided``, ``KeyReused``) if it contradicts what is in the log.
        """
        ...

    async def react(self, reaction: Reaction) -> Reaction:
        """Keep a reaction; the same key again changes nothing.

        Raises ``CandidateNotFound`` and ``KeyReused``.
        """
        ...

    async def add_conversations(self, conversations: Sequence[Conversation]) -> int:
        """Keep new conversations and return how many were; those that are there already stay as they are."""
        ...

    async def set_consent(self, scope: ConsentScope, ref: str, level: Consent, at: datetime) -> int:
        """Keep what a user, or a conversation's, agrees to from now on; how many earlier turns that touches.

        Less than ``train`` keeps all earlier turns out of the training too; ``train`` lets none of them in
        again. Raises ``InvalidInput`` for an empty ``ref``.
        """
        ...

    async def saw_adapter(self, version: AdapterVersion, at: datetime) -> None:
        """Keep that an adapter version was put into service."""
        ...

    async def saw_aliases(self, aliases: Aliases, at: datetime) -> None:
        """Keep which adapters the aliases named from this moment on; unchanged aliases add nothing."""
        ...

    async def check(self) -> None:
        """Raise ``LogUnavailable`` unless a write would succeed now."""
        ...

    async def close(self) -> None:
        """Finish what is queued, then let go of the file. Safe to call twice."""
        ...
