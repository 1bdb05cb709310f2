"""Every record that flows through the house: immutable, validated on decoding, ids sortable by time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

import uuid_utils
from msgspec import Meta, Struct

Role = Literal["system", "user", "assistant", "tool"]
ArmKind = Literal["base", "champion", "challenger"]
Verdict = Literal["chosen", "tie", "none_good", "skip", "undone"]
AnnotatorRole = Literal["user", "agent", "expert", "crowd", "model"]
ReactionValue = Literal["up", "down"]
Consent = Literal["none", "log", "train"]
"""``none``: nothing is kept beyond the chat; ``log``: kept, never learned from; ``train``: learned from."""

ShortText = Annotated[str, Meta(min_length=1, max_length=200)]
LongText = Annotated[str, Meta(max_length=20_000)]
Tags = Annotated[tuple[ShortText, ...], Meta(max_length=50)]


def new_id() -> str:
    """A UUIDv7 as 32 hexadecimal digits: unique, and sortable by the time it was made."""
    return uuid_utils.uuid7().hex


def utc_now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


class Record(Struct, frozen=True, forbid_unknown_fields=True):
    """The base of all records; each says ``frozen`` and ``kw_only`` itself, for neither is passed on."""


class Message(Record, frozen=True, kw_only=True):
    """One message of a conversation, as in OpenAI's chat completions."""

    role: Role
    content: str


class Turn(Record, frozen=True, kw_only=True):
    """A chat turn that wants a reply: the messages so far, the last of which the model has to answer.

    ``consent`` is what the user agreed to; a turn without consent (``none``) is never in a log.
    """

    id: str
    conversation_id: str
    messages: tuple[Message, ...]
    user_ref: str | None = None
    tags: tuple[str, ...] = ()
    locale: str = "en"
    created_at: datetime
    consent: Consent = "train"


class Sampling(Record, frozen=True, kw_only=True):
    """How an arm samples: the parameters of OpenAI's chat completions of the same names."""

    temperature: Annotated[float, Meta(ge=0.0, le=2.0)] = 0.8
    top_p: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.95
    max_tokens: Annotated[int, Meta(ge=1, le=8192)] = 160
    stop: tuple[str, ...] = ()


class Arm(Record, frozen=True, kw_only=True):
    """Who speaks: a kind, the model name that the engine knows (``None`` is the base), and its sampling.

    ``name`` tells two arms of one slate apart; at cold start both are the base (an A/A comparison).
    """

    name: str
    kind: ArmKind
    model: str | None = None
    sampling: Sampling = Sampling()


class Candidate(Record, frozen=True, kw_only=True):
    """One reply of a slate.

    ``propensity`` is the probability, under the slate's policy, that this arm stands at this position.
    ``also`` names the other arms that said the same words. ``latency`` is in seconds.
    """

    id: str
    arm: str
    kind: ArmKind
    model: str | None
    text: str
    position: int
    propensity: float
    tokens: int
    latency: float
    finish_reason: str = "stop"
    also: tuple[str, ...] = ()


class Slate(Record, frozen=True, kw_only=True):
    """The candidates drawn for a turn, in the order in which they are shown.

    ``complete`` is false if an arm failed or was late: such a slate trains, but never counts for the
    support rate. ``failures`` says why, for the engineer; it never reaches a viewer.
    """

    id: str
    turn: Turn
    candidates: tuple[Candidate, ...]
    policy: str
    seed: int
    complete: bool
    failures: tuple[str, ...] = ()
    created_at: datetime


class Exposure(Record, frozen=True, kw_only=True):
    """A viewer has seen a slate, with its candidates in this order (candidate ids)."""

    slate_id: str
    viewer: str
    order: tuple[str, ...]
    shown_at: datetime


class Pick(Record, frozen=True, kw_only=True):
    """A decision on a slate. ``key`` is the client's own; sending it twice changes nothing.

    ``version`` counts the decisions of one annotator on one slate from 1; nothing is overwritten.
    ``edited_text`` is what was really sent where it is not the candidate itself: its edited form, or, with
    the verdict ``none_good``, a hand-written reply. With ``tie``, ``candidate_id`` is the reply that was
    sent; it is no preference. ``undone`` takes the standing decision back.
    """

    key: str
    slate_id: str
    verdict: Verdict
    candidate_id: str | None = None
    edited_text: str | None = None
    reasons: tuple[str, ...] = ()
    comment: str | None = None
    annotator: str
    role: AnnotatorRole = "agent"
    dwell_ms: int | None = None
    decided_at: datetime
    version: int = 1


class Reaction(Record, frozen=True, kw_only=True):
    """Thumbs up or down on one reply."""

    key: str
    candidate_id: str
    value: ReactionValue
    reasons: tuple[str, ...] = ()
    comment: str | None = None
    annotator: str
    role: AnnotatorRole = "user"
    reacted_at: datetime


class ChoiceSet(Record, frozen=True, kw_only=True):
    """One training example: what was picked (``chosen``, an index) out of the replies that were shown.

    ``replies`` stand in the order in which they were shown; ``weight`` is the annotator's.
    """

    slate_id: str
    conversation_id: str
    messages: tuple[Message, ...]
    replies: tuple[str, ...]
    chosen: int
    annotator: str
    role: AnnotatorRole
    tags: tuple[str, ...] = ()
    locale: str = "en"
    decided_at: datetime
    weight: float = 1.0


class Preference(Record, frozen=True, kw_only=True):
    """One pair: the reply that was picked, and one that was shown beside it and was not."""

    slate_id: str
    messages: tuple[Message, ...]
    chosen: str
    rejected: str


class Demonstration(Record, frozen=True, kw_only=True):
    """A reply as a person would have written it: an edit, or a hand-written reply."""

    slate_id: str
    messages: tuple[Message, ...]
    completion: str


class Decision(Record, frozen=True, kw_only=True):
    """A standing decision with what the support rate needs to know of its slate.

    ``arms`` are the arms behind the candidates in the order in which this annotator saw them, a candidate
    that two arms said counting for both; ``shown`` is how many candidates there were (by default, as many as
    arms) and ``position`` where the picked one stood among them, from 0. ``picked`` names the arms that said
    the picked words: more than one if both said the same. ``tuned`` is the arm beside the base (``base-b`` in
    an A/A comparison) and ``model`` the adapter that it served (``None`` for the base); both are ``None`` on
    an all-base slate. ``models`` and ``picked_models`` are what served ``arms`` and ``picked``, one each.
    ``scenario`` is the conversation's, if the log knows that one.
    """

    slate_id: str
    conversation_id: str
    annotator: str
    role: AnnotatorRole
    verdict: Verdict
    picked: tuple[str, ...] = ()
    position: int | None = None
    arms: tuple[str, ...]
    shown: int | None = None
    tuned: str | None
    model: str | None
    models: tuple[str | None, ...] = ()
    picked_models: tuple[str | None, ...] = ()
    complete: bool
    tags: tuple[str, ...] = ()
    locale: str = "en"
    scenario: str | None = None
    decided_at: datetime


class AliasesSeen(Record, frozen=True, kw_only=True):
    """What the aliases named from ``seen_at`` on."""

    champion: str | None
    challenger: str | None
    seen_at: datetime


class DecidedSlate(Record, frozen=True, kw_only=True):
    """A standing decision whole: the slate, how its annotator saw it, and what was decided.

    ``aliases`` are those in force when the slate was drawn, if any were recorded; ``reacted`` names the
    candidates to which the same annotator gave a thumb too.
    """

    slate: Slate
    exposure: Exposure
    pick: Pick
    aliases: AliasesSeen | None = None
    reacted: tuple[str, ...] = ()

    @property
    def shown(self) -> tuple[Candidate, ...]:
        """The candidates in the order in which the annotator saw them."""
        by_id = {one.id: one for one in self.slate.candidates}
        return tuple(by_id[one] for one in self.exposure.order)

    @property
    def picked(self) -> Candidate | None:
        """The candidate that the decision names: the picked one, or with a tie the one that was sent."""
        return next((one for one in self.slate.candidates if one.id == self.pick.candidate_id), None)


class ReactedReply(Record, frozen=True, kw_only=True):
    """An annotator's newest reaction to one reply, with the slate that holds it."""

    slate: Slate
    reaction: Reaction

    @property
    def candidate(self) -> Candidate:
        """The reply."""
        return next(one for one in self.slate.candidates if one.id == self.reaction.candidate_id)


class Selection(Record, frozen=True, kw_only=True):
    """Which decisions and reactions are wanted: at ``since`` or later, before ``until``, by these roles.

    ``tags``: those with at least one of them. ``locales``: those in one of them; ``zh`` is in ``zh-CN`` too.
    Whatever is left out selects everything.
    """

    since: datetime | None = None
    until: datetime | None = None
    roles: tuple[AnnotatorRole, ...] | None = None
    tags: tuple[str, ...] = ()
    locales: tuple[str, ...] = ()


class Conversation(Record, frozen=True, kw_only=True):
    """A conversation on the workbench; ``pending`` are the customer's further messages, still to come.

    ``user_ref`` is whose it is, and ``consent`` what that user agreed to for what is drawn in it.
    """

    id: str
    title: str
    locale: str = "en"
    scenario: str | None = None
    tags: tuple[str, ...] = ()
    messages: tuple[Message, ...] = ()
    pending: tuple[str, ...] = ()
    status: Literal["open", "closed"] = "open"
    source: str = "api"
    created_at: datetime
    updated_at: datetime
    user_ref: str | None = None
    consent: Consent = "train"
