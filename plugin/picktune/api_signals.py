"""Addresses of the JSON API beside deciding: signals, other replies, and experts' scores."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, structs

from picktune.api import DRAW, endpoint
from picktune.bodies import SlateView, view_of
from picktune.endpoint import Call
from picktune.errors import Forbidden
from picktune.records import AnnotatorRole, LongText, Record, ShortText
from picktune.signals import Mark, Noticed, Scale, ScaleName, Score


class NewSignal(Record, frozen=True, kw_only=True):
    """One thing that was done; ``key`` is yours: sending it again under it changes nothing."""

    key: ShortText
    detail: Noticed


class NoteSignals(Record, frozen=True, kw_only=True):
    """What an annotator did with a slate that was shown to them, beside deciding; all are kept, or none."""

    slate_id: ShortText
    signals: Annotated[tuple[NewSignal, ...], Meta(min_length=1, max_length=20)]
    annotator: ShortText | None = None
    role: AnnotatorRole | None = None


class SignalsNoted(Record, frozen=True, kw_only=True):
    """How many stand in the log now of those that were sent."""

    noted: int


class Regenerate(Record, frozen=True, kw_only=True):
    """Asks for other replies to the same turn; ``key`` as for a decision."""

    key: ShortText
    annotator: ShortText | None = None
    role: AnnotatorRole | None = None


class GiveScore(Record, frozen=True, kw_only=True):
    """An expert's mark for one reply; another one later is a new version."""

    key: ShortText
    candidate_id: ShortText
    scale: ScaleName
    value: Mark
    comment: LongText | None = None
    annotator: ShortText | None = None
    role: AnnotatorRole | None = None


class Scales(Record, frozen=True, kw_only=True):
    """On which scales experts give scores."""

    scales: tuple[Scale, ...]


@endpoint(
    "POST",
    "/signals",
    scope="pick",
    body=NoteSignals,
    answer=SignalsNoted,
    errors=(
        "slate_not_found",
        "candidate_not_found",
        "not_shown",
        "key_reused",
        "conflict",
        "log_unavailable",
    ),
    limit="signals",
    bound=True,
)
async def note_signals(call: Call) -> SignalsNoted:
    """Record what was copied, what was in sight, and for how long a slate was looked at."""
    body: NoteSignals = call.body
    annotator, role = call.decides_as(body.annotator, body.role)
    noted = await call.service.note(
        body.slate_id, [(one.key, one.detail) for one in body.signals], annotator=annotator, role=role
    )
    return SignalsNoted(noted=len(noted))


@endpoint(
    "POST",
    "/slates/{slate_id}/regenerate",
    scope="slate",
    body=Regenerate,
    answer=SlateView,
    errors=("slate_not_found", "not_shown", "conflict", *DRAW, "log_unavailable"),
    limit="slates",
    bound=True,
)
async def regenerate(call: Call) -> SlateView:
    """Other replies to the turn of a slate, recorded as shown; the slate that they replace is no decision."""
    body: Regenerate = call.body
    annotator, role = call.decides_as(body.annotator, body.role)
    slate = await call.service.regenerate(call.path["slate_id"], annotator=annotator, role=role, key=body.key)
    view = view_of(slate, (await call.service.expose(slate.id, annotator)).order)
    return view if call.service.is_kept(slate.id) else structs.replace(view, kept=False)


@endpoint(
    "POST",
    "/scores",
    scope="pick",
    body=GiveScore,
    answer=Score,
    errors=("candidate_not_found", "not_shown", "key_reused", "log_unavailable"),
    limit="picks",
)
async def give_score(call: Call) -> Score:
    """Record an expert's mark for one reply on a scale."""
    body: GiveScore = call.body
    wanted = body.role or (None if call.viewer.is_browser else "expert")
    annotator, role = call.decides_as(body.annotator, wanted)
    if role != "expert":
        raise Forbidden(f"only experts give scores; {annotator!r} is here as {role!r}", field="role")
    score: Score = await call.service.score(
        body.candidate_id,
        body.value,
        scale=body.scale,
        annotator=annotator,
        role=role,
        key=body.key,
        comment=body.comment,
    )
    return score


@endpoint("GET", "/scales", scope="pick", answer=Scales)
async def list_scales(call: Call) -> Scales:
    """The scales on which experts give scores here."""
    return Scales(scales=call.service.scales())
