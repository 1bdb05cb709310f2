"""The widget shows a slate in a page of another origin, under a strict policy, and decides on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import uvicorn
from msgspec import structs
from picktune.errors import LogUnavailable
from picktune.feedback import Feedback
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

PAGE = """<!doctype html><html lang="{lang}"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>A shop</title>
<script src="{base}/static/widget.js" defer></script><h1>A shop</h1>
<picktune-slate slate="{slate}" token="{token}"></picktune-slate>"""
HEARD = """
    window.heard = [];
    for (const what of ["shown", "picked", "undone", "reacted", "failed"])
        document.addEventListener(`picktune-${what}`, (event) => window.heard.push([what, event.detail]));
"""


class Shop:
    """A page of another origin that embeds a slate, and the person who looks at it."""

    def __init__(self, desk: Any, browser: Any) -> None:
        self.desk = desk
        self.browser = browser
        self.shown = ""
        app = Starlette(routes=[Route("/", self.page)])
        self.server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", ws="none"))
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.origin = f"http://localhost:{port}"

    async def page(self, request: Request) -> HTMLResponse:
        policy = f"default-src 'none'; script-src {self.desk.url}/; connect-src {self.desk.url}/"
        return HTMLResponse(self.shown, headers={"Content-Security-Policy": policy})

    def ask(self, *, lang: str = "en", policy: str = "1+1", lasting: float = 900.0) -> Any:
        """Draw a slate, and open the page that shows it."""
        feedback = Feedback(self.desk.service, "ann")
        slate = self.desk.do(feedback.draw([{"role": "user", "content": "Where is it?"}], policy=policy))
        token = feedback.token(slate.conversation_id, lasting=timedelta(seconds=lasting))
        self.shown = PAGE.format(lang=lang, base=self.desk.url, slate=slate.id, token=token)
        self.browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": HEARD})
        self.browser.open(self.origin)
        return slate

    def inside(self, expression: str) -> Any:
        return self.browser.js(f"document.querySelector('picktune-slate').shadowRoot.{expression}")

    def buttons(self) -> list[str]:
        found: list[str] = self.browser.js(
            "[...document.querySelector('picktune-slate').shadowRoot.querySelectorAll('button')]"
            ".map((one) => one.textContent)"
        )
        return found

    def press(self, label: str) -> None:
        self.browser.js(
            "[...document.querySelector('picktune-slate').shadowRoot.querySelectorAll('button')]"
            f".find((one) => one.textContent === {label!r}).click()"
        )

    def heard(self) -> list[str]:
        return [what for what, _ in self.browser.js("window.heard")]


@pytest.fixture
def shop(desk: Any, browser: Any) -> Iterator[Shop]:
    shop = Shop(desk, browser)
    # The page and its API are not of one origin: an allow-list lets it in.
    _allow(desk, shop.origin)
    yield shop
    shop.server.should_exit = True
    shop.thread.join(10)


def _allow(desk: Any, origin: str) -> None:
    from picktune.mount import mounted
    from starlette.routing import Mount

    desk.service.settings = structs.replace(desk.service.settings, cors_origins=(origin,))
    built = desk.app.middleware_stack
    while not hasattr(built, "_mount"):
        built = built.app
    built._mount = Mount(desk.service.settings.prefix, app=mounted(desk.service))


def test_a_visitor_picks_and_takes_back(shop: Shop, see: Callable[..., None]) -> None:
    slate = shop.ask()
    see(lambda: "shown" in shop.heard(), "the slate is shown")
    assert shop.buttons() == ["This one", "This one", "Both are good", "None is good"]
    texts = shop.inside("querySelectorAll('.text')[1].textContent")
    assert texts == slate.candidates[1].text
    shop.inside("querySelectorAll('.card button')[1].click()")
    see(lambda: "picked" in shop.heard(), "the pick is kept")
    assert "Reply 2 is your choice" in shop.inside("textContent")
    (pick,) = shop.desk.picks()
    assert (pick.candidate_id, pick.annotator, pick.role) == (slate.candidates[1].id, "ann", "user")
    assert pick.dwell_ms is not None
    shop.press("Undo")
    see(lambda: "undone" in shop.heard(), "it is taken back")
    shop.press("Both are good")
    see(lambda: shop.heard().count("picked") == 2, "the tie is kept")
    assert [one.verdict for one in shop.desk.picks()] == ["chosen", "undone", "tie"]


def test_one_reply_gets_thumbs_in_chinese(shop: Shop, see: Callable[..., None]) -> None:
    slate = shop.ask(lang="zh-CN", policy="1")
    see(lambda: "shown" in shop.heard(), "the slate is shown")
    assert shop.buttons() == ["有帮助", "没有帮助"]
    shop.press("没有帮助")
    see(lambda: "reacted" in shop.heard(), "the thumb is kept")
    assert "谢谢" in shop.inside("textContent")
    (reaction,) = shop.desk.service.log.reader.reactions(slate.id)
    assert (reaction.value, reaction.annotator) == ("down", "ann")


def test_what_fails_can_be_tried_again(
    shop: Shop, see: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.ask()
    see(lambda: "shown" in shop.heard(), "the slate is shown")

    async def away(pick: Any) -> Any:
        raise LogUnavailable("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(shop.desk.service, "pick", away)
        shop.press("None is good")
        see(lambda: "failed" in shop.heard(), "it says that it failed")
        assert "the disk is full" in shop.inside("querySelector('[role=alert]').textContent")
    shop.press("Try again")
    see(lambda: "picked" in shop.heard(), "it is kept now")
    assert [one.verdict for one in shop.desk.picks()] == ["none_good"]


def test_a_token_that_has_ended_says_so(shop: Shop, see: Callable[..., None]) -> None:
    shop.ask(lasting=-1.0)
    see(lambda: "failed" in shop.heard(), "it says that it failed")
    assert "Load it again" in shop.inside("textContent")


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_its_place(shop: Shop, see: Callable[..., None], width: int) -> None:
    shop.browser.size(width, 800, phone=width < 500)
    shop.ask(policy="2+2")
    see(lambda: "shown" in shop.heard(), "the slate is shown")
    assert shop.browser.overflow() <= 0
    tops = shop.browser.js(
        "[...document.querySelector('picktune-slate').shadowRoot.querySelectorAll('.card')]"
        ".map((one) => Math.round(one.getBoundingClientRect().top))"
    )
    assert len(set(tops)) == (4 if width < 500 else 2)
