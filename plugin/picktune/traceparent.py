"""What a request to a model's server says of the trace that it belongs to."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol


class Asking(Protocol):
    """A generation that is being traced."""

    def headers(self, url: str) -> dict[str, str]:
        """``traceparent``, and ``tracestate`` if there is one; notes that the server at ``url`` is asked."""
        ...


ASKING: ContextVar[Asking | None] = ContextVar("picktune_asking", default=None)


def trace_headers(url: str) -> dict[str, str]:
    """The headers for a request to ``url``: none unless a generation is being traced."""
    asking = ASKING.get()
    return {} if asking is None else asking.headers(url)
