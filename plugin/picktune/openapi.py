"""The OpenAPI 3.1 document of API and gateway, made from the table of endpoints and the records' schemas."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

import msgspec
from picktune_adapters import errors as adapter_errors

from picktune import __version__, errors
from picktune.api import ENDPOINTS
from picktune.auth import CSRF_HEADER
from picktune.bodies import ErrorBody
from picktune.endpoint import Endpoint
from picktune.errors import PicktuneError
from picktune.gateway import openapi as gateway
from picktune.health import Liveness, Readiness

# What any address can answer, besides what its row names.
EVERYWHERE = ("unauthenticated", "forbidden", "internal_error")
WITH_BODY = ("invalid_json", "invalid_input", "payload_too_large")
DESCRIPTION = (
    "Blind slates of candidate replies, the decisions that people take on them, and what those say. "
    "Until a viewer has decided, nothing in an answer tells whose reply is whose."
)
REF = "#/components/schemas/{name}"


def document(prefix: str) -> dict[str, Any]:
    """The document for an installation under ``prefix``, ready to be encoded as JSON."""
    kinds: list[type] = [ErrorBody, Liveness, Readiness, *gateway.KINDS]
    for endpoint in ENDPOINTS:
        kinds += [kind for kind in (endpoint.body, endpoint.query, endpoint.answer()) if kind is not None]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=REF)
    refs: dict[type, Any] = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        path = paths.setdefault(f"/v1{endpoint.path}", {})
        path[endpoint.method.lower()] = _operation(endpoint, refs, components)
    paths |= gateway.paths(refs)
    paths["/healthz"] = {"get": _health("healthz", "The process answers.", refs[Liveness])}
    paths["/readyz"] = {
        "get": _health("readyz", "Whether a slate could be drawn and kept now.", refs[Readiness])
    }
    paths["/readyz"]["get"]["responses"]["503"] = _answer("Something is missing.", refs[Readiness])
    paths["/metrics"] = {"get": _metrics(refs[ErrorBody])}
    paths["/openapi.json"] = {
        "get": _health("openapi", "This document.", {"type": "object", "additionalProperties": True})
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Picktune", "version": __version__, "description": DESCRIPTION},
        "servers": [{"url": prefix}],
        "security": [{"key": []}, {"session": [], "csrf": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key: pk_…"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "picktune_session",
                    "description": "A browser's session; the cookie's name ends in a code of its own.",
                },
                "csrf": {"type": "apiKey", "in": "header", "name": CSRF_HEADER},
            },
        },
    }


def _operation(endpoint: Endpoint, refs: dict[type, Any], components: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", endpoint.path)
    ]
    if endpoint.query:
        schema = components[endpoint.query.__name__]
        parameters += [
            {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": kind}
            for name, kind in schema["properties"].items()
        ]
    done = HTTPStatus(endpoint.status).phrase
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": " ".join((endpoint.handler.__doc__ or "").split()),
        "description": f"Needs the scope `{endpoint.scope}`.",
        "parameters": parameters,
        "responses": {
            str(endpoint.status): _answer(f"{done}.", refs[endpoint.answer()]),
            **_errors(endpoint, refs[ErrorBody]),
        },
    }
    if endpoint.body:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": refs[endpoint.body]}},
        }
    return operation


def _errors(endpoint: Endpoint, schema: dict[str, Any]) -> dict[str, Any]:
    codes = [*EVERYWHERE, *endpoint.errors]
    codes += WITH_BODY if endpoint.body else ("invalid_input",) if endpoint.query else ()
    codes += ("rate_limited",) if endpoint.limit else ()
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(STATUSES[code], []).append(code)
    return {
        str(status): {
            **_answer(", ".join(f"`{code}`" for code in found), schema),
            **({"headers": RETRY_AFTER} if status in {429, 503} else {}),
        }
        for status, found in sorted(by_status.items())
    }


def _answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _health(name: str, summary: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "security": [],
        "responses": {"200": _answer("OK.", schema)},
    }


def _metrics(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": "metrics",
        "summary": "What is counted and timed, and how everything is now, for Prometheus.",
        "description": "Needs the scope `admin`, for it tells how the arms differ.",
        "responses": {
            "200": {"description": "OK.", "content": {"text/plain": {"schema": {"type": "string"}}}},
            **{
                str(STATUSES[code]): _answer(f"`{code}`", schema)
                for code in ("unauthenticated", "forbidden", "internal_error")
            },
        },
    }


def _statuses() -> dict[str, int]:
    found = [kind for room in (errors, adapter_errors) for kind in vars(room).values()]
    ours = [kind for kind in found if isinstance(kind, type) and issubclass(kind, PicktuneError)]
    return {"internal_error": 500, **{kind.code: kind.status for kind in ours}}


STATUSES = _statuses()
RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
