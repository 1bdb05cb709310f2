"""Where traces go: the table ``telemetry`` of the settings."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from picktune.records import Record


class Telemetry(Record, frozen=True, kw_only=True):
    """Without an ``endpoint`` nothing is traced, and nothing of OpenTelemetry is imported.

    The endpoint takes OTLP over HTTP; ``/v1/traces`` is added to it where it is missing. ``sample_ratio`` is
    the share of traces that begin here; one that a caller began is followed as the caller decided.
    ``content``: messages and replies are in the spans too, but never where redaction is on, nor those of
    users who agree to nothing being kept.
    """

    endpoint: Annotated[str, Meta(pattern=r"^https?://[^/\s]+")] | None = None
    service_name: Annotated[str, Meta(min_length=1)] = "picktune"
    sample_ratio: Annotated[float, Meta(ge=0.0, le=1.0)] = 1.0
    content: bool = False
