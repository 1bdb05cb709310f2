"""Everything that lies under the prefix, as one application: API, gateway, pages, and how it all is."""

from __future__ import annotations

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from picktune import gateway, pages
from picktune.api import ENDPOINTS
from picktune.auth import CSRF_HEADER
from picktune.errors import PicktuneError
from picktune.gateway.routes import CONVERSATION_HEADER
from picktune.health import Liveness
from picktune.scrape import metrics_route
from picktune.service import Service
from picktune.tracedrequests import TracedRequests
from picktune.wire import BodyLimit, json_answer, on_error


def mounted(service: Service) -> Starlette:
    """The application that is mounted under ``settings.prefix``; it does not start the service."""
    settings = service.settings
    middleware = [Middleware(BodyLimit, limit=settings.body_limit)]
    if service.tracing.on:
        middleware.insert(0, Middleware(TracedRequests, tracing=service.tracing))
    if settings.cors_origins:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "Content-Type", CSRF_HEADER, CONVERSATION_HEADER],
                expose_headers=["Retry-After"],
                max_age=600,
            )
        )
    app = Starlette(
        routes=[
            *gateway.routes(service),  # first: routes are tried in turn, and chats are the most
            *(endpoint.route(service) for endpoint in ENDPOINTS),
            *health_routes(service),
            metrics_route(service),
            _openapi_route(settings.prefix),
            *pages.routes(service),
        ],
        middleware=middleware,
        exception_handlers={PicktuneError: on_error, HTTPException: _on_http_error, Exception: on_error},
    )
    app.state.service = service
    app.state.auth = service.auth
    return app


def health_routes(service: Service) -> list[Route]:
    """``/healthz``: the process answers. ``/readyz``: and a slate could be drawn and kept now, or 503."""

    async def healthz(request: Request) -> Response:
        return json_answer(Liveness())

    async def readyz(request: Request) -> Response:
        readiness = await service.readiness()
        return json_answer(readiness, 200 if readiness.ready else 503)

    return [Route("/healthz", healthz, name="healthz"), Route("/readyz", readyz, name="readyz")]


def _openapi_route(prefix: str) -> Route:
    content: bytes | None = None

    async def openapi(request: Request) -> Response:
        nonlocal content
        if content is None:
            # Not before somebody asks: it needs types that a server should not wait for.
            from picktune.openapi import document

            content = msgspec.json.encode(document(prefix))
        return Response(content, media_type="application/json")

    return Route("/openapi.json", openapi, name="openapi")


async def _on_http_error(request: Request, error: Exception) -> Response:
    # A person who mistypes an address wants a page; a program wants the one shape of every error.
    wants_page = "text/html" in request.headers.get("accept", "")
    if wants_page and request.method == "GET" and "/v1/" not in request.url.path:
        return pages.error_page(request, error)
    return await on_error(request, error)
