"""The page on which whole conversations are judged, side by side and blind."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from picktune.auth import Viewer
from picktune.pages import reasons
from picktune.pages.render import render
from picktune.service import Service


class ComparePage:
    """``/compare``; its script asks the API for what to show."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, request: Request, viewer: Viewer) -> Response:
        """The page around the comparison."""
        return render(
            request,
            "compare.html",
            viewer=viewer,
            here="compare",
            may_undo=not self._service.settings.reveal,
            reasons_for=reasons.FOR,
        )
