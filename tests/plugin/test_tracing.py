"""Traces say how long each step took and what each arm was asked; nothing of them reaches who picks."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import pytest
from msgspec import structs
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from picktune.engines.vllm import VLLMEngine
from picktune.errors import EngineError, MissingExtra
from picktune.log import SQLiteLog
from picktune.records import Message
from picktune.service import Service
from picktune.settings import Settings
from picktune.telemetry import Telemetry
from picktune.tracing import Tracing, create_tracing
from picktune_adapters.registry import Registry

pytestmark = pytest.mark.anyio

SECRET = "Xyzzy-4711"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


class Traced:
    """A tracing whose spans a test can read."""

    def __init__(self, *, content: bool = False) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracing = Tracing(provider, content=content, own=True)

    def named(self, name: str) -> list[ReadableSpan]:
        return [one for one in self.exporter.get_finished_spans() if one.name == name]


@pytest.fixture
def traced() -> Traced:
    return Traced()


@pytest.fixture
async def service(settings: Settings, engine: Any, clock: Any, traced: Traced) -> AsyncIterator[Service]:
    service = Service(
        settings,
        log=SQLiteLog.open(settings.log_path),
        engine=engine,
        registry=Registry(settings.registry_path),
        rng=random.Random(1),
        now=clock,
        tracing=traced.tracing,
    )
    await service.until_ready(10)
    yield service
    await service.close()


def ids(span: ReadableSpan) -> tuple[int, int | None]:
    assert span.context is not None
    return span.context.trace_id, span.parent.span_id if span.parent else None


async def test_a_slate_and_its_pick(api: Any, traced: Traced) -> None:
    body = {"messages": [{"role": "user", "content": f"Where is {SECRET}?"}], "viewer": "mei"}
    answer = await api.post("/v1/slates", body, headers={"traceparent": PARENT})
    assert answer.status_code == 201
    slate = answer.json()
    pick = {"key": "k", "slate_id": slate["id"], "verdict": "chosen", "annotator": "mei", "role": "agent"}
    pick["candidate_id"] = slate["candidates"][0]["id"]
    assert (await api.post("/v1/picks", pick)).status_code in (200, 201)
    assert (await api.get("/readyz")).status_code == 200
    assert (await api.get(f"/v1/slates/{slate['id']}?viewer=mei")).status_code == 200
    assert (await api.get(f"/nothing/{SECRET}")).status_code == 404

    (request,) = traced.named("POST /picktune/v1/slates")
    assert request.kind is SpanKind.SERVER
    assert ids(request) == (int(TRACE, 16), 0xB7AD6B7169203331)
    assert dict(request.attributes or {}) == {
        "http.request.method": "POST",
        "url.scheme": "http",
        "http.route": "/picktune/v1/slates",
        "http.response.status_code": 201,
    }
    (draw,) = traced.named("picktune.draw")
    assert ids(draw) == (int(TRACE, 16), request.context.span_id)
    assert dict(draw.attributes or {}) == {
        "picktune.policy": "2+2",
        "picktune.slate.id": slate["id"],
        "picktune.slate.complete": True,
    }
    said = traced.named("chat scripted")
    assert len(said) == 2  # both arms; no adapter speaks yet
    for one in said:
        assert (one.kind, ids(one)) == (SpanKind.CLIENT, (int(TRACE, 16), draw.context.span_id))
        told = dict(one.attributes or {})
        assert isinstance(told.pop("gen_ai.request.seed"), int)
        assert told == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "picktune",
            "gen_ai.request.model": "scripted",
            "gen_ai.conversation.id": slate["conversation_id"],
            "gen_ai.request.temperature": 0.8,
            "gen_ai.request.top_p": 0.95,
            "gen_ai.request.max_tokens": 160,
            "gen_ai.request.choice.count": 2,
            "gen_ai.output.type": "text",
            "gen_ai.response.model": "scripted",
            "gen_ai.response.finish_reasons": ("stop", "stop"),
            "gen_ai.usage.input_tokens": 0,
            "gen_ai.usage.output_tokens": 10,
        }
    (write,) = traced.named("picktune.log_write")
    assert ids(write)[0] == int(TRACE, 16)
    (kept,) = traced.named("picktune.pick")
    assert (kept.attributes or {})["picktune.verdict"] == "chosen"
    assert len(traced.named("GET /picktune/v1/slates/{slate_id}")) == 1
    (lost,) = traced.named("GET")  # where nothing is, the path is told neither
    assert (lost.attributes or {})["http.response.status_code"] == 404
    everything = "".join(one.to_json() for one in traced.exporter.get_finished_spans())
    for secret in (SECRET, slate["candidates"][0]["text"], "readyz", api.key):
        assert secret not in everything
    # Who picks learns nothing of the spans, which say who spoke.
    own = {f"{one.context.span_id:016x}" for one in traced.exporter.get_finished_spans()}
    assert not [one for one in own if one in answer.text or one in str(answer.headers)]
    assert "trace" not in str(answer.headers).lower()


async def test_what_fails_says_which_kind_only(api: Any, traced: Traced, engine: Any) -> None:
    engine.error = EngineError(f"it said {SECRET}")
    answer = await api.post("/v1/slates", {"messages": [{"role": "user", "content": "Hi"}]})
    assert answer.status_code >= 500
    for name in ("chat scripted", "picktune.draw"):
        spans = traced.named(name)
        assert spans, name
        for span in spans:
            assert not span.status.is_ok
            assert (span.attributes or {})["error.type"] == EngineError.code
    assert SECRET not in "".join(one.to_json() for one in traced.exporter.get_finished_spans())


@pytest.mark.parametrize("consent", ["train", "none"])
async def test_content_only_where_it_may_be_kept(settings: Settings, engine: Any, consent: Any) -> None:
    traced = Traced(content=True)
    service = Service(
        settings,
        log=SQLiteLog.open(settings.log_path),
        engine=engine,
        registry=Registry(settings.registry_path),
        tracing=traced.tracing,
    )
    await service.until_ready(10)
    try:
        await service.draw([Message(role="user", content=SECRET)], consent=consent)
    finally:
        await service.close()
    for span in traced.named("chat scripted"):
        told = dict(span.attributes or {})
        if consent == "none":
            assert SECRET not in span.to_json()
        else:
            asked = json.loads(str(told["gen_ai.input.messages"]))
            assert asked == [{"role": "user", "parts": [{"type": "text", "content": SECRET}]}]
            replies = json.loads(str(told["gen_ai.output.messages"]))
            assert [one["finish_reason"] for one in replies] == ["stop", "stop"]
    assert len(traced.named("chat scripted")) == 2


async def test_vllm_joins_the_trace(traced: Traced) -> None:
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": "base", "root": "base", "max_model_len": 512}]})
        seen.append(request.headers.get("traceparent"))
        choice = {"index": 0, "message": {"content": "Yes."}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 7, "completion_tokens": 2}
        return httpx.Response(200, json={"choices": [choice], "usage": usage})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        engine = VLLMEngine("http://vllm.test:8000", client=client)
        await engine.start()
        sampling = Settings().sampling
        asked = [Message(role="user", content="Hi")]
        speaker = traced.tracing.speaker(engine, provider="vllm", base="base", conversation_id="c")
        await speaker.generate(asked, model=None, n=1, sampling=sampling, seed=1)
        await engine.generate(asked, model=None, n=1, sampling=sampling, seed=1)
    (span,) = traced.named("chat base")
    told = dict(span.attributes or {})
    assert (told["server.address"], told["server.port"]) == ("vllm.test", 8000)
    assert told["gen_ai.usage.input_tokens"] == 7
    assert "gen_ai.request.choice.count" not in told
    assert seen[0] is not None
    assert seen[0].startswith(f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-")
    assert seen[1:] == [None]


@pytest.fixture
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """An address that takes OTLP over HTTP, and what it took."""
    taken: list[ExportTraceServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            taken.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", taken
    server.shutdown()
    thread.join()
    server.server_close()


async def test_a_collector_gets_them(
    settings: Settings, engine: Any, collector: tuple[str, list[ExportTraceServiceRequest]]
) -> None:
    from picktune.service import create_service

    endpoint, taken = collector
    telemetry = Telemetry(endpoint=endpoint, service_name="desk")
    service = create_service(structs.replace(settings, telemetry=telemetry), engine=engine)
    await service.until_ready(10)
    await service.draw([Message(role="user", content="Hi")])
    await service.close()  # sends what waits
    resources = [one for request in taken for one in request.resource_spans]
    named = {pair.key: pair.value.string_value for pair in resources[0].resource.attributes}
    assert named["service.name"] == "desk"
    spans = [span.name for one in resources for scope in one.scope_spans for span in scope.spans]
    assert sorted(spans) == ["chat scripted", "chat scripted", "picktune.draw", "picktune.log_write"]


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    assert not create_tracing(Telemetry()).on
    with pytest.raises(MissingExtra, match=r"picktune\[otel\]"):
        create_tracing(Telemetry(endpoint="http://127.0.0.1:4318"))


def test_it_costs_nothing_where_it_is_off() -> None:
    code = "import sys, picktune.app; print([one for one in sys.modules if one.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
