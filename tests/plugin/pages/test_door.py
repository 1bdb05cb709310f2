"""Coming in by a link, once, and going out."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

pytestmark = pytest.mark.anyio


async def test_a_link_signs_in_and_leads_to_the_workbench_without_a_redirect(site: Any) -> None:
    answer = await site.sign_in("mei")
    # A redirect would lose the strict cookie of somebody who clicked the link on another site.
    assert answer.status_code == 200
    assert '<meta http-equiv="refresh" content="0; url=/picktune/workbench">' in answer.text
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "mei" in (await site.get("/workbench")).text


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "%00", "é" * 500])
async def test_a_bad_link_says_what_to_do(site: Any, token: str) -> None:
    answer = await site.get("/enter", token=token)
    assert answer.status_code == 401
    assert "This link does not work" in answer.text
    assert "set-cookie" not in answer.headers


async def test_an_old_link_and_an_old_session_open_nothing(site: Any) -> None:
    token = site.service.auth.enter_token("mei")
    await site.sign_in()
    site.clock.now += timedelta(hours=13)
    assert (await site.get("/workbench")).status_code == 401
    assert (await site.get("/enter", token=token)).status_code == 401


async def test_the_door_without_a_link_says_how_to_get_one(site: Any) -> None:
    answer = await site.get("/enter", lang="zh")
    assert answer.status_code == 200
    assert "picktune link NAME" in answer.text
    assert "使用链接登录" in answer.text


async def test_signing_out_takes_the_session_away(site: Any) -> None:
    await site.sign_in()
    answer = await site.client.post("/picktune/leave", data={"csrf": site.csrf})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/picktune/left"
    assert "You are signed out" in (await site.get("/left")).text
    assert (await site.get("/workbench")).status_code == 401


async def test_another_site_cannot_sign_anyone_out(site: Any) -> None:
    await site.sign_in()
    for form in ({}, {"csrf": "guessed"}):
        assert (await site.client.post("/picktune/leave", data=form)).status_code == 403
    assert (await site.get("/workbench")).status_code == 200


async def test_the_prefix_itself_leads_to_the_workbench(site: Any) -> None:
    answer = await site.client.get("/picktune/")
    assert re.fullmatch(r"/picktune/workbench", answer.headers["location"])
