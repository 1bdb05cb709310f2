"""One row of the JSON API's table: an address, who may ask, what it takes and what it gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from picktune.auth import Viewer, require
from picktune.errors import Forbidden, InvalidInput, NotFound
from picktune.keys import Scope
from picktune.metrics import Limited
from picktune.records import AnnotatorRole, Record
from picktune.service import Service
from picktune.wire import json_answer, read_body, read_query


class Call(Record, frozen=True, kw_only=True):
    """One authenticated request, with its body and its query decoded."""

    service: Any
    viewer: Viewer
    path: dict[str, str]
    body: Any = None
    query: Any = None

    def shown_to(self, named: str | None) -> str | None:
        """To whom a slate is shown: a browser session to itself, a server to whom it names."""
        if not self.viewer.is_browser:
            return named
        if named not in (None, self.viewer.name):
            raise Forbidden(f"this session sees slates as {self.viewer.name!r} only", field="viewer")
        return self.viewer.name

    def must_be_shown_to(self, named: str | None) -> str:
        """See ``shown_to``; raises ``InvalidInput`` if nobody is named."""
        viewer = self.shown_to(named)
        if viewer is None:
            raise InvalidInput("say to whom it is shown: send a viewer", field="viewer")
        return viewer

    def decides_as(self, annotator: str | None, role: AnnotatorRole | None) -> tuple[str, AnnotatorRole]:
        """Who decides: a browser session itself; behind a server whom it names, a user unless it says."""
        if not self.viewer.is_browser:
            if annotator is None:
                raise InvalidInput("say who decided: send an annotator", field="annotator")
            return annotator, role or "user"
        if annotator not in (None, self.viewer.name):
            raise Forbidden(f"this session decides as {self.viewer.name!r} only", field="annotator")
        if role not in (None, self.viewer.role):
            raise Forbidden(f"this session decides as {self.viewer.role!r} only", field="role")
        return self.viewer.name, self.viewer.role

    async def check_bound(self) -> None:
        """Raise ``Forbidden`` unless what is asked is of the conversation that a viewer token is for."""
        if self.viewer.conversation is None:
            return
        service: Service = self.service
        conversation = self.path.get("conversation_id")
        if conversation is None:
            try:
                if slate_id := self.path.get("slate_id") or getattr(self.body, "slate_id", None):
                    slate = await service.slate(slate_id)
                else:
                    slate = await service.slate_of_candidate(getattr(self.body, "candidate_id", ""))
                conversation = slate.turn.conversation_id
            except NotFound:
                # What there is elsewhere, and what is not there at all, must look the same.
                conversation = None
        if conversation != self.viewer.conversation:
            raise Forbidden(f"this token is for the conversation {self.viewer.conversation!r} only")


Handler = Callable[[Call], Awaitable[Record]]


class Endpoint(Record, frozen=True, kw_only=True):
    """One row. ``answer`` is a function, so that a type that is slow to import is only asked for when needed.

    ``errors`` are the codes beyond those that every address can give; ``limit`` names the rate that counts.
    ``bound`` lets the holders of viewer tokens in: the path or the body names a conversation, a slate or a
    candidate, which has to be of theirs.
    """

    method: str
    path: str
    scope: Scope
    handler: Handler
    answer: Callable[[], type[Record]]
    status: int = 200
    body: type[Record] | None = None
    query: type[Record] | None = None
    errors: tuple[str, ...] = ()
    limit: Limited | None = None
    bound: bool = False

    @property
    def name(self) -> str:
        """The handler's name, which is the operation's id."""
        return str(getattr(self.handler, "__name__", ""))

    def route(self, service: Service) -> Route:
        """The route that checks who asks, decodes, calls the handler and encodes."""

        async def respond(request: Request) -> Response:
            viewer = require(request, self.scope, bound=self.bound)
            if self.limit is not None:
                service.limits.take(self.limit, viewer)
            call = Call(
                service=service,
                viewer=viewer,
                path=dict(request.path_params),
                body=await read_body(request, self.body) if self.body else None,
                query=read_query(request, self.query) if self.query else None,
            )
            await call.check_bound()
            return json_answer(await self.handler(call), self.status)

        return Route(f"/v1{self.path}", respond, methods=[self.method], name=self.name)
