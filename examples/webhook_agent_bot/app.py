"""An agent bot for a help desk that calls webhooks, in the manner of Chatwoot's agent bots.

A customer's message arrives at the webhook; its conversation is put on the workbench, and a private note with
the link tells the agents; what an agent picks or writes there is posted to the customer.
"""

from __future__ import annotations

import asyncio
import hmac
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Literal

import httpx
from picktune.listeners import Decided
from picktune.middleware import FeedbackMiddleware
from picktune.records import Conversation, Message
from picktune.settings import load_settings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

ACCOUNT = os.environ.get("CHATWOOT_ACCOUNT", "1")
SECRET = os.environ.get("WEBHOOK_SECRET", "")  # in the address given to the help desk: …/webhook/SECRET
WORKBENCH = os.environ.get("WORKBENCH_URL", "http://127.0.0.1:8000/picktune/workbench")
UNDO_SECONDS = float(os.environ.get("UNDO_SECONDS", "8"))  # how long an agent may take a pick back

ROLES: dict[int, Literal["user", "assistant"]] = {0: "user", 1: "assistant"}

desk = httpx.AsyncClient(
    base_url=f"{os.environ.get('CHATWOOT_URL', 'http://127.0.0.1:3000')}/api/v1/accounts/{ACCOUNT}",
    headers={"api_access_token": os.environ.get("CHATWOOT_TOKEN", "")},
    timeout=20,
)


async def say(conversation: str, text: str, *, private: bool) -> None:
    """Post a message into a conversation of the help desk."""
    body = {"content": text, "message_type": "outgoing", "private": private}
    (await desk.post(f"/conversations/{conversation}/messages", json=body)).raise_for_status()


async def webhook(request: Request) -> JSONResponse:
    """A message was created: if a customer wrote it, put the conversation on the workbench."""
    if not SECRET or not hmac.compare_digest(request.path_params["secret"].encode(), SECRET.encode()):
        return JSONResponse({"error": "set WEBHOOK_SECRET, and put it into the webhook's address"}, 403)
    event: dict[str, Any] = await request.json()
    incoming = (event.get("event"), event.get("message_type")) == ("message_created", "incoming")
    if not incoming or event.get("private"):
        return JSONResponse({"ignored": event.get("event")})
    conversation, sender = str(event["conversation"]["id"]), event.get("sender") or {}
    found = (await desk.get(f"/conversations/{conversation}/messages")).raise_for_status().json()["payload"]
    said = [one for one in found if one["content"] and not one["private"] and one["message_type"] in ROLES]
    now = datetime.now(UTC)
    turn = Conversation(
        id=f"{conversation}-{event['id']}",  # one for each message; an event that is repeated adds none
        title=(sender.get("name") or "A customer")[:200],
        messages=tuple(Message(role=ROLES[one["message_type"]], content=one["content"]) for one in said),
        user_ref=f"contact-{sender.get('id')}",
        created_at=now,
        updated_at=now,
    )
    if await request.state.picktune.service.add_conversations([turn]):
        await say(conversation, f"Replies to choose from: {WORKBENCH}/{turn.id}", private=True)
    return JSONResponse({"conversation": turn.id})


class Outbox:
    """Posts what was decided, unless it is taken back in time."""

    def __init__(self) -> None:
        self.waiting: dict[str, asyncio.Task[None]] = {}

    async def decided(self, decision: Decided) -> None:
        """Called when a decision is on disk."""
        before = self.waiting.pop(decision.pick.slate_id, None)
        if before is not None:
            before.cancel()
        if decision.reply is not None:
            self.waiting[decision.pick.slate_id] = asyncio.create_task(self.post(decision, decision.reply))

    async def post(self, decision: Decided, reply: str) -> None:
        """To the customer, when the time for second thoughts is over."""
        await asyncio.sleep(UNDO_SECONDS)
        await say(decision.conversation_id.rpartition("-")[0], reply, private=False)
        self.waiting.pop(decision.pick.slate_id, None)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    """Keep the connections to the help desk for as long as the bot runs."""
    async with desk:
        yield


app = Starlette(lifespan=lifespan, routes=[Route("/webhook/{secret}", webhook, methods=["POST"])])
app.add_middleware(FeedbackMiddleware, settings=load_settings(), decided=Outbox().decided)
