"""A named arm: one model's own replies, straight from the engine, for whoever may know who speaks."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from typing import Any

import msgspec
from msgspec import UNSET, structs

from picktune.endpoint import Call
from picktune.engines.base import Forwarding, Generation
from picktune.errors import AdapterNotFound, EngineError
from picktune.gateway.bodies import ChatCompletion, ChatRequest, Choice, Said, Usage
from picktune.gateway.errors import ModelNotFound
from picktune.gateway.fields import messages_of, options_of, raw_messages_of, sampling_of
from picktune.records import Record, Sampling, new_id
from picktune.service import Service
from picktune.tracing import provider_of

BASE = "base"
ALIASES = ("champion", "challenger")


async def arm_names(service: Service) -> list[str]:
    """The arms that can be asked for now: the base, the aliases that point somewhere, and the adapters."""
    aliases = [name for name in ALIASES if getattr(service.aliases, name)]
    return [BASE, *aliases, *(await service.engine.loaded())]


class Ask(Record, frozen=True, kw_only=True):
    """What a named arm is asked; ``fields`` is for an engine whose server takes them, or else ``None``."""

    name: str
    model: str | None
    n: int
    seed: int
    sampling: Sampling
    fields: dict[str, Any] | None

    @property
    def answers_as(self) -> str:
        """The model that the answer names."""
        return BASE if self.model is None else self.model


def ask_of(call: Call) -> Ask:
    """What the request asks of a named arm; raises ``ModelNotFound`` and ``Unsupported``."""
    asked: ChatRequest = call.body
    service: Service = call.service
    service.check_engine()
    model = _model(asked.model, service)
    sampling = sampling_of(asked, service.settings.sampling)
    seed = service.rng.getrandbits(31) if asked.seed is None else asked.seed % 2**31
    forwarding = isinstance(service.engine, Forwarding)
    options = options_of(asked, slate=False, forwarding=forwarding)
    fields = {**options, "n": asked.n or 1, "seed": seed, **_sampled(sampling)} if forwarding else None
    return Ask(name=asked.model, model=model, n=asked.n or 1, seed=seed, sampling=sampling, fields=fields)


async def arm_completion(call: Call) -> ChatCompletion:
    """What the named arm says; no slate is drawn and nothing is logged.

    Raises ``ModelNotFound`` for an arm that does not speak now, and what ``Engine.generate`` raises.
    """
    ask = ask_of(call)
    service: Service = call.service
    seconds = service.settings.timeout
    try:
        with chat_span(service, ask) as span:
            async with asyncio.timeout(seconds):
                answer = await _said(call, ask)
            if span is not None:
                span.set_attributes(_told(answer, ask.model or service.engine.base_model))
    except AdapterNotFound:
        raise ModelNotFound(ask.name) from None
    except TimeoutError:
        raise EngineError(f"{ask.name!r} did not answer within {seconds:g} s") from None
    return structs.replace(answer, created=int(service.now().timestamp()), model=ask.answers_as)


async def _said(call: Call, ask: Ask) -> ChatCompletion:
    service: Service = call.service
    if ask.fields is not None and isinstance(service.engine, Forwarding):
        return _forwarded(
            await service.engine.forward(raw_messages_of(call.body), ask.fields, model=ask.model)
        )
    said = await service.engine.generate(
        messages_of(call.body), model=ask.model, n=ask.n, sampling=ask.sampling, seed=ask.seed
    )
    return _generated(said)


def chat_span(service: Service, ask: Ask, *, stream: bool = False) -> AbstractContextManager[Any]:
    """The span of what a named arm is asked; ``None`` unless there are traces."""
    return service.tracing.chat(
        provider_of(service.engine),
        ask.model or service.engine.base_model,
        sampling=ask.sampling,
        n=ask.n,
        seed=ask.seed,
        stream=stream,
    )


def _told(answer: ChatCompletion, model: str) -> dict[str, Any]:
    return {
        "gen_ai.response.model": model,
        "gen_ai.response.finish_reasons": [one.finish_reason or "stop" for one in answer.choices],
        "gen_ai.usage.input_tokens": answer.usage.prompt_tokens if answer.usage else 0,
        "gen_ai.usage.output_tokens": answer.usage.completion_tokens if answer.usage else 0,
    }


def _model(name: str, service: Service) -> str | None:
    """The adapter behind the name, or ``None`` for the base."""
    if name == BASE:
        return None
    if name not in ALIASES:
        return name
    adapter: str | None = getattr(service.aliases, name)
    if adapter is None:
        raise ModelNotFound(name)
    return adapter


def _sampled(sampling: Sampling) -> dict[str, Any]:
    fields = structs.asdict(sampling)
    if sampling.temperature == 0.0:
        # Greedy, so what is left of the nucleus does not matter; some servers refuse several of the same.
        fields["top_p"] = 1.0
    return fields


def _generated(said: list[Generation]) -> ChatCompletion:
    tokens = sum(one.tokens for one in said)
    prompt = max(one.prompt_tokens for one in said)
    return ChatCompletion(
        id=f"chatcmpl-{new_id()}",
        created=0,
        model=BASE,
        choices=tuple(
            Choice(index=place, message=Said(content=one.text), finish_reason=one.finish_reason)
            for place, one in enumerate(said)
        ),
        usage=Usage(prompt_tokens=prompt, completion_tokens=tokens, total_tokens=prompt + tokens),
    )


def _forwarded(body: dict[str, Any]) -> ChatCompletion:
    ours = {"id": f"chatcmpl-{new_id()}", "created": 0, "model": BASE, "system_fingerprint": None}
    try:
        answer = msgspec.convert({**body, **ours}, ChatCompletion)
    except msgspec.ValidationError as error:
        raise EngineError(f"the model's server answered something that is no completion ({error})") from None
    # An empty list would tell a client that tools were called.
    choices = tuple(
        one if one.message.tool_calls else structs.replace(one, message=_without_calls(one.message))
        for one in answer.choices
    )
    return structs.replace(answer, choices=choices, picktune=UNSET)


def _without_calls(said: Said) -> Said:
    return structs.replace(said, tool_calls=UNSET)
