"""What the server says on stderr: a line of text a record, or, for programs, a line of JSON."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from picktune.errors import PicktuneError
from picktune.records import new_id

LogFormat = Literal["text", "json"]

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
# What a record may bring along, as ``extra``.
EXTRA = ("slate_id", "method", "path", "status", "ms")

REQUEST_ID: ContextVar[str | None] = ContextVar("picktune_request_id", default=None)

access = logging.getLogger("picktune.access")


def set_up(level: str, log_format: LogFormat) -> None:
    """Let this process log to stderr: ours from ``level`` on, others' from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if log_format == "json" else logging.Formatter(TEXT))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("picktune").setLevel(level.upper())
    if log_format == "json":
        logging.captureWarnings(True)
        # The bars with which models are loaded are no records; read when tqdm is imported.
        os.environ.setdefault("TQDM_DISABLE", "1")


class JsonLines(logging.Formatter):
    """One line of JSON a record: ``time``, ``level``, ``logger``, ``message``, and the ids that are known.

    Of an exception it tells the kind and the way there, and what it says only if it is one of ours: what
    others say may quote what somebody wrote.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _clean(record.getMessage()),
        }
        if (request_id := REQUEST_ID.get()) is not None:
            line["request_id"] = request_id
        for name in EXTRA:
            if (value := getattr(record, name, None)) is not None:
                line[name] = _clean(value) if isinstance(value, str) else value
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            line["error"] = type(error).__name__
            if isinstance(error, PicktuneError):
                line["error_message"] = _clean(error.message)
            frames = traceback.extract_tb(error.__traceback__)
            line["traceback"] = [f"{one.filename}:{one.lineno} {one.name}" for one in frames]
        return msgspec.json.encode(line).decode()


class RequestLog:
    """Gives each request an id for the log, and says when it is answered.

    The id is the header ``X-Request-ID``, as a proxy sends it, or a new one. The query is left out: it may
    hold a sign-in token, or say who somebody is.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        token = REQUEST_ID.set(_given_id(scope) or new_id())
        begin, status = time.perf_counter(), 0

        async def noticing(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noticing)
        finally:
            method, path = scope["method"], scope["path"][:200]
            ms = round((time.perf_counter() - begin) * 1000, 1)
            said = {"method": method, "path": path, "status": status, "ms": ms}
            access.info("%s %s %d", method, path, status, extra=said)
            REQUEST_ID.reset(token)


def _given_id(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and re.fullmatch(rb"[A-Za-z0-9._-]{1,100}", value):
            return bytes(value).decode("ascii")
    return None


def _clean(text: str) -> str:
    # Half a character, as a hostile path may hold, would break the line.
    return text.encode("utf-8", "replace").decode()
