"""``model: "picktune"``: a slate, drawn and logged like any other, as blind choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET

from picktune.endpoint import Call
from picktune.engines.base import Engine, Forwarding, Generation
from picktune.errors import InvalidInput
from picktune.gateway.bodies import (
    ChatCompletion,
    ChatRequest,
    Choice,
    PicktuneFields,
    Said,
    SlateNote,
    Usage,
)
from picktune.gateway.fields import conversation_of, messages_of, options_of, sampling_of
from picktune.policy import POLICIES, policy_named
from picktune.records import Message, Sampling, Slate
from picktune.service import Service
from picktune.slate import order_for

PICKTUNE = "picktune"


async def slate_completion(call: Call, conversation_id: str | None) -> ChatCompletion:
    """The slate for the request, in the order of whom it is shown to, if somebody is named.

    Raises what ``Service.draw`` raises, and ``InvalidInput`` for a number of replies that no policy draws.
    """
    asked: ChatRequest = call.body
    service: Service = call.service
    ours = asked.picktune or PicktuneFields()
    user = asked.user or asked.safety_identifier or None
    viewer = call.shown_to(ours.viewer or user)
    messages = messages_of(asked)
    options = options_of(asked, slate=True, forwarding=isinstance(service.engine, Forwarding))
    meter = _Meter(service.engine, options)
    slate = await service.draw(
        messages,
        conversation_id=ours.conversation_id or conversation_id or _derived(asked, call, user),
        user_ref=user,
        tags=ours.tags,
        locale=ours.locale,
        policy=_policy(ours.policy or service.settings.policy, ours.policy, asked.n),
        sampling=sampling_of(asked, service.settings.sampling),
        speaker=meter,
        consent=ours.consent,
        viewer=viewer,
        beside=True,
    )
    order = tuple(one.id for one in slate.candidates) if viewer is None else order_for(slate, viewer)
    return _completion(slate, order, meter.prompt_tokens, kept=service.is_kept(slate.id))


def _derived(asked: ChatRequest, call: Call, user: str | None) -> str:
    return conversation_of(asked, call.viewer.name, user)


def _policy(usual: str, named: str | None, n: int | None) -> str:
    """The policy that draws ``n`` replies: the usual one, if it does, or else the first that does."""
    if n is None or policy_named(usual).size == n:
        return usual
    fitting = [policy.name for policy in POLICIES.values() if policy.size == n]
    if named is not None or not fitting:
        sizes = sorted({policy.size for policy in POLICIES.values()})
        known = f"policy {named!r} draws {policy_named(named).size}" if named else f"choose from {sizes}"
        raise InvalidInput(f"no slate of {n} replies: {known}; or leave n out", field="n")
    return fitting[0]


def _completion(slate: Slate, order: Sequence[str], prompt_tokens: int, *, kept: bool) -> ChatCompletion:
    by_id = {one.id: one for one in slate.candidates}
    tokens = sum(one.tokens for one in slate.candidates)
    return ChatCompletion(
        # The same random id for all choices; a client that drops unknown fields finds its slate by it.
        id=f"chatcmpl-{slate.id}",
        created=int(slate.created_at.timestamp()),
        model=PICKTUNE,
        choices=tuple(
            Choice(index=place, message=Said(content=by_id[one].text)) for place, one in enumerate(order)
        ),
        usage=Usage(
            prompt_tokens=prompt_tokens, completion_tokens=tokens, total_tokens=prompt_tokens + tokens
        ),
        picktune=SlateNote(
            slate_id=slate.id,
            conversation_id=slate.turn.conversation_id,
            candidate_ids=tuple(order),
            kept=UNSET if kept else False,
        ),
    )


class _Meter:
    """The engine as one request uses it: with its further fields, and counting what the prompt took."""

    def __init__(self, engine: Engine, options: Mapping[str, Any]) -> None:
        self._engine = engine
        self._options = options
        self.prompt_tokens = 0

    async def generate(
        self, messages: Sequence[Message], *, model: str | None, n: int, sampling: Sampling, seed: int
    ) -> list[Generation]:
        """See ``Speaker.generate``."""
        if self._options and isinstance(self._engine, Forwarding):
            said = await self._engine.generate(
                messages, model=model, n=n, sampling=sampling, seed=seed, options=self._options
            )
        else:
            said = await self._engine.generate(messages, model=model, n=n, sampling=sampling, seed=seed)
        self.prompt_tokens = max([self.prompt_tokens, *(one.prompt_tokens for one in said)])
        return said
