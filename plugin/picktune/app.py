"""The sidecar: the same Picktune as the middleware mounts, as an application of its own."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from picktune.errors import PicktuneError
from picktune.middleware import FeedbackMiddleware
from picktune.mount import health_routes
from picktune.service import Service, create_service
from picktune.settings import Settings
from picktune.wire import on_error


def create_app(settings: Settings | None = None, *, service: Service | None = None) -> Starlette:
    """An application that serves everything under ``settings.prefix``, and its health at the root as well.

    It starts and closes the service. The root leads to the workbench. Raises ``MissingExtra`` if the engine's
    packages are not installed.
    """
    service = service or create_service(settings or Settings())

    async def home(request: Request) -> Response:
        return RedirectResponse(f"{request.scope.get('root_path', '')}{service.settings.prefix}/workbench")

    app = Starlette(
        routes=[Route("/", home), *health_routes(service)],
        middleware=[Middleware(FeedbackMiddleware, service=service)],
        exception_handlers={PicktuneError: on_error, HTTPException: on_error, Exception: on_error},
    )
    app.state.service = service
    return app
