"""``GET /metrics``: what is counted, and how everything is at this moment, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import get_args

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from picktune.auth import require
from picktune.engines.base import Queueing, ReplicaState
from picktune.engines.breaker import BreakerState
from picktune.health import Readiness
from picktune.service import Service
from picktune.wire import HEADERS


def metrics_route(service: Service) -> Route:
    """``/metrics``, for the scope ``admin``: it tells how the arms differ, which a slate must not."""

    async def metrics(request: Request) -> Response:
        require(request, "admin")
        readiness = await service.readiness()
        if readiness.log.ok:
            service.metrics.committed(service.now())
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        content = encode(_Everything(service, readiness))
        return Response(content, headers={**HEADERS, "Content-Type": media_type})

    return Route("/metrics", metrics, name="metrics")


class _Everything(Collector):
    """The service's counters, and its state as it was found for one scrape."""

    def __init__(self, service: Service, readiness: Readiness) -> None:
        self._service = service
        self._readiness = readiness

    def collect(self) -> Iterator[Metric]:
        yield from self._service.metrics.registry.collect()
        now, service = self._readiness, self._service
        up = GaugeMetricFamily("picktune_up", "Whether a part works.", labels=["part"])
        for part in ("engine", "log", "registry"):
            up.add_metric([part], float(getattr(now, part).ok))
        yield up
        if isinstance(service.engine, Queueing):
            yield GaugeMetricFamily(
                "picktune_engine_waiting", "Requests that wait for the engine.", value=service.engine.waiting
            )
        yield from _replicas(now.replicas)
        if service.log_seconds is not None:
            yield GaugeMetricFamily(
                "picktune_log_commit_seconds",
                "How long the log took for a write of one row just now, until it was on disk.",
                value=service.log_seconds,
            )
        yield GaugeMetricFamily(
            "picktune_unkept", "Slates and exposures that wait for the log to come back.", value=now.unkept
        )
        yield CounterMetricFamily(
            "picktune_spooled",
            "Slates and exposures that were written into the journal.",
            value=service.spooled,
        )
        yield GaugeMetricFamily(
            "picktune_journal_bytes", "How much is in the journal now.", value=service.journal_bytes
        )
        yield CounterMetricFamily(
            "picktune_lost", "Slates and exposures that were shown and could not be kept.", value=service.lost
        )
        serving = GaugeMetricFamily(
            "picktune_serving", "1 for each adapter that speaks now.", labels=["alias", "adapter"]
        )
        for alias in ("champion", "challenger"):
            if adapter := getattr(now.adapters, alias):
                serving.add_metric([alias, adapter], 1.0)
        yield serving
        yield GaugeMetricFamily(
            "picktune_adapters_refused",
            "Adapters that an alias names and that do not speak; /readyz says why.",
            value=len(now.problems),
        )
        refusals = CounterMetricFamily(
            "picktune_adapter_refusals", "Attempts to serve an adapter that failed.", labels=["code"]
        )
        for code, count in sorted(service.refusals.items()):
            refusals.add_metric([code], count)
        yield refusals
        info = GaugeMetricFamily("picktune_build_info", "Always 1.", labels=["version"])
        info.add_metric([now.version], 1.0)
        yield info


def _replicas(states: Sequence[ReplicaState]) -> Iterator[Metric]:
    if not states:
        return
    busy = GaugeMetricFamily(
        "picktune_replica_outstanding", "Requests that one server is working on for us.", labels=["replica"]
    )
    breaker = GaugeMetricFamily(
        "picktune_replica_breaker",
        "1 for the state that a server's circuit breaker is in.",
        labels=["replica", "state"],
    )
    opened = CounterMetricFamily(
        "picktune_replica_breaker_opened", "How often a server's breaker opened.", labels=["replica"]
    )
    requests = CounterMetricFamily(
        "picktune_replica_requests",
        "Requests to one server by how they ended.",
        labels=["replica", "outcome"],
    )
    adapters = GaugeMetricFamily(
        "picktune_replica_adapters", "Adapters that one server has loaded.", labels=["replica"]
    )
    for one in states:
        name = one.url.partition("://")[2]
        busy.add_metric([name], one.outstanding)
        for state in get_args(BreakerState):
            breaker.add_metric([name, state], float(state == one.breaker))
        opened.add_metric([name], one.opened)
        adapters.add_metric([name], len(one.adapters))
        for outcome, count in sorted(one.outcomes.items()):
            requests.add_metric([name, outcome], count)
    yield from (busy, breaker, opened, adapters, requests)
