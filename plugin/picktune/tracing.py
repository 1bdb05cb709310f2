"""Traces, as OpenTelemetry has them: a request, its slate, what each arm was asked, and what was kept.

The names of generations are those of the semantic conventions for generative AI (``gen_ai.*``, 1.37 and
later). Nothing of a trace goes into an answer: who sees the spans knows who spoke.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from picktune import __version__
from picktune.engines.base import Forwarding, Generation, Speaker
from picktune.errors import MissingExtra, PicktuneError
from picktune.records import Message, Sampling
from picktune.telemetry import Telemetry
from picktune.traceparent import ASKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, Tracer, TracerProvider

_PATH = "/v1/traces"
_FLUSH_MS = 5000


class Tracing:
    """Makes spans with a provider of its own, or of the host application; without one, none.

    ``content`` puts messages and replies into the spans of generations. The ``own`` one is closed with it.
    """

    def __init__(
        self, provider: TracerProvider | None = None, *, content: bool = False, own: bool = False
    ) -> None:
        self._provider = provider
        self._own = own
        self._tracer: Tracer | None = None
        self._content = content
        if provider is not None:
            self._tracer = provider.get_tracer("picktune", __version__)

    @property
    def on(self) -> bool:
        """Whether there are spans at all."""
        return self._tracer is not None

    @contextmanager
    def span(self, name: str, **attributes: Any) -> Iterator[Span | None]:
        """A span around what is done inside; ``a__b`` of the attributes is named ``picktune.a.b``."""
        if self._tracer is None:
            yield None
            return
        named = {f"picktune.{key.replace('__', '.')}": value for key, value in attributes.items()}
        with self._current(f"picktune.{name}", None, named) as span:
            yield span

    @contextmanager
    def request(self, method: str, headers: Mapping[str, str], attributes: dict[str, Any]) -> Iterator[Any]:
        """The span of a request: within the host's own, if there is one, or within the caller's."""
        from opentelemetry import trace
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        inside = trace.get_current_span().get_span_context().is_valid
        parent = None if inside else TraceContextTextMapPropagator().extract(dict(headers))
        with self._current(method, SpanKind.SERVER, attributes, parent) as span:
            yield span

    @contextmanager
    def chat(
        self,
        provider: str,
        model: str,
        *,
        sampling: Sampling,
        n: int,
        seed: int,
        conversation_id: str | None = None,
        stream: bool = False,
    ) -> Iterator[Span | None]:
        """The span of one request to a model for ``n`` replies."""
        if self._tracer is None:
            yield None
            return
        from opentelemetry.trace import SpanKind

        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
            "gen_ai.conversation.id": conversation_id,
            "gen_ai.request.temperature": sampling.temperature,
            "gen_ai.request.top_p": sampling.top_p,
            "gen_ai.request.max_tokens": sampling.max_tokens,
            "gen_ai.request.seed": seed,
            "gen_ai.request.choice.count": None if n == 1 else n,
            "gen_ai.request.stop_sequences": list(sampling.stop) or None,
            "gen_ai.request.stream": stream or None,
        }
        attributes = {key: value for key, value in attributes.items() if value is not None}
        with self._current(f"chat {model}", SpanKind.CLIENT, attributes) as span:
            token = ASKING.set(_Asking(span))
            try:
                yield span
            finally:
                ASKING.reset(token)

    def speaker(
        self,
        speaker: Speaker,
        *,
        provider: str,
        base: str,
        conversation_id: str | None = None,
        content: bool = False,
    ) -> Speaker:
        """The speaker, each of whose generations has a span; ``base`` is the name of the base model."""
        if self._tracer is None:
            return speaker
        return _Traced(speaker, self, provider, base, conversation_id, content and self._content)

    def close(self) -> None:
        """Send what waits; blocks for some seconds if nobody takes it. A host's provider is left alone."""
        if self._own:
            provider: Any = self._provider
            provider.force_flush(_FLUSH_MS)
            provider.shutdown()

    @contextmanager
    def _current(
        self, name: str, kind: Any, attributes: Mapping[str, Any], parent: Any = None
    ) -> Iterator[Span]:
        from opentelemetry.trace import SpanKind, Status, StatusCode

        assert self._tracer is not None  # noqa: S101 - callers have looked
        with self._tracer.start_as_current_span(
            name,
            context=parent,
            kind=kind or SpanKind.INTERNAL,
            attributes=attributes,
            # What an exception says may quote what somebody wrote.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as error:
                if isinstance(error, asyncio.CancelledError):
                    span.set_attribute("error.type", "cancelled")
                else:
                    code = error.code if isinstance(error, PicktuneError) else type(error).__qualname__
                    span.set_attribute("error.type", code)
                    span.set_status(Status(StatusCode.ERROR))
                raise


class _Asking:
    """What the HTTP client that carries a generation adds to it; see ``traceparent``."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def headers(self, url: str) -> dict[str, str]:
        from opentelemetry.trace import set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        where = urlsplit(url)
        if where.hostname:
            self._span.set_attribute("server.address", where.hostname)
            self._span.set_attribute("server.port", where.port or (443 if where.scheme == "https" else 80))
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier, set_span_in_context(self._span))
        return carrier


class _Traced:
    def __init__(
        self,
        speaker: Speaker,
        tracing: Tracing,
        provider: str,
        base: str,
        conversation_id: str | None,
        content: bool,
    ) -> None:
        self._speaker = speaker
        self._tracing = tracing
        self._provider = provider
        self._base = base
        self._conversation_id = conversation_id
        self._content = content

    async def generate(
        self, messages: Sequence[Message], *, model: str | None, n: int, sampling: Sampling, seed: int
    ) -> list[Generation]:
        """See ``Speaker.generate``."""
        with self._tracing.chat(
            self._provider,
            model or self._base,
            sampling=sampling,
            n=n,
            seed=seed,
            conversation_id=self._conversation_id,
        ) as span:
            said = await self._speaker.generate(messages, model=model, n=n, sampling=sampling, seed=seed)
            if span is not None and span.is_recording():
                span.set_attributes(_answered(said, model or self._base))
                if self._content:
                    span.set_attributes(_content(messages, said))
            return said


def _answered(said: Sequence[Generation], model: str) -> dict[str, Any]:
    return {
        "gen_ai.output.type": "text",
        "gen_ai.response.model": model,
        "gen_ai.response.finish_reasons": [one.finish_reason for one in said],
        "gen_ai.usage.input_tokens": max((one.prompt_tokens for one in said), default=0),
        "gen_ai.usage.output_tokens": sum(one.tokens for one in said),
    }


def _content(messages: Sequence[Message], said: Sequence[Generation]) -> dict[str, str]:
    def part(text: str) -> list[dict[str, str]]:
        return [{"type": "text", "content": text}]

    asked = [{"role": one.role, "parts": part(one.content)} for one in messages]
    replies = [
        {"role": "assistant", "parts": part(one.text), "finish_reason": one.finish_reason} for one in said
    ]
    return {
        "gen_ai.input.messages": msgspec.json.encode(asked).decode(),
        "gen_ai.output.messages": msgspec.json.encode(replies).decode(),
    }


def provider_of(engine: Speaker) -> str:
    """What traces call whoever makes the replies."""
    return "vllm" if isinstance(engine, Forwarding) else "picktune"


def create_tracing(
    telemetry: Telemetry, *, content: bool | None = None, exporter: SpanExporter | None = None
) -> Tracing:
    """The tracing that the settings ask for, off without an endpoint; raises ``MissingExtra``.

    ``exporter`` takes the spans in place of the endpoint's.
    """
    if telemetry.endpoint is None:
        return Tracing()
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

        if exporter is None:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            endpoint = telemetry.endpoint.rstrip("/")
            exporter = OTLPSpanExporter(endpoint if endpoint.endswith(_PATH) else endpoint + _PATH)
    except ImportError:
        raise MissingExtra("tracing (the setting telemetry.endpoint)", "otel") from None
    resource = Resource.create({"service.name": telemetry.service_name, "service.version": __version__})
    sampler = ParentBased(TraceIdRatioBased(telemetry.sample_ratio))
    provider = TracerProvider(resource=resource, sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(provider, content=telemetry.content if content is None else content, own=True)
