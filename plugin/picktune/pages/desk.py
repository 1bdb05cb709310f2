"""The workbench: the queue, one conversation, and replies that are written by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Annotated, TypeVar

from anyio import to_thread
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from picktune.auth import Viewer
from picktune.campaigns import without_reserved
from picktune.errors import Conflict, ConversationNotFound, InvalidInput, SlateNotFound
from picktune.log import LogReader
from picktune.pages import reasons
from picktune.pages.i18n import Translator, translator
from picktune.pages.queue import Queue, read_queue
from picktune.pages.render import html_lang, render
from picktune.records import Conversation, Exposure, LongText, Pick, Record, Slate, Turn
from picktune.service import Service
from picktune.signals import Scale
from picktune.wire import json_answer, read_body

T = TypeVar("T")


class OwnReply(Record, frozen=True, kw_only=True):
    """A reply without a slate. ``messages`` is how many there were when it was written."""

    key: Annotated[str, Meta(min_length=1, max_length=200)]
    conversation_id: str
    text: LongText
    messages: int


class Desk:
    """The workbench's pages, and the JSON that their scripts ask for."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def queue(self, request: Request, viewer: Viewer) -> Response:
        """The queue alone."""
        queue = await self._queue(request, translator(request), viewer)
        return render(
            request, "workbench.html", viewer=viewer, here="workbench", queue=queue, conversation=None
        )

    async def conversation(self, request: Request, viewer: Viewer) -> Response:
        """One conversation beside the queue; its replies are asked for by the page's script."""
        t = translator(request)
        conversation = await self._service.conversation(request.path_params["conversation_id"])
        queue = await self._queue(request, t, viewer)
        return render(
            request,
            "workbench.html",
            viewer=viewer,
            here="workbench",
            queue=queue,
            conversation=conversation,
            lang=html_lang(conversation.locale),
            waiting=t.since(conversation.updated_at, self._service.now()),
            may_undo=not self._service.settings.reveal,
            next_id=queue.after(conversation.id),
            scales=await self._scales(conversation, viewer),
            reasons_for=reasons.FOR,
            reasons_against=reasons.AGAINST,
        )

    async def queue_data(self, request: Request, viewer: Viewer) -> Response:
        """The queue, and how the conversation ``?current=`` stands."""
        t = translator(request)
        queue = await self._queue(request, t, viewer)
        current = None
        try:
            if wanted := request.query_params.get("current"):
                open_now = await self._service.conversation(wanted)
                current = {"status": open_now.status, "messages": len(open_now.messages)}
        except ConversationNotFound:
            pass
        return json_answer({"total": t.number(queue.total), "rows": queue.rows, "current": current})

    async def conversation_data(self, request: Request, viewer: Viewer) -> Response:
        """The conversation ``?id=`` as it stands; what the customer is still to say stays here."""
        conversation = await self._service.conversation(request.query_params.get("id", ""))
        return json_answer({"status": conversation.status, "messages": conversation.messages})

    async def session(self, request: Request, viewer: Viewer) -> Response:
        """Who is signed in, for a page that was left open while somebody signed in again."""
        return json_answer({"name": viewer.name, "csrf": viewer.csrf})

    async def reply(self, request: Request, viewer: Viewer) -> Response:
        """Send a reply that was written by hand because there were no replies to choose from.

        It is kept as what it is: an incomplete slate without candidates, on which none was good.
        """
        self._service.limits.take("picks", viewer)
        own = await read_body(request, OwnReply)
        if not own.text.strip():
            raise InvalidInput("the reply is empty; write one", field="text")
        # The same key makes the same slate, so that a repeated request sends nothing twice.
        digest = hashlib.sha256(f"{viewer.name}\0{own.conversation_id}\0{own.key}".encode())
        slate_id = digest.hexdigest()[:32]
        try:
            await self._service.slate(slate_id)
        except SlateNotFound:
            await self._service.keep_stored(await self._empty_slate(slate_id, own))
        now = self._service.now()
        await self._service.log.add_exposure(
            Exposure(slate_id=slate_id, viewer=viewer.name, order=(), shown_at=now)
        )
        pick = await self._service.pick(
            Pick(
                key=own.key,
                slate_id=slate_id,
                verdict="none_good",
                edited_text=own.text,
                annotator=viewer.name,
                role=viewer.role,
                decided_at=now,
            )
        )
        return json_answer({"slate_id": pick.slate_id, "verdict": pick.verdict})

    async def _empty_slate(self, slate_id: str, own: OwnReply) -> Slate:
        conversation = await self._service.stored_conversation(own.conversation_id)
        if conversation.status == "closed" or len(conversation.messages) != own.messages:
            raise Conflict(
                f"conversation {conversation.id!r} has moved on since; read it again", field="conversation_id"
            )
        now = self._service.now()
        turn = Turn(
            id=slate_id,
            conversation_id=conversation.id,
            messages=conversation.messages,
            user_ref=conversation.user_ref,
            consent=conversation.consent,
            tags=without_reserved(conversation.tags),
            locale=conversation.locale,
            created_at=now,
        )
        return Slate(
            id=slate_id,
            turn=turn,
            candidates=(),
            policy="none",
            seed=0,
            complete=False,
            failures=("nothing was drawn: the reply was written by hand",),
            created_at=now,
        )

    async def _scales(self, conversation: Conversation, viewer: Viewer) -> tuple[Scale, ...]:
        if viewer.role != "expert":
            return ()
        campaign = await self._service.campaign_for(conversation, viewer.name)
        own = (campaign.scale,) if campaign and campaign.scale else ()
        names = {scale.name for scale in self._service.scales()}
        return (*self._service.scales(), *(scale for scale in own if scale.name not in names))

    async def _queue(self, request: Request, t: Translator, viewer: Viewer) -> Queue:
        query, now = request.query_params, self._service.now()
        first = await self._service.campaign_queue(viewer.name)
        return await ask(self._service, lambda reader: read_queue(reader, query, t, now, first))


async def ask(service: Service, question: Callable[[LogReader], T]) -> T:
    """The answer of the log's blocking reader, from a thread."""
    return await to_thread.run_sync(lambda: question(service.log.reader))
