"""What stands around every page: who may see it, and what is shown where it fails."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from picktune.auth import Viewer, current_viewer, require
from picktune.belonging import check_staff
from picktune.errors import Forbidden, NotFound, PicktuneError, Unauthenticated
from picktune.keys import Scope
from picktune.pages.i18n import translator
from picktune.pages.render import base_of, render
from picktune.wire import error_answer

logger = logging.getLogger("picktune")

Endpoint = Callable[[Request], Awaitable[Response]]
Guarded = Callable[[Request, Viewer], Awaitable[Response]]


def page(scope: Scope, endpoint: Guarded) -> Endpoint:
    """An endpoint that answers with a page, for viewers with the scope; its errors are pages too."""

    async def guarded(request: Request) -> Response:
        viewer = None
        try:
            viewer = require(request, scope)
            return await endpoint(request, viewer)
        except PicktuneError as error:
            return error_page(request, error, viewer)
        except Exception as error:
            logger.exception("the page %s failed", request.url.path)
            return error_page(request, error, viewer)

    return guarded


def data(scope: Scope, endpoint: Guarded) -> Endpoint:
    """An endpoint that answers the pages' scripts with JSON; its errors have the API's shape."""

    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request, require(request, scope))
        except PicktuneError as error:
            return error_answer(error)

    return guarded


def staff(endpoint: Guarded) -> Guarded:
    """An endpoint that is not for end users, whatever their sessions' scopes."""

    async def guarded(request: Request, viewer: Viewer) -> Response:
        check_staff(viewer)
        return await endpoint(request, viewer)

    return guarded


def error_page(request: Request, error: Exception, viewer: Viewer | None = None) -> Response:
    """A failure as a page in the reader's language, for a browser that asked for a page."""
    t = translator(request)
    viewer = viewer or _signed_in(request)
    back = {"link": f"{base_of(request)}/workbench", "link_text": t("error.back")} if viewer else {}
    if isinstance(error, Unauthenticated):
        return how_to_enter(request, status=401)
    if isinstance(error, Forbidden):
        kind, status, detail = "forbidden", 403, ""
    elif isinstance(error, NotFound) or getattr(error, "status_code", 0) == 404:
        kind, status, detail = "not_found", 404, ""
    else:
        kind, status = "server", getattr(error, "status", 500)
        detail = error.message if isinstance(error, PicktuneError) else ""
    return render(
        request,
        "message.html",
        viewer=viewer,
        status=status,
        heading=t(f"error.{kind}_title"),
        paragraphs=[t(f"error.{kind}_text")],
        detail=detail,
        **back,
    )


def _signed_in(request: Request) -> Viewer | None:
    try:
        return current_viewer(request)
    except PicktuneError:
        return None


def how_to_enter(request: Request, *, status: int) -> Response:
    """Where somebody stands who is not signed in."""
    t = translator(request)
    return render(
        request,
        "message.html",
        viewer=None,
        status=status,
        heading=t("enter.title"),
        paragraphs=[t("enter.text"), t("enter.how")],
        command="picktune link NAME",
    )
