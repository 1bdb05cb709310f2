"""JSON over HTTP: bodies in, answers out, one shape for every error, and a limit on what is read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from picktune.bodies import ErrorBody, ErrorDetail
from picktune.errors import (
    EngineBusy,
    EngineDown,
    InvalidInput,
    InvalidJSON,
    LogUnavailable,
    PayloadTooLarge,
    PicktuneError,
    RateLimited,
    Unauthenticated,
)

T = TypeVar("T")

HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
# How much of a body that is too large is still read, so that the client hears the answer.
DRAINED = 8 * 1024 * 1024


def json_answer(record: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A record as JSON, never cached."""
    return Response(
        msgspec.json.encode(record),
        status_code=status,
        media_type="application/json",
        headers={**HEADERS, **(headers or {})},
    )


async def read_body(request: Request, kind: type[T]) -> T:
    """The body as a record of that kind.

    Raises ``InvalidJSON``, or ``InvalidInput``, naming the field, if it is JSON of another shape.
    """
    return decode(await request.body(), kind)


def decode(content: bytes, kind: type[T]) -> T:
    """See ``read_body``."""
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise InvalidInput(str(error), field=_field(str(error))) from None
    except UnicodeDecodeError as error:
        raise InvalidJSON(f"the body is not valid UTF-8 ({error.reason}); encode it as UTF-8") from None
    except msgspec.DecodeError as error:
        raise InvalidJSON(f"the body is not valid JSON: {error}") from None
    except RecursionError:
        raise InvalidJSON("the body is nested too deeply") from None


def read_query(request: Request, kind: type[T]) -> T:
    """The query string as a record of that kind; raises ``InvalidInput``, naming the parameter."""
    try:
        return msgspec.convert(dict(request.query_params), kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"query: {error}", field=_field(str(error))) from None


def error_answer(error: PicktuneError) -> Response:
    """An error of ours in the one shape."""
    detail = ErrorDetail(code=error.code, message=error.message, field=error.field)
    return json_answer(ErrorBody(error=detail), error.status, error_headers(error))


def error_headers(error: PicktuneError) -> dict[str, str]:
    """The headers of an error, whatever the shape of its body: when to come back, how to sign in."""
    headers = {}
    if isinstance(error, EngineBusy | RateLimited):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    elif isinstance(error, EngineDown | LogUnavailable):
        headers["Retry-After"] = "5"
    elif isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="picktune"'
    return headers


async def on_error(request: Request, error: Exception) -> Response:
    """Answer any exception in the one shape; what is not ours is reported without its details."""
    if isinstance(error, PicktuneError):
        return error_answer(error)
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code)
        code = "not_found" if status == 404 else status.name.lower()
        message = {
            404: f"there is nothing at {request.url.path}",
            405: f"{request.method} is not allowed at {request.url.path}",
        }.get(status, error.detail)
        return json_answer(
            ErrorBody(error=ErrorDetail(code=code, message=message)), error.status_code, error.headers
        )
    if isinstance(error, ClientDisconnect):
        return json_answer(ErrorBody(error=ErrorDetail(code="disconnected", message="gone")), 400)
    message = "something went wrong here; the server's own log says what"
    return json_answer(ErrorBody(error=ErrorDetail(code="internal_error", message=message)), 500)


class BodyLimit:
    """Refuses bodies of more than ``limit`` bytes while they arrive, whatever their length was said to be."""

    def __init__(self, app: ASGIApp, *, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a ``receive`` that raises ``PayloadTooLarge``."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        total = 0

        async def limited() -> Message:
            nonlocal total
            message = await receive()
            while message["type"] == "http.request":
                total += len(message.get("body", b""))
                if total <= self.limit:
                    break
                if not message.get("more_body") or total > self.limit + DRAINED:
                    raise PayloadTooLarge(
                        f"the body is larger than {self.limit:,} bytes; send less, or raise body_limit"
                    )
                message = await receive()
            return message

        await self.app(scope, limited, send)


def _field(message: str) -> str | None:
    where = re.search(r" - at `\$\.?(.*)`$", message)
    path = where[1] if where else ""
    name = re.match(r"Object (?:contains unknown|missing required) field `(.*?)`", message)
    if name:
        path = f"{path}.{name[1]}" if path else name[1]
    return path or None
