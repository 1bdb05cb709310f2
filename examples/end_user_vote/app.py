"""A chat for end users: now and then two blind replies to vote on, otherwise one with thumbs."""

from __future__ import annotations

import os
import secrets
from html import escape
from uuid import uuid4

from picktune.errors import PicktuneError
from picktune.middleware import FeedbackMiddleware
from picktune.settings import load_settings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

VOTES = float(os.environ.get("VOTES", "0.5"))  # the share of turns on which the user is asked to vote
chats: dict[str, list[tuple[str, str, str]]] = {}  # who said what, and the reply's id; really in a database
votes: dict[str, tuple[str, dict[str, str]]] = {}


def button(name: str, value: str, label: str) -> str:
    """A button that sends its own value."""
    return f"<button name={name} value={value}>{label}</button>"


async def page(request: Request) -> HTMLResponse:
    """The conversation; below it two replies to vote on, or a box to write in."""
    user = request.cookies.get("user", uuid4().hex)
    page = "<!doctype html><meta charset=utf-8><title>Chat</title>"
    for role, text, reply in chats.get(user, []):
        thumbs = button("up", reply, "👍") + button("down", reply, "👎") if reply else ""
        page += f"<form action=thumb method=post><b>{role}</b> {escape(text)} {thumbs}</form>"
    if user in votes:
        page += "<form action=vote method=post>"
        for label, (reply, text) in zip("AB", votes[user][1].items(), strict=True):
            page += f"<p><b>{label}</b> {escape(text)} {button('vote', reply, f'{label} is better')}</p>"
        page += button("vote", "tie", "Both are good") + button("vote", "none_good", "Neither is") + "</form>"
    else:
        page += "<form action=say method=post><input name=text autofocus><button>Send</button></form>"
    response = HTMLResponse(page)
    response.set_cookie("user", user, httponly=True, samesite="strict")
    return response


async def say(request: Request) -> Response:
    """The user's message: draw one reply, or two to vote on."""
    user, text = request.cookies["user"], str((await request.form())["text"])
    told = [*chats.get(user, []), ("user", text, "")]
    messages = [{"role": role, "content": text} for role, text, _ in told]
    policy = "1+1" if secrets.randbelow(1000) < 1000 * VOTES else "1"
    try:
        slate = await request.state.picktune.of(user).draw(
            messages, user_ref=user, conversation_id=user, policy=policy
        )
    except PicktuneError as error:  # busy, down, or nothing to answer: the chat itself goes on
        return HTMLResponse(f"<p>{escape(error.message)}</p><a href=.>Back</a>", status_code=error.status)
    replies = {one.id: one.text for one in slate.candidates}
    if len(replies) > 1:
        votes[user] = (slate.id, replies)
    else:
        told += [("assistant", text, id) for id, text in replies.items()]
    chats[user] = told
    return RedirectResponse(".", status_code=303)


async def vote(request: Request) -> RedirectResponse:
    """The vote: it is on disk when the chat goes on, with the better reply or with the first."""
    user, said = request.cookies["user"], str((await request.form())["vote"])
    slate, replies = votes[user]
    better = said if said in replies else next(iter(replies))
    if said in replies:
        await request.state.picktune.of(user).pick(slate, said, key=slate)
    else:
        await request.state.picktune.of(user).pick(slate, verdict=said, key=slate)
    chats[user].append(("assistant", replies[better], better))
    del votes[user]
    return RedirectResponse(".", status_code=303)


async def thumb(request: Request) -> RedirectResponse:
    """Thumbs up or down on one reply; a second click on the same changes nothing."""
    user, form = request.cookies["user"], await request.form()
    value = "up" if "up" in form else "down"
    reply = str(form[value])
    await request.state.picktune.of(user).react(reply, value, key=f"{reply}-{value}")
    return RedirectResponse(".", status_code=303)


app = Starlette(
    routes=[Route("/", page)]
    + [Route(f"/{one.__name__}", one, methods=["POST"]) for one in (say, vote, thumb)]
)
app.add_middleware(FeedbackMiddleware, settings=load_settings())
