"""Addresses of the JSON API for comparisons of whole conversations."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from picktune.api import DRAW, endpoint
from picktune.belonging import check_staff
from picktune.bodies import Count, Locale, Messages, ShowSlate, SlateQuery
from picktune.comparisons import MOST_SIDES, Comparison, Judgement, order_of
from picktune.endpoint import Call
from picktune.errors import Forbidden, InvalidInput
from picktune.records import AnnotatorRole, LongText, Message, Record, ShortText, Tags

JUDGING = (
    "comparison_not_found",
    "candidate_not_found",
    "not_shown",
    "already_decided",
    "key_reused",
    "conflict",
    "log_unavailable",
)


class GivenSide(Record, frozen=True, kw_only=True):
    """One conversation from elsewhere, and which arm answered it, if that is known: ``base`` or another."""

    messages: Messages
    arm: ShortText | None = None
    model: ShortText | None = None


class AddComparison(Record, frozen=True, kw_only=True):
    """A comparison: of stored conversations, of one that each arm answers anew (``play``), or given."""

    id: ShortText | None = None
    title: Annotated[str, Meta(max_length=200)] = ""
    conversation_ids: Annotated[tuple[ShortText, ...], Meta(max_length=MOST_SIDES)] = ()
    play: ShortText | None = None
    sides: Annotated[tuple[GivenSide, ...], Meta(max_length=MOST_SIDES)] = ()
    tags: Tags = ()
    locale: Locale = "en"


class SideView(Record, frozen=True, kw_only=True):
    """All that a viewer may know of a side."""

    id: str
    messages: tuple[Message, ...]


class ComparisonView(Record, frozen=True, kw_only=True):
    """A comparison as one viewer sees it."""

    id: str
    title: str
    locale: str
    sides: tuple[SideView, ...]


class NextComparison(Record, frozen=True, kw_only=True):
    """What a viewer should judge next, if anything waits, and how many do."""

    comparison: ComparisonView | None
    waiting: int


class Judge(Record, frozen=True, kw_only=True):
    """A verdict on a comparison; ``key`` as for a pick."""

    key: ShortText
    verdict: Literal["chosen", "tie", "none_good", "skip"]
    side_id: ShortText | None = None
    reasons: Tags = ()
    comment: LongText | None = None
    annotator: ShortText | None = None
    role: AnnotatorRole | None = None
    dwell_ms: Count | None = None


class UndoJudgement(Record, frozen=True, kw_only=True):
    """Takes the annotator's standing verdict back."""

    key: ShortText
    annotator: ShortText | None = None
    role: AnnotatorRole | None = None


def _support_answer() -> type[Record]:
    from picktune.supportview import SupportAnswer

    return SupportAnswer


@endpoint(
    "POST",
    "/comparisons",
    scope="slate",
    body=AddComparison,
    answer=ComparisonView,
    status=201,
    errors=("conversation_not_found", "conflict", *DRAW, "log_unavailable"),
    limit="slates",
)
async def add_comparison(call: Call) -> ComparisonView:
    """Make a comparison of two to four whole conversations, to be judged side by side."""
    check_staff(call.viewer)
    body: AddComparison = call.body
    if sum(map(bool, (body.conversation_ids, body.play, body.sides))) != 1:
        raise InvalidInput("send one of conversation_ids, play and sides", field="sides")
    if call.viewer.is_browser and any(side.arm or side.model for side in body.sides):
        raise Forbidden("a session does not know which arm answered; send it with a key", field="sides")
    if body.play:
        comparison = await call.service.play(body.play, id=body.id)
    elif body.conversation_ids:
        comparison = await call.service.compare_stored(body.conversation_ids, id=body.id, title=body.title)
    else:
        comparison = await call.service.compare_given(
            [(side.messages, side.arm, side.model) for side in body.sides],
            id=body.id,
            title=body.title,
            tags=body.tags,
            locale=body.locale,
        )
    return _view(comparison, order_of(comparison, ""))


@endpoint(
    "POST",
    "/comparisons/next",
    scope="pick",
    body=ShowSlate,
    answer=NextComparison,
    errors=("log_unavailable",),
    limit="picks",
)
async def next_comparison(call: Call) -> NextComparison:
    """The comparison that a viewer should judge next; it is recorded as shown."""
    check_staff(call.viewer)
    viewer = call.must_be_shown_to(call.body.viewer)
    comparison, order, waiting = await call.service.next_comparison(viewer)
    return NextComparison(
        comparison=None if comparison is None else _view(comparison, order), waiting=waiting
    )


@endpoint(
    "GET",
    "/comparisons/{comparison_id}",
    scope="slate",
    query=SlateQuery,
    answer=ComparisonView,
    errors=("comparison_not_found", "log_unavailable"),
)
async def get_comparison(call: Call) -> ComparisonView:
    """A comparison in one viewer's order. Reading it does not record that it was shown."""
    check_staff(call.viewer)
    comparison = await call.service.comparison(call.path["comparison_id"])
    return _view(comparison, order_of(comparison, call.shown_to(call.query.viewer) or ""))


@endpoint(
    "POST",
    "/comparisons/{comparison_id}/judgements",
    scope="pick",
    body=Judge,
    answer=Judgement,
    errors=JUDGING,
    limit="picks",
)
async def judge(call: Call) -> Judgement:
    """Record a verdict on a comparison; on disk when this answers, and repeatable under the same key."""
    body: Judge = call.body
    annotator, role = call.decides_as(body.annotator, body.role)
    judgement: Judgement = await call.service.judge(
        Judgement(
            key=body.key,
            comparison_id=call.path["comparison_id"],
            verdict=body.verdict,
            side_id=body.side_id,
            reasons=body.reasons,
            comment=body.comment,
            annotator=annotator,
            role=role,
            dwell_ms=body.dwell_ms,
            decided_at=call.service.now(),
        )
    )
    return judgement


@endpoint(
    "POST",
    "/comparisons/{comparison_id}/undo",
    scope="pick",
    body=UndoJudgement,
    answer=Judgement,
    errors=JUDGING,
    limit="picks",
)
async def undo_judgement(call: Call) -> Judgement:
    """Take a verdict on a comparison back."""
    annotator, role = call.decides_as(call.body.annotator, call.body.role)
    judgement: Judgement = await call.service.judge(
        Judgement(
            key=call.body.key,
            comparison_id=call.path["comparison_id"],
            verdict="undone",
            annotator=annotator,
            role=role,
            decided_at=call.service.now(),
        )
    )
    return judgement


@endpoint("GET", "/support/comparisons", scope="read", answer=_support_answer, errors=("log_unavailable",))
async def read_comparison_support(call: Call) -> Record:
    """How often whole conversations by the tuned arm were preferred; apart from the picks of replies."""
    supports = await call.service.comparison_supports()
    answer: Record = _support_answer()(roles=call.service.settings.roles, supports=tuple(supports))
    return answer


def _view(comparison: Comparison, order: tuple[str, ...]) -> ComparisonView:
    by_id = {side.id: side for side in comparison.sides}
    # What a system prompt says is the same on all sides, or would tell them apart.
    return ComparisonView(
        id=comparison.id,
        title=comparison.title,
        locale=comparison.locale,
        sides=tuple(
            SideView(
                id=one, messages=tuple(m for m in by_id[one].messages if m.role in ("user", "assistant"))
            )
            for one in order
        ),
    )
