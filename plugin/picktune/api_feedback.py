"""Feedback as TensorZero's clients send it: ``POST /feedback``, made into decisions, thumbs and scores.

The request and the answer of https://www.tensorzero.com/docs/gateway/api-reference/feedback, with a reply for
an inference and a slate for an episode.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, structs

from picktune.api import DECISION, endpoint
from picktune.endpoint import Call
from picktune.errors import Conflict, Forbidden, InvalidInput, KeyReused, NotShown
from picktune.interchange.tensorzero import COMMENT, DEMONSTRATION, PICKED, RULINGS
from picktune.interchange.votes import dashed, undashed
from picktune.records import (
    AnnotatorRole,
    LongText,
    Pick,
    Reaction,
    Record,
    ShortText,
    Slate,
    Verdict,
    new_id,
)
from picktune.service import Service

ATTEMPTS = 10
_ROLES: tuple[AnnotatorRole, ...] = ("user", "agent", "expert", "crowd", "model")


class GiveFeedback(Record, frozen=True, kw_only=True):
    """One feedback: about an inference (a reply) or an episode (a slate), never both.

    The tags ``annotator`` (or ``user_id``), ``role`` and ``key`` say whose it is and under which key it is
    kept once. With ``dryrun`` it is checked, and not kept.
    """

    metric_name: ShortText
    value: Annotated[float, Meta(description="of a metric")] | bool | LongText | tuple[dict[str, Any], ...]
    inference_id: ShortText | None = None
    episode_id: ShortText | None = None
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    dryrun: bool | None = False
    internal: bool | None = False


class FeedbackGiven(Record, frozen=True, kw_only=True):
    """Under which id it was taken."""

    feedback_id: str


class _By(Record, frozen=True, kw_only=True):
    name: str
    role: AnnotatorRole
    key: str


@endpoint(
    "POST", "/feedback", scope="pick", body=GiveFeedback, answer=FeedbackGiven, errors=DECISION, limit="picks"
)
async def give_feedback(call: Call) -> FeedbackGiven:
    """Record a metric, a comment or a demonstration, as TensorZero's clients send it."""
    body: GiveFeedback = call.body
    by = _by(call, body)
    slate, candidate_id = await _about(call.service, body)
    text = _text(body) if body.metric_name in (COMMENT, DEMONSTRATION) else None
    _check(call.service, body, candidate_id)
    if isinstance(body.value, float | int) and not isinstance(body.value, bool) and by.role != "expert":
        raise Forbidden(f"only experts give scores; {by.name!r} is here as {by.role!r}", field="tags")
    if not body.dryrun:
        if not call.viewer.is_browser:  # a browser decides only on what was shown to it
            await call.service.expose(slate.id, by.name)
        if body.metric_name in (COMMENT, DEMONSTRATION, PICKED, *RULINGS):
            await _decide(call.service, body, slate, candidate_id, text, by)
        elif isinstance(body.value, bool):
            reasons = () if body.metric_name == "thumbs_up" else (body.metric_name,)
            await call.service.react(
                Reaction(
                    key=by.key,
                    candidate_id=str(candidate_id),
                    value="up" if body.value else "down",
                    reasons=reasons,
                    annotator=by.name,
                    role=by.role,
                    reacted_at=call.service.now(),
                )
            )
        else:
            await call.service.score(
                str(candidate_id),
                int(body.value),  # type: ignore[arg-type]
                scale=body.metric_name,
                annotator=by.name,
                role=by.role,
                key=by.key,
            )
    return FeedbackGiven(feedback_id=dashed(by.key if len(by.key) == 32 else new_id()))


def _by(call: Call, body: GiveFeedback) -> _By:
    named, role = body.tags.get("annotator") or body.tags.get("user_id"), body.tags.get("role")
    if role is not None and role not in _ROLES:
        raise InvalidInput(f"the tag role is {role!r}; it must be one of {', '.join(_ROLES)}", field="tags")
    if named is not None and len(named) > 200:
        raise InvalidInput("the tag that says who it is has over 200 characters", field="tags")
    if not call.viewer.is_browser:
        named = named or call.viewer.name
    # mypy cannot know that what is in a tuple of literals is one of them
    annotator, kept = call.decides_as(named, next((one for one in _ROLES if one == role), None))
    return _By(name=annotator, role=kept, key=body.tags.get("key") or new_id())


async def _about(service: Service, body: GiveFeedback) -> tuple[Slate, str | None]:
    if (body.inference_id is None) == (body.episode_id is None):
        raise InvalidInput(
            "give either inference_id (a candidate's id) or episode_id (a slate's)", field="inference_id"
        )
    if body.episode_id is not None:
        return await service.slate(undashed(body.episode_id)), None
    candidate_id = undashed(str(body.inference_id))
    return await service.slate_of_candidate(candidate_id), candidate_id


def _text(body: GiveFeedback) -> str:
    value = body.value
    if isinstance(value, tuple) and body.metric_name == DEMONSTRATION:  # content blocks, as of an inference
        texts = [block.get("text") for block in value if block.get("type") == "text"]
        value = "\n".join(text for text in texts if isinstance(text, str))
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(f"the value of a {body.metric_name} is a text", field="value")
    return value


def _check(service: Service, body: GiveFeedback, candidate_id: str | None) -> None:
    metric, value = body.metric_name, body.value
    if metric == COMMENT:
        return
    if candidate_id is None and metric not in RULINGS:
        raise InvalidInput(
            f"{metric!r} is about one reply: give its inference_id; an episode takes {', '.join(RULINGS)} "
            f"and {COMMENT}",
            field="inference_id",
        )
    if metric == DEMONSTRATION:
        return
    if metric in RULINGS and candidate_id is not None:
        raise InvalidInput(f"{metric!r} is about the whole slate: give its episode_id", field="episode_id")
    if metric in (PICKED, *RULINGS) and not isinstance(value, bool):
        raise InvalidInput(f"the value of {metric!r} is true or false", field="value")
    if isinstance(value, bool):
        return
    if not isinstance(value, float | int) or int(value) != value:
        scales = ", ".join(map(str, service.scales())) or "none"
        raise InvalidInput(
            f"the value of {metric!r} must be true or false, or a whole number on a scale of that name; "
            f"scales: {scales}",
            field="value",
        )


async def _decide(
    service: Service,
    body: GiveFeedback,
    slate: Slate,
    candidate_id: str | None,
    text: str | None,
    by: _By,
) -> None:
    """Bring what this annotator decided on the slate together with what is said now."""
    if body.value is False:  # the others were not picked: that goes without saying
        return
    for attempt in range(1, ATTEMPTS + 1):
        versions = await service.picks_as_said(slate, by.name)
        if any(one.key == by.key for one in versions):
            return
        standing = versions[-1] if versions and versions[-1].verdict != "undone" else None
        wanted = _merged(body.metric_name, standing, slate, candidate_id, text)
        if wanted is None or (standing is not None and _said(wanted) == _said(standing)):
            return
        try:
            if standing is not None:
                await service.undo(slate.id, annotator=by.name, role=by.role, key=new_id())
            await service.pick(
                structs.replace(
                    wanted, key=by.key, annotator=by.name, role=by.role, decided_at=service.now(), version=1
                )
            )
            return
        except Conflict as error:
            # Another feedback at the same time has decided, or taken back, what this one was about to.
            if attempt == ATTEMPTS or isinstance(error, KeyReused | NotShown):
                raise


def _merged(
    metric: str, standing: Pick | None, slate: Slate, candidate_id: str | None, text: str | None
) -> Pick | None:
    before = standing or Pick(
        key="", slate_id=slate.id, verdict="skip", annotator="", decided_at=slate.created_at
    )
    if metric == COMMENT:
        return structs.replace(before, comment=text)
    if metric == PICKED:
        # What was written for another reply does not go with this one.
        kept = before.edited_text if before.candidate_id in (None, candidate_id) else None
        return structs.replace(before, verdict="chosen", candidate_id=candidate_id, edited_text=kept)
    if metric == DEMONSTRATION:
        if before.verdict in ("chosen", "none_good"):
            return structs.replace(before, edited_text=text)
        # Sent, but no preference over the others.
        return structs.replace(before, verdict="tie", candidate_id=candidate_id, edited_text=text)
    verdict: Verdict = "tie" if metric == "tie" else "none_good"
    keeps = before.verdict == verdict
    return structs.replace(
        before,
        verdict=verdict,
        candidate_id=before.candidate_id if keeps else None,
        edited_text=before.edited_text if keeps or verdict == "none_good" else None,
    )


def _said(pick: Pick) -> tuple[object, ...]:
    return pick.verdict, pick.candidate_id, pick.edited_text, pick.comment
