"""The pages: the workbench, the support rate and the adapters, for people with a browser."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from picktune.auth import Viewer
from picktune.pages.adapters_page import AdaptersPage
from picktune.pages.assets import Static
from picktune.pages.campaigns_page import CampaignsPage
from picktune.pages.compare_page import ComparePage
from picktune.pages.desk import Desk
from picktune.pages.door import Door
from picktune.pages.guard import data, error_page, page, staff
from picktune.service import Service

__all__ = ["error_page", "routes"]


def routes(service: Service) -> list[BaseRoute]:
    """All pages, to be mounted below one path. The application keeps ``service.auth`` in its state."""
    desk, door, adapters = Desk(service), Door(service), AdaptersPage(service)

    async def support(request: Request, viewer: Viewer) -> Response:
        # Its intervals need scipy, which would double the time in which a server starts.
        from picktune.pages.support_page import SupportPage

        return await SupportPage(service)(request, viewer)

    async def support_sheet(request: Request, viewer: Viewer) -> Response:
        from picktune.pages.support_page import SupportPage

        return await SupportPage(service).download(request, viewer)

    return [
        Route("/", door.home, name="home"),
        Route("/enter", door.enter, name="enter"),
        Route("/leave", door.leave, methods=["POST"], name="leave"),
        Route("/left", door.left, name="left"),
        Route("/workbench", page("pick", staff(desk.queue)), name="workbench"),
        Route("/workbench.json", data("pick", staff(desk.queue_data)), name="queue-data"),
        Route(
            "/workbench/{conversation_id:path}", page("pick", staff(desk.conversation)), name="conversation"
        ),
        Route("/conversation.json", data("pick", staff(desk.conversation_data)), name="conversation-data"),
        Route("/session.json", data("read", desk.session), name="session-data"),
        Route("/reply", data("pick", staff(desk.reply)), methods=["POST"], name="reply"),
        Route("/support", page("read", support), name="support"),
        Route("/support.csv", page("read", support_sheet), name="support-sheet"),
        Route("/compare", page("pick", staff(ComparePage(service))), name="compare"),
        Route("/campaigns", page("read", CampaignsPage(service)), name="campaigns"),
        Route("/adapters", page("read", adapters), name="adapters"),
        Route("/adapters/move", data("admin", adapters.move), methods=["POST"], name="move"),
        Mount("/static", Static(), name="static"),
    ]
