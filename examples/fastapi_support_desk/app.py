"""A support desk's backend: agents get four blind replies to a ticket, and send one of them or their own."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Header, Request
from fastapi.responses import JSONResponse
from picktune.errors import PicktuneError
from picktune.middleware import FeedbackMiddleware
from picktune.settings import load_settings
from pydantic import BaseModel

SHOP = {"role": "system", "content": "You answer the customers of a small shop, briefly and kindly."}
tickets: dict[int, list[dict[str, str]]] = {}  # a real desk keeps these in its database
Agent = Annotated[str, Header(alias="X-Agent")]  # stands for your own login

app = FastAPI(title="Support desk")
app.add_middleware(FeedbackMiddleware, settings=load_settings())


class Answer(BaseModel):
    """A reply of the slate, perhaps edited; or, with no reply named, a text of the agent's own."""

    slate_id: str
    reply_id: str | None = None
    text: str | None = None


@app.exception_handler(PicktuneError)
async def refuse(request: Request, error: PicktuneError) -> JSONResponse:
    """Busy, down, decided already: say so in Picktune's own words."""
    return JSONResponse({"code": error.code, "message": error.message}, error.status)


@app.post("/tickets", status_code=201)
async def open_ticket(text: str) -> dict[str, int]:
    """A customer writes."""
    tickets[len(tickets) + 1] = [SHOP, {"role": "user", "content": text}]
    return {"ticket": len(tickets)}


@app.get("/tickets/{ticket}/replies")
async def replies(ticket: int, request: Request, agent: Agent) -> dict[str, object]:
    """Four replies for the agent to choose from."""
    picktune = request.state.picktune.of(agent, role="agent")
    slate = await picktune.draw(tickets.get(ticket, []), conversation_id=f"ticket-{ticket}", tags=["email"])
    return {"slate_id": slate.id, "replies": {one.id: one.text for one in slate.candidates}}


@app.post("/tickets/{ticket}/answer")
async def answer(ticket: int, sent: Answer, request: Request, agent: Agent) -> dict[str, str]:
    """The agent sends one of them, an edited one, or, if none is good, a text of their own."""
    picktune = request.state.picktune.of(agent, role="agent")
    verdict = "chosen" if sent.reply_id else "none_good"
    pick = await picktune.pick(sent.slate_id, sent.reply_id, verdict=verdict, edited_text=sent.text)
    return {"recorded": pick.key}
