"""Errors in OpenAI's shape, so that its clients raise the exception that fits."""

from __future__ import annotations

from starlette.responses import Response

from picktune.errors import InvalidInput, NotFound, PicktuneError, Unauthenticated
from picktune.gateway.bodies import GatewayError, GatewayErrorBody
from picktune.wire import error_headers, json_answer


class ModelNotFound(NotFound):
    """There is no model of that name here."""

    code = "model_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"no model named {name!r}; ask for 'picktune', or see GET /v1/models for what this key may use",
            field="model",
        )


class Unsupported(InvalidInput):
    """A field that would change what is said, and that cannot be honoured here."""

    code = "unsupported_parameter"


def gateway_error(error: PicktuneError) -> Response:
    """An error of ours as OpenAI's clients expect it: what cannot be understood is a 400 there, not a 422."""
    return json_answer(error_body(error), _status(error), error_headers(error))


def error_body(error: PicktuneError) -> GatewayErrorBody:
    """An error of ours in OpenAI's shape, as an answer or as an event in the middle of a stream."""
    code = "invalid_api_key" if isinstance(error, Unauthenticated) else error.code
    detail = GatewayError(message=error.message, type=_type(_status(error)), param=error.field, code=code)
    return GatewayErrorBody(error=detail)


def internal_error() -> Response:
    """What a fault of ours looks like from outside: without its details."""
    message = "something went wrong here; the server's own log says what"
    detail = GatewayError(message=message, type="server_error", param=None, code="internal_error")
    return json_answer(GatewayErrorBody(error=detail), 500)


def _status(error: PicktuneError) -> int:
    return 400 if error.status == 422 else error.status


def _type(status: int) -> str:
    if status >= 500:
        return "server_error"
    return {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}.get(
        status, "invalid_request_error"
    )
