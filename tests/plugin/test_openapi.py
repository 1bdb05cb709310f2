"""The OpenAPI document is valid, names every route, and says what the routes really take and give."""

from __future__ import annotations

import re
from typing import Any

import openapi_spec_validator
import pytest
from jsonschema import Draft202012Validator
from picktune import gateway
from picktune.api import ENDPOINTS
from picktune.mount import mounted
from picktune.service import Service
from starlette.routing import Route

ASK = [{"role": "user", "content": "Where is my order?"}]


@pytest.fixture
async def document(api: Any) -> dict[str, Any]:
    answer = await api.get("/openapi.json", key=None)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.anyio
async def test_it_is_valid(document: dict[str, Any], service: Service) -> None:
    openapi_spec_validator.validate(document)
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": service.settings.prefix}]


@pytest.mark.anyio
async def test_every_route_of_the_api_is_in_it(document: dict[str, Any], service: Service) -> None:
    served = {
        (method.lower(), re.sub(r":\w+}", "}", route.path))
        for route in mounted(service).routes
        if isinstance(route, Route)
        for method in route.methods or ()
        if method != "HEAD" and re.search(r"^/v1|\.json$|z$|^/metrics$", route.path)
    }
    # What the pages' own scripts ask for is no part of the API.
    served -= {("get", "/workbench.json"), ("get", "/conversation.json"), ("get", "/session.json")}
    written = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert written == served
    assert len(served) == len(ENDPOINTS) + len(gateway.routes(service)) + 4


@pytest.mark.anyio
async def test_every_operation_has_a_summary_and_a_name_of_its_own(document: dict[str, Any]) -> None:
    operations = [one for path in document["paths"].values() for one in path.values()]
    assert all(one["summary"].endswith(".") for one in operations)
    assert len({one["operationId"] for one in operations}) == len(operations)


@pytest.mark.anyio
async def test_real_answers_fit_their_schemas(document: dict[str, Any], api: Any) -> None:
    slate = await api.slate("mei")
    pick = {
        "key": "k",
        "slate_id": slate["id"],
        "verdict": "chosen",
        "candidate_id": slate["candidates"][0]["id"],
        "annotator": "mei",
    }
    reaction = {"key": "r", "candidate_id": pick["candidate_id"], "value": "up", "annotator": "u"}
    conversations = {"conversations": [{"id": "c", "title": "t", "messages": ASK}]}
    first, by = pick["candidate_id"], {"key": "s", "annotator": "tom"}
    dwell = {"key": "d", "detail": {"kind": "dwell", "ms": 5, "ended": "left"}}
    signals = {"slate_id": slate["id"], "signals": [dwell], "annotator": "tom"}
    whole = "/v1/comparisons/w"
    sides = [{"messages": [*ASK, {"role": "assistant", "content": text}]} for text in ("One.", "Two.")]
    again = f"/v1/slates/{slate['id']}/regenerate"
    asked = [
        ("get", "/v1/slates/{slate_id}", f"/v1/slates/{slate['id']}", None),
        ("post", "/v1/slates/{slate_id}/exposures", f"/v1/slates/{slate['id']}/exposures", {"viewer": "tom"}),
        ("post", "/v1/picks", "/v1/picks", pick),
        ("post", "/v1/reactions", "/v1/reactions", reaction),
        ("post", "/v1/undo", "/v1/undo", {"key": "u", "slate_id": slate["id"], "annotator": "mei"}),
        (
            "post",
            "/v1/viewer-tokens",
            "/v1/viewer-tokens",
            {"viewer": "tom", "conversation_id": slate["conversation_id"]},
        ),
        ("post", "/v1/forget", "/v1/forget", {"user_ref": "nobody"}),
        ("post", "/v1/held", "/v1/held", {"user_ref": "nobody"}),
        ("post", "/v1/consents", "/v1/consents", {"user_ref": "u1", "consent": "log"}),
        ("post", "/v1/signals", "/v1/signals", signals),
        ("post", "/v1/slates/{slate_id}/regenerate", again, by),
        ("post", "/v1/scores", "/v1/scores", {**by, "candidate_id": first, "scale": "quality", "value": 4}),
        ("get", "/v1/scales", "/v1/scales", None),
        (
            "post",
            "/v1/feedback",
            "/v1/feedback",
            {"metric_name": "thumbs_up", "value": True, "inference_id": first, "tags": {"annotator": "tom"}},
        ),
        ("post", "/v1/comparisons", "/v1/comparisons", {"id": "w", "sides": sides}),
        ("post", "/v1/comparisons/next", "/v1/comparisons/next", {"viewer": "tom"}),
        ("get", "/v1/comparisons/{comparison_id}", "/v1/comparisons/w?viewer=tom", None),
        (
            "post",
            "/v1/comparisons/{comparison_id}/judgements",
            f"{whole}/judgements",
            {**by, "verdict": "tie"},
        ),
        ("post", "/v1/comparisons/{comparison_id}/undo", f"{whole}/undo", {"key": "u", "annotator": "tom"}),
        ("get", "/v1/support/comparisons", "/v1/support/comparisons", None),
        ("post", "/v1/campaigns", "/v1/campaigns", {"name": "c", "wanted": 3}),  # this key may not
        ("get", "/v1/campaigns", "/v1/campaigns", None),
        ("get", "/v1/campaigns/{name}", "/v1/campaigns/c", None),
        ("post", "/v1/campaigns/{name}/close", "/v1/campaigns/c/close", {"reason": "r"}),
        ("get", "/v1/support", "/v1/support", None),
        ("get", "/v1/support/{by}", "/v1/support/tag", None),
        ("get", "/v1/gate", "/v1/gate", None),
        ("post", "/v1/gate/moves", "/v1/gate/moves", {"move": "freeze", "reason": "r"}),  # this key may not
        ("post", "/v1/gate/run", "/v1/gate/run", {}),
        ("get", "/v1/gate/decisions", "/v1/gate/decisions", None),
        ("get", "/v1/adapters/{name}/story", "/v1/adapters/nothing/story", None),
        ("get", "/v1/trace/{pick}", f"/v1/trace/{slate['id']}", None),
        ("get", "/v1/support", "/v1/support?role=nobody", None),
        ("get", "/v1/ranking", "/v1/ranking", None),
        ("post", "/v1/conversations", "/v1/conversations", conversations),
        ("get", "/v1/conversations", "/v1/conversations", None),
        ("get", "/v1/conversations/{conversation_id}", "/v1/conversations/c", None),
        ("post", "/v1/conversations/{conversation_id}/slate", "/v1/conversations/c/slate", {"viewer": "tom"}),
        ("post", "/v1/slates", "/v1/slates", {"messages": ASK}),
        ("post", "/v1/chat/completions", "/v1/chat/completions", {"model": "picktune", "messages": ASK}),
        ("get", "/v1/models", "/v1/models", None),
        ("get", "/v1/models/{model}", "/v1/models/picktune", None),
        ("get", "/healthz", "/healthz", None),
        ("get", "/readyz", "/readyz", None),
        ("get", "/metrics", "/metrics", None),  # this key may not
        # and errors
        ("get", "/v1/slates/{slate_id}", "/v1/slates/nothing", None),
        ("post", "/v1/slates", "/v1/slates", {"messages": []}),
        ("post", "/v1/picks", "/v1/picks", {**pick, "verdict": "tie"}),
        ("post", "/v1/chat/completions", "/v1/chat/completions", {"model": "picktune", "messages": []}),
        ("post", "/v1/chat/completions", "/v1/chat/completions", {"model": "base", "messages": ASK}),
        ("get", "/v1/models/{model}", "/v1/models/nothing", None),
    ]
    for method, path, address, body in asked:
        operation = document["paths"][path][method]
        if body is not None and "messages" not in body:
            _check(document, operation["requestBody"]["content"]["application/json"]["schema"], body)
        answer = await api.send(method.upper(), address, body)
        described = operation["responses"][str(answer.status_code)]
        _check(document, described["content"]["application/json"]["schema"], answer.json())
    assert {(method, path) for method, path, _, _ in asked} | {("get", "/openapi.json")} == {
        (method, path) for path, methods in document["paths"].items() for method in methods
    }


def _check(document: dict[str, Any], schema: dict[str, Any], instance: object) -> None:
    Draft202012Validator({**schema, "components": document["components"]}).validate(instance)
