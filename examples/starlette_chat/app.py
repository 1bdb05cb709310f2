"""A chat for end users: each turn shows two blind replies, and the one that is picked goes on."""

from __future__ import annotations

from html import escape
from uuid import uuid4

from picktune.errors import PicktuneError
from picktune.middleware import FeedbackMiddleware
from picktune.settings import load_settings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.routing import Route

chats: dict[str, list[dict[str, str]]] = {}  # a real chat keeps these in its database
slates: dict[str, tuple[str, dict[str, str]]] = {}


async def page(request: Request) -> HTMLResponse:
    """The conversation, and below it either two replies to pick from or a box to write in."""
    user = request.cookies.get("user", uuid4().hex)
    said = "".join(f"<p><b>{one['role']}</b> {escape(one['content'])}</p>" for one in chats.get(user, []))
    form = "<form action=say method=post><input name=text autofocus><button>Send</button></form>"
    if user in slates:
        buttons = (f"<button name=reply value={i}>{escape(t)}</button>" for i, t in slates[user][1].items())
        form = f"<form action=pick method=post>Which reply is better?<br>{'<br>'.join(buttons)}</form>"
    response = HTMLResponse(f"<!doctype html><title>Chat</title>{said}{form}")
    response.set_cookie("user", user, httponly=True, samesite="strict")
    return response


async def say(request: Request) -> RedirectResponse | HTMLResponse:
    """The user's message: draw two replies to it."""
    user, text = request.cookies["user"], str((await request.form())["text"])
    messages = [*chats.get(user, []), {"role": "user", "content": text}]
    try:
        slate = await request.state.picktune.of(user).draw(messages, user_ref=user)
    except PicktuneError as error:  # busy, down, or nothing to answer: the chat itself goes on
        return HTMLResponse(f"<p>{escape(error.message)}</p><a href=.>Back</a>", status_code=error.status)
    chats[user], slates[user] = messages, (slate.id, {one.id: one.text for one in slate.candidates})
    return RedirectResponse(".", status_code=303)


async def pick(request: Request) -> RedirectResponse:
    """The user's pick: record it, and let the conversation go on with that reply."""
    user, reply = request.cookies["user"], str((await request.form())["reply"])
    slate_id, texts = slates[user]
    await request.state.picktune.of(user).pick(slate_id, reply, key=slate_id)
    chats[user].append({"role": "assistant", "content": texts[reply]})
    del slates[user]
    return RedirectResponse(".", status_code=303)


app = Starlette(
    routes=[Route("/", page), Route("/say", say, methods=["POST"]), Route("/pick", pick, methods=["POST"])]
)
app.add_middleware(FeedbackMiddleware, settings=load_settings(policy="1+1"))
