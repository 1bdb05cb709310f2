"""What a running Picktune counts and times, for Prometheus; nothing here knows a text or a person."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from picktune.errors import PicktuneError
from picktune.naming import NAMED
from picktune.records import Pick, Reaction, Slate

Phase = Literal["draw", "log_write", "pick"]
Limited = Literal["slates", "picks", "signals", "streams"]

# From a write to a fast disk to the longest that an arm may take.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

# What the drawing of a slate says where an arm is left out, by words that only one kind of failure has.
_WORDS = {
    "did not answer within": "late",
    "said the same words twice": "repeated",
    " replies": "too_few",
}
_KINDS = {
    "EngineError": "failed",
    "EngineDown": "engine_down",
    "EngineBusy": "engine_busy",
    "AdapterNotFound": "adapter_not_found",
}


class Metrics:
    """The counters of one service, in a registry of their own, so that several in one process stay apart.

    ``in_progress`` is how many slates are being drawn. Labels are names out of short lists: phases, kinds of
    arms, policies, verdicts, codes of errors.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.in_progress = 0
        self._phases = Histogram(
            "picktune_phase_seconds",
            "How long a step took that succeeded: drawing a slate, keeping it in the log, keeping a pick.",
            ["phase"],
            registry=self.registry,
            buckets=SECONDS,
        )
        self._replies = Histogram(
            "picktune_reply_seconds",
            "From a request's submission to the last token of a reply, by the kind of arm that spoke.",
            ["kind"],
            registry=self.registry,
            buckets=SECONDS,
        )
        self._slates = self._counter("slates", "Slates drawn.", "policy", "complete")
        self._left_out = self._counter(
            "incomplete", "Why slates lack something; each may for several.", "why"
        )
        self._named = self._counter("self_named_slates", "Slates in which a reply says which model wrote it.")
        self._failed = self._counter("draws_failed", "Draws that gave no slate, by the error's code.", "code")
        self._picks = self._counter("picks", "Decisions kept; the same one again is not.", "verdict", "role")
        self._reactions = self._counter("reactions", "Thumbs kept.", "value")
        self._limited = self._counter("rate_limited", "Requests beyond a rate limit.", "limit")
        self._reloads = self._counter(
            "configuration_reloads", "Changed settings that were read, and whether they could be.", "result"
        )
        self._reloaded = Gauge(
            "picktune_configuration_last_success_timestamp_seconds",
            "When changed settings were last read; 0 if never.",
            registry=self.registry,
        )
        self._drawing = Gauge(
            "picktune_slates_drawing", "Slates that are being drawn now.", registry=self.registry
        )
        self._committed = Gauge(
            "picktune_log_last_commit_timestamp_seconds",
            "When something was last known to be on disk.",
            registry=self.registry,
        )

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(f"picktune_{name}", says, labels, registry=self.registry)

    @contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """Time what is done inside; what fails is not timed."""
        begin = time.perf_counter()
        yield
        self._phases.labels(name).observe(time.perf_counter() - begin)

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Time and count the drawing of a slate, and count by its code what ends it without one."""
        self.in_progress += 1
        self._drawing.set(self.in_progress)
        try:
            with self.phase("draw"):
                yield
        except PicktuneError as error:
            self._failed.labels(error.code).inc()
            raise
        except Exception:
            self._failed.labels("internal_error").inc()
            raise
        finally:
            self.in_progress -= 1
            self._drawing.set(self.in_progress)

    def drew(self, slate: Slate) -> None:
        """Count a slate, and time its replies."""
        self._slates.labels(slate.policy, str(slate.complete).lower()).inc()
        if NAMED in slate.turn.tags:
            self._named.inc()
        for failure in slate.failures:
            self._left_out.labels(why_of(failure)).inc()
        for candidate in slate.candidates:
            self._replies.labels(candidate.kind).observe(candidate.latency)

    def picked(self, pick: Pick) -> None:
        """Count a decision."""
        self._picks.labels(pick.verdict, pick.role).inc()

    def reacted(self, reaction: Reaction) -> None:
        """Count a reaction."""
        self._reactions.labels(reaction.value).inc()

    def limited(self, limit: Limited) -> None:
        """Count a request that came too soon."""
        self._limited.labels(limit).inc()

    def reloaded(self, *, well: bool) -> None:
        """Count that the settings were read again."""
        self._reloads.labels("ok" if well else "failed").inc()
        if well:
            self._reloaded.set_to_current_time()

    def committed(self, at: datetime) -> None:
        """Note that the log has just kept something."""
        self._committed.set(at.timestamp())


def why_of(failure: str) -> str:
    """The one word for why an arm was left out of a slate; see ``Slate.failures``."""
    kind, _, words = failure.partition(": ")
    if kind == "EngineError":
        return next((why for text, why in _WORDS.items() if text in words), _KINDS[kind])
    return _KINDS.get(kind, "other")
