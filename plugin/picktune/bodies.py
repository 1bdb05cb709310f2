"""What the JSON API takes and gives: strict records, for validation and for the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from picktune.records import (
    AnnotatorRole,
    ArmKind,
    Consent,
    Conversation,
    LongText,
    Message,
    Pick,
    ReactionValue,
    Record,
    ShortText,
    Slate,
    Tags,
)

Messages = Annotated[tuple[Message, ...], Meta(min_length=1, max_length=1000)]
Locale = Annotated[str, Meta(pattern=r"^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*$", max_length=35)]
Count = Annotated[int, Meta(ge=0, le=2**31)]


class DrawSlate(Record, frozen=True, kw_only=True):
    """A turn that wants candidates. With a ``viewer``, it is recorded that the slate is shown to that one."""

    messages: Messages
    conversation_id: ShortText | None = None
    user_ref: ShortText | None = None
    tags: Tags = ()
    locale: Locale = "en"
    policy: ShortText | None = None
    consent: Consent | None = None
    viewer: ShortText | None = None


class ShowSlate(Record, frozen=True, kw_only=True):
    """To whom a slate is shown; a browser session shows it to itself."""

    viewer: ShortText | None = None


class Decide(Record, frozen=True, kw_only=True):
    """A decision on a slate. ``key`` is yours: sending the same decision again under it changes nothing."""

    key: ShortText
    slate_id: ShortText
    verdict: Literal["chosen", "tie", "none_good", "skip"]
    candidate_id: ShortText | None = None
    edited_text: LongText | None = None
    reasons: Tags = ()
    comment: LongText | None = None
    annotator: ShortText | None = None
    role: AnnotatorRole | None = None
    dwell_ms: Count | None = None


class Undo(Record, frozen=True, kw_only=True):
    """Takes the annotator's standing decision on a slate back."""

    key: ShortText
    slate_id: ShortText
    annotator: ShortText | None = None
    role: AnnotatorRole | None = None


class React(Record, frozen=True, kw_only=True):
    """Thumbs up or down on one candidate; ``key`` as for a decision."""

    key: ShortText
    candidate_id: ShortText
    value: ReactionValue
    reasons: Tags = ()
    comment: LongText | None = None
    annotator: ShortText | None = None
    role: AnnotatorRole | None = None


class NewConversation(Record, frozen=True, kw_only=True):
    """A conversation for the workbench; ``pending`` are the customer's further messages, still to come."""

    id: ShortText | None = None
    title: ShortText
    locale: Locale = "en"
    scenario: ShortText | None = None
    tags: Tags = ()
    messages: Messages
    pending: Annotated[tuple[str, ...], Meta(max_length=1000)] = ()
    user_ref: ShortText | None = None
    consent: Consent | None = None


class AddConversations(Record, frozen=True, kw_only=True):
    """New conversations, all or none of which are kept."""

    conversations: Annotated[tuple[NewConversation, ...], Meta(min_length=1, max_length=1000)]


class SlateQuery(Record, frozen=True, kw_only=True):
    """In whose order the candidates stand."""

    viewer: ShortText | None = None


class ConversationQuery(Record, frozen=True, kw_only=True):
    """Which page of the conversations."""

    status: Literal["open", "closed", "all"] = "open"
    locale: Locale | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    offset: Count = 0


class CandidateView(Record, frozen=True, kw_only=True):
    """All that a viewer may know of a candidate before deciding."""

    id: str
    text: str


class ArmView(Record, frozen=True, kw_only=True):
    """Who said a candidate; only after the decision, and only where the installation reveals it."""

    arm: str
    kind: ArmKind
    model: str | None


class SlateView(Record, frozen=True, kw_only=True):
    """A slate as one viewer sees it. ``kept`` is false while the log cannot take it: then it is shown, but a
    decision on it is refused until the log is back.
    """

    id: str
    conversation_id: str
    candidates: tuple[CandidateView, ...]
    kept: bool | UnsetType = UNSET
    arms: dict[str, ArmView] | UnsetType = UNSET


class Decided(Pick, frozen=True, kw_only=True):
    """A decision as it stands; ``arms`` by candidate id only where the installation reveals them."""

    arms: dict[str, ArmView] | UnsetType = UNSET


class ConversationPage(Record, frozen=True, kw_only=True):
    """A page of conversations, and how many there are in all."""

    conversations: tuple[Conversation, ...]
    total: int


class ConversationsAdded(Record, frozen=True, kw_only=True):
    """How many of the conversations were new, and the ids of all that were sent."""

    added: int
    ids: tuple[str, ...]


class ErrorDetail(Record, frozen=True, kw_only=True):
    """``code`` is for programs and stays; ``message`` says what happened and what to do; ``field`` where."""

    code: str
    message: str
    field: str | None = None


class ErrorBody(Record, frozen=True, kw_only=True):
    """The one shape of every error."""

    error: ErrorDetail


def view_of(slate: Slate, order: tuple[str, ...]) -> SlateView:
    """The slate in that order of its candidates, without anything that tells the arms apart."""
    by_id = {candidate.id: candidate for candidate in slate.candidates}
    return SlateView(
        id=slate.id,
        conversation_id=slate.turn.conversation_id,
        candidates=tuple(CandidateView(id=one, text=by_id[one].text) for one in order),
    )


def arms_of(slate: Slate) -> dict[str, ArmView]:
    """Who said each candidate."""
    return {one.id: ArmView(arm=one.arm, kind=one.kind, model=one.model) for one in slate.candidates}
