"""The gateway's part of the OpenAPI document."""

from __future__ import annotations

from typing import Any

from picktune.gateway.bodies import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatRequest,
    GatewayErrorBody,
    ModelCard,
    ModelList,
)
from picktune.gateway.routes import CONVERSATION_HEADER

KINDS: tuple[type, ...] = (
    ChatCompletion,
    ChatCompletionChunk,
    ChatRequest,
    GatewayErrorBody,
    ModelCard,
    ModelList,
)
ERRORS = {
    "400": "The request cannot be understood, or asks for what cannot be done: `code` and `param` say which.",
    "401": "`invalid_api_key`",
    "403": "`forbidden`: the key does not have the scope",
    "404": "`model_not_found`",
    "413": "`payload_too_large`",
    "429": "`engine_busy`, `rate_limited`",
    "500": "`internal_error`",
    "502": "`engine_error`",
    "503": "`engine_down`",
}
RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}


def paths(refs: dict[type, Any]) -> dict[str, dict[str, Any]]:
    """The gateway's operations by path and method; ``refs`` are the schemas of ``KINDS``."""
    completion: dict[str, Any] = {
        "operationId": "chat_completions",
        "summary": "OpenAI's chat completions: a slate as blind choices, or a named arm's own replies.",
        "description": (
            '`model: "picktune"` needs the scope `slate`, a named arm `admin`. A stream begins when all '
            "replies are there; its events are chunks, ended by `[DONE]`."
        ),
        "parameters": [
            {
                "name": CONVERSATION_HEADER,
                "in": "header",
                "required": False,
                "schema": {"type": "string", "minLength": 1, "maxLength": 200},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": refs[ChatRequest]}},
        },
        "responses": {
            "200": {
                "description": "The replies; as server-sent events if `stream` is true.",
                "content": {
                    "application/json": {"schema": refs[ChatCompletion]},
                    "text/event-stream": {"schema": refs[ChatCompletionChunk]},
                },
            },
            **_errors(refs, *ERRORS),
        },
    }
    model = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
    listing = {
        "operationId": "list_models",
        "summary": "The models that this key may ask for.",
        "description": "Needs the scope `slate`; with `admin`, the arms are listed too.",
        "parameters": [],
        "responses": {"200": _answer(refs[ModelList]), **_errors(refs, "401", "403", "500", "502", "503")},
    }
    one = {
        "operationId": "get_model",
        "summary": "One of them.",
        "description": "Needs the scope `slate`, and `admin` for an arm.",
        "parameters": [model],
        "responses": {
            "200": _answer(refs[ModelCard]),
            **_errors(refs, "401", "403", "404", "500", "502", "503"),
        },
    }
    return {
        "/v1/chat/completions": {"post": completion},
        "/v1/models": {"get": listing},
        "/v1/models/{model}": {"get": one},
    }


def _answer(schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": "OK.", "content": {"application/json": {"schema": schema}}}


def _errors(refs: dict[type, Any], *statuses: str) -> dict[str, Any]:
    return {
        status: {
            "description": ERRORS[status],
            "content": {"application/json": {"schema": refs[GatewayErrorBody]}},
            **({"headers": RETRY_AFTER} if status in ("429", "503") else {}),
        }
        for status in statuses
    }
