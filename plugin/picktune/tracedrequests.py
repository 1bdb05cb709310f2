"""A span for each request: how long it took and how it ended, not what it said."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from picktune.tracing import Tracing

# Those who watch ask every few seconds; their spans would drown the others.
_UNTRACED = ("/healthz", "/readyz", "/metrics")
_PARENT = (b"traceparent", b"tracestate")


class TracedRequests:
    """Follows the trace that a request names in ``traceparent``; the answer does not name it."""

    def __init__(self, app: ASGIApp, *, tracing: Tracing) -> None:
        self.app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on within its span."""
        if scope["type"] != "http" or scope["path"].endswith(_UNTRACED):
            await self.app(scope, receive, send)
            return
        headers = {
            name.decode("ascii"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in _PARENT
        }
        method, mount = scope["method"], scope.get("endpoint")
        attributes = {"http.request.method": method, "url.scheme": scope.get("scheme", "http")}
        with self._tracing.request(method, headers, attributes) as span:

            async def noticing(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_attribute("error.type", str(message["status"]))
                    if (route := _route(scope, mount)) is not None:
                        span.set_attribute("http.route", route)
                        span.update_name(f"{method} {route}")
                await send(message)

            await self.app(scope, receive, noticing)


def _route(scope: Scope, before: object) -> str | None:
    """The route's template, such as ``/picktune/v1/slates/{slate_id}``, if one was found.

    The path itself may hold what a client calls a conversation, and is not told.
    """
    if scope.get("endpoint") is before:  # only the mount's own
        return None
    path: str = scope["path"]
    for name, value in (scope.get("path_params") or {}).items():
        text = str(value)
        if "/" in text:
            path = path.removesuffix(text) + f"{{{name}}}"
        else:
            path = "/".join(f"{{{name}}}" if part == text else part for part in path.split("/"))
    return path
