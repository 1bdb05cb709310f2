"""The stylesheets and scripts: asked for again at every visit, sent again only when they have changed."""

from __future__ import annotations

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from picktune.pages.render import FOLDER


class Static(StaticFiles):
    """Our own files; scripts import each other, so none may be older than the rest."""

    def __init__(self) -> None:
        super().__init__(directory=FOLDER / "static", check_dir=False)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file; a browser keeps it, but asks whether it is still the newest."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response
