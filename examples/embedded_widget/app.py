"""A plain page that embeds the widget: its server draws the slate and gives the browser a token for it."""

from __future__ import annotations

from html import escape

from picktune.errors import PicktuneError
from picktune.middleware import FeedbackMiddleware
from picktune.settings import load_settings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

PAGE = """<!doctype html>
<html lang="{lang}"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Ask us</title>
<style>body {{ max-width: 44rem; margin: 2rem auto; padding: 0 1rem; font: 16px/1.6 sans-serif }}</style>
<script src="/picktune/static/widget.js" defer></script>
<form><label>{label} <input name="question" value="{question}" autofocus></label>
  <input type="hidden" name="lang" value="{lang}"> <button>{send}</button></form>
{answer}
"""
WORDS = {"en": ("Your question", "Ask"), "zh": ("您的问题", "提问")}


async def page(request: Request) -> HTMLResponse:
    """``?question=`` is answered by a slate that the widget shows."""
    question = request.query_params.get("question", "")
    lang = "zh" if request.query_params.get("lang", "").startswith("zh") else "en"
    answer = ""
    if question.strip():
        picktune = request.state.picktune.of("visitor-7")  # whoever your application knows this to be
        try:
            slate = await picktune.draw([{"role": "user", "content": question}], locale=lang)
            token = picktune.token(slate.conversation_id)
            answer = f'<picktune-slate slate="{slate.id}" token="{token}"></picktune-slate>'
        except PicktuneError as error:
            answer = f"<p role=alert>{escape(error.message)}</p>"
    label, send = WORDS[lang]
    asked = escape(question)
    return HTMLResponse(PAGE.format(lang=lang, label=label, send=send, question=asked, answer=answer))


app = Starlette(routes=[Route("/", page)])
app.add_middleware(FeedbackMiddleware, settings=load_settings(policy="1+1"))
