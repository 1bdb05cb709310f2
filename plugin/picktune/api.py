"""The JSON API: what each address does, and what it takes and gives."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from picktune.belonging import check_own_conversation, check_own_slate, check_staff
from picktune.bodies import (
    AddConversations,
    ConversationPage,
    ConversationQuery,
    ConversationsAdded,
    Decide,
    Decided,
    DrawSlate,
    React,
    ShowSlate,
    SlateQuery,
    SlateView,
    Undo,
    arms_of,
    view_of,
)
from picktune.endpoint import Call, Endpoint, Handler
from picktune.keys import Scope
from picktune.metrics import Limited
from picktune.records import Conversation, Exposure, Pick, Reaction, Record, Slate, new_id
from picktune.service import Service
from picktune.slate import order_for

DRAW = ("engine_busy", "engine_error", "engine_down")
DECISION = (
    "slate_not_found",
    "candidate_not_found",
    "not_shown",
    "not_kept",
    "forgotten",
    "already_decided",
    "key_reused",
    "conflict",
    "log_unavailable",
)

ENDPOINTS: list[Endpoint] = []


def endpoint(
    method: str,
    path: str,
    *,
    scope: Scope,
    answer: type[Record] | Callable[[], type[Record]],
    status: int = 200,
    body: type[Record] | None = None,
    query: type[Record] | None = None,
    errors: tuple[str, ...] = (),
    limit: Limited | None = None,
    bound: bool = False,
) -> Callable[[Handler], Handler]:
    """Put the handler into the API's table; its docstring is the operation's summary."""

    def put(handler: Handler) -> Handler:
        kind = (lambda: answer) if isinstance(answer, type) else answer
        ENDPOINTS.append(
            Endpoint(
                method=method,
                path=path,
                scope=scope,
                handler=handler,
                answer=kind,
                status=status,
                body=body,
                query=query,
                errors=errors,
                limit=limit,
                bound=bound,
            )
        )
        return handler

    return put


@endpoint(
    "POST",
    "/slates",
    scope="slate",
    body=DrawSlate,
    answer=SlateView,
    status=201,
    errors=DRAW,
    limit="slates",
)
async def draw_slate(call: Call) -> SlateView:
    """Draw candidates for a turn."""
    body: DrawSlate = call.body
    viewer = call.shown_to(body.viewer)
    slate = await call.service.draw(
        body.messages,
        conversation_id=body.conversation_id,
        user_ref=body.user_ref,
        tags=body.tags,
        locale=body.locale,
        policy=body.policy,
        consent=body.consent,
    )
    return await _show(call.service, slate, viewer)


@endpoint(
    "POST",
    "/conversations/{conversation_id}/slate",
    scope="slate",
    body=ShowSlate,
    answer=SlateView,
    errors=("conversation_not_found", "conflict", *DRAW, "log_unavailable"),
    limit="slates",
    bound=True,
)
async def draw_for_conversation(call: Call) -> SlateView:
    """The slate that waits in a stored conversation, or a fresh one; it is recorded as shown."""
    body: ShowSlate = call.body
    viewer = call.must_be_shown_to(body.viewer)
    await check_own_conversation(call.service, call.viewer, call.path["conversation_id"])
    slate = await call.service.slate_for(call.path["conversation_id"], viewer)
    return await _show(call.service, slate, viewer)


@endpoint(
    "GET",
    "/slates/{slate_id}",
    scope="slate",
    query=SlateQuery,
    answer=SlateView,
    errors=("slate_not_found", "log_unavailable"),
    bound=True,
)
async def get_slate(call: Call) -> SlateView:
    """A slate in one viewer's order. Reading it does not record that it was shown."""
    query: SlateQuery = call.query
    service: Service = call.service
    viewer = call.shown_to(query.viewer)
    await check_own_slate(service, call.viewer, call.path["slate_id"])
    slate = await service.slate(call.path["slate_id"])
    if viewer is None:
        return view_of(slate, tuple(candidate.id for candidate in slate.candidates))
    view = view_of(slate, order_for(slate, viewer))
    if service.settings.reveal and _is_final(await service.picks(slate.id, viewer)):
        view = structs.replace(view, arms=arms_of(slate))
    return view


@endpoint(
    "POST",
    "/slates/{slate_id}/exposures",
    scope="pick",
    body=ShowSlate,
    answer=Exposure,
    errors=("slate_not_found", "log_unavailable"),
    limit="picks",
    bound=True,
)
async def show_slate(call: Call) -> Exposure:
    """Record that a viewer sees a slate; only then can that viewer decide on it."""
    body: ShowSlate = call.body
    viewer = call.must_be_shown_to(body.viewer)
    await check_own_slate(call.service, call.viewer, call.path["slate_id"])
    exposure: Exposure = await call.service.expose(call.path["slate_id"], viewer)
    return exposure


@endpoint(
    "POST", "/picks", scope="pick", body=Decide, answer=Decided, errors=DECISION, limit="picks", bound=True
)
async def decide(call: Call) -> Decided:
    """Record a decision. When this answers, it is on disk; under the same key it can be sent again."""
    body: Decide = call.body
    service: Service = call.service
    annotator, role = call.decides_as(body.annotator, body.role)
    pick = await service.pick(
        Pick(
            key=body.key,
            slate_id=body.slate_id,
            verdict=body.verdict,
            candidate_id=body.candidate_id,
            edited_text=body.edited_text,
            reasons=body.reasons,
            comment=body.comment,
            annotator=annotator,
            role=role,
            dwell_ms=body.dwell_ms,
            decided_at=service.now(),
        )
    )
    decided = Decided(**structs.asdict(pick))
    if service.settings.reveal and _is_final([pick]):
        decided = structs.replace(decided, arms=arms_of(await service.slate(pick.slate_id)))
    return decided


@endpoint("POST", "/undo", scope="pick", body=Undo, answer=Pick, errors=DECISION, limit="picks", bound=True)
async def undo(call: Call) -> Pick:
    """Take a decision back, and with it the reply that it sent."""
    body: Undo = call.body
    annotator, role = call.decides_as(body.annotator, body.role)
    pick: Pick = await call.service.undo(body.slate_id, annotator=annotator, role=role, key=body.key)
    return pick


@endpoint(
    "POST",
    "/reactions",
    scope="pick",
    body=React,
    answer=Reaction,
    errors=("candidate_not_found", "key_reused", "not_kept", "forgotten", "log_unavailable"),
    limit="picks",
    bound=True,
)
async def react(call: Call) -> Reaction:
    """Record thumbs up or down on one candidate."""
    body: React = call.body
    annotator, role = call.decides_as(body.annotator, body.role)
    reaction: Reaction = await call.service.react(
        Reaction(
            key=body.key,
            candidate_id=body.candidate_id,
            value=body.value,
            reasons=body.reasons,
            comment=body.comment,
            annotator=annotator,
            role=role,
            reacted_at=call.service.now(),
        )
    )
    return reaction


@endpoint(
    "GET",
    "/conversations",
    scope="read",
    query=ConversationQuery,
    answer=ConversationPage,
    errors=("log_unavailable",),
)
async def list_conversations(call: Call) -> ConversationPage:
    """A page of the stored conversations, the oldest update first."""
    check_staff(call.viewer)
    query: ConversationQuery = call.query
    service: Service = call.service
    status = None if query.status == "all" else query.status
    found = await service.conversations(
        status=status, locale=query.locale, limit=query.limit, offset=query.offset
    )
    total = await service.count_conversations(status=status, locale=query.locale)
    return ConversationPage(conversations=tuple(found), total=total)


@endpoint(
    "GET",
    "/conversations/{conversation_id}",
    scope="read",
    answer=Conversation,
    errors=("conversation_not_found", "log_unavailable"),
)
async def get_conversation(call: Call) -> Conversation:
    """A conversation with the replies sent so far."""
    await check_own_conversation(call.service, call.viewer, call.path["conversation_id"])
    conversation: Conversation = await call.service.conversation(call.path["conversation_id"])
    return conversation


@endpoint(
    "POST",
    "/conversations",
    scope="slate",
    body=AddConversations,
    answer=ConversationsAdded,
    status=201,
    errors=("log_unavailable",),
    limit="slates",
)
async def add_conversations(call: Call) -> ConversationsAdded:
    """Put conversations on the workbench; those whose id is there already stay as they are."""
    body: AddConversations = call.body
    now = call.service.now()
    conversations = [
        Conversation(
            id=one.id or new_id(),
            title=one.title,
            locale=one.locale,
            scenario=one.scenario,
            tags=one.tags,
            messages=one.messages,
            pending=one.pending,
            user_ref=one.user_ref,
            consent=one.consent or call.service.settings.consent_default,
            created_at=now,
            updated_at=now,
        )
        for one in body.conversations
    ]
    added = await call.service.add_conversations(conversations)
    return ConversationsAdded(added=added, ids=tuple(one.id for one in conversations))


async def _show(service: Service, slate: Slate, viewer: str | None) -> SlateView:
    if viewer is None:
        view = view_of(slate, tuple(candidate.id for candidate in slate.candidates))
    else:
        view = view_of(slate, (await service.expose(slate.id, viewer)).order)
    return view if service.is_kept(slate.id) else structs.replace(view, kept=False)


def _is_final(picks: list[Pick]) -> bool:
    # Whoever skipped may come back, and must come back blind.
    return bool(picks) and picks[-1].verdict not in {"skip", "undone"}


# Their rows join the table above.
from picktune import api_campaigns as api_campaigns  # noqa: E402
from picktune import api_comparisons as api_comparisons  # noqa: E402
from picktune import api_feedback as api_feedback  # noqa: E402
from picktune import api_gate as api_gate  # noqa: E402
from picktune import api_privacy as api_privacy  # noqa: E402
from picktune import api_rates as api_rates  # noqa: E402
from picktune import api_signals as api_signals  # noqa: E402
from picktune import api_support as api_support  # noqa: E402
from picktune import api_tokens as api_tokens  # noqa: E402
