"""Coming in by a link, and going out."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from picktune.errors import Forbidden, Unauthenticated
from picktune.pages.guard import error_page, how_to_enter
from picktune.pages.i18n import translator
from picktune.pages.render import base_of, render
from picktune.service import Service


class Door:
    """The pages that need no session."""

    def __init__(self, service: Service) -> None:
        self._auth = service.auth

    async def enter(self, request: Request) -> Response:
        """Sign in with ``?token=``; without one, say how to get a link."""
        token = request.query_params.get("token")
        if token is None:
            return how_to_enter(request, status=200)
        t = translator(request)
        # The next page is reached by a refresh, not by a redirect: a browser that came from another site
        # would not send the new, strict cookie along with a redirect.
        target = f"{base_of(request)}/workbench"
        response = render(
            request,
            "entering.html",
            viewer=None,
            heading=t("enter.entering"),
            paragraphs=[],
            link=target,
            link_text=t("enter.continue"),
            target=target,
        )
        try:
            self._auth.sign_in(token, response)
        except Unauthenticated:
            return render(
                request,
                "message.html",
                viewer=None,
                status=401,
                heading=t("enter.bad_title"),
                paragraphs=[t("enter.bad_text"), t("enter.how")],
                command="picktune link NAME",
            )
        return response

    async def leave(self, request: Request) -> Response:
        """Sign out: a form of our own pages, which proves so with the session's CSRF token."""
        try:
            viewer = self._auth.viewer_of(request)
        except Unauthenticated as error:
            return error_page(request, error)
        async with request.form(max_fields=4, max_files=0) as form:
            token = form.get("csrf")
        try:
            self._auth.check_csrf(viewer, token if isinstance(token, str) else None)
        except Forbidden as error:
            return error_page(request, error, viewer)
        response = RedirectResponse(f"{base_of(request)}/left", status_code=303)
        self._auth.sign_out(response)
        return response

    async def left(self, request: Request) -> Response:
        """After signing out."""
        t = translator(request)
        return render(
            request,
            "message.html",
            viewer=None,
            heading=t("enter.left_title"),
            paragraphs=[t("enter.left_text")],
        )

    async def home(self, request: Request) -> Response:
        """The prefix itself leads to the workbench."""
        return RedirectResponse(f"{base_of(request)}/workbench", status_code=303)
