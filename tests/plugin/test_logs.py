"""A record is one line of JSON with the ids that are known, and quotes nobody."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from picktune.errors import SlateNotFound
from picktune.logs import REQUEST_ID, JsonLines, RequestLog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

SECRET = "Xyzzy-4711"

logger = logging.getLogger("picktune.tested")


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []
        self.setFormatter(JsonLines())

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        assert "\n" not in line
        self.lines.append(json.loads(line))


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler, ours = Kept(), logging.getLogger("picktune")
    before = ours.level
    ours.addHandler(handler)
    ours.setLevel("DEBUG")
    yield handler
    ours.removeHandler(handler)
    ours.setLevel(before)


def test_a_record_is_one_line(kept: Kept) -> None:
    logger.warning("%s was shown\nand waits", "one", extra={"slate_id": "s1"})
    (line,) = kept.lines
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "warning",
        "logger": "picktune.tested",
        "message": "one was shown\nand waits",
        "slate_id": "s1",
    }


def test_half_a_character_breaks_nothing(kept: Kept) -> None:
    logger.info("path %s", "/\ud800", extra={"path": "/\ud800"})
    assert (kept.lines[0]["message"], kept.lines[0]["path"]) == ("path /?", "/?")


def test_what_foreign_exceptions_say_stays_out(kept: Kept) -> None:
    try:
        raise KeyError(SECRET)
    except KeyError:
        logger.exception("it failed")
    try:
        raise SlateNotFound("s1")
    except SlateNotFound:
        logger.exception("it failed too")
    foreign, ours = kept.lines
    assert SECRET not in json.dumps(foreign)
    assert foreign["error"] == "KeyError"
    assert foreign["traceback"][-1].endswith("test_what_foreign_exceptions_say_stays_out")
    assert (ours["error"], "s1" in ours["error_message"]) == ("SlateNotFound", True)


async def answer(request: Request) -> Response:
    if "fail" in request.query_params:
        raise RuntimeError(SECRET)
    await asyncio.sleep(0.02)
    logger.info("at work")
    return PlainTextResponse("done", 202)


@pytest.mark.anyio
async def test_all_that_a_request_leads_to_has_its_id(kept: Kept) -> None:
    app = RequestLog(Starlette(routes=[Route("/work/{name}", answer)]))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
        ids = [f"id-{number}" for number in range(5)]
        asked = (client.get(f"/work/{one}?token={SECRET}", headers={"X-Request-ID": one}) for one in ids)
        await asyncio.gather(*asked)
        at_work = [line["request_id"] for line in kept.lines if line["message"] == "at work"]
        answered = [line for line in kept.lines if line["logger"] == "picktune.access"]
        assert sorted(at_work) == ids
        assert {(line["request_id"], line["path"]) for line in answered} == {(i, f"/work/{i}") for i in ids}
        assert all(line["status"] == 202 and line["ms"] >= 20 for line in answered)
        assert answered[0]["message"] == f"GET {answered[0]['path']} 202"
        for hostile in ("a b", "x" * 101, "", '"}'):
            await client.get("/work/x", headers={"X-Request-ID": hostile})
            assert len(kept.lines[-1]["request_id"]) == 32
        failed = await client.get("/work/x?fail")
        assert (failed.status_code, kept.lines[-1]["status"]) == (500, 500)
    assert SECRET not in json.dumps(kept.lines)
    assert REQUEST_ID.get() is None
