"""Requests made up from our own OpenAPI document: whatever comes, the answers are those that it promises."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from picktune.log import SQLiteLog
from picktune.mount import mounted
from picktune.openapi import document
from picktune.service import Service
from picktune.settings import Rates, Settings
from picktune_adapters.registry import Registry
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks
from starlette.responses import Response as StarletteResponse

CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
SCHEMA = schemathesis.openapi.from_dict(document("/picktune"))
OPERATIONS = {f"{one.ok().method} {one.ok().path}": one.ok() for one in SCHEMA.get_all_operations()}
SECONDS = 10.0
SECRET = "My parcel of hyacinths"
NOTHING_TO_GET_WRONG = ("get /healthz", "get /readyz", "get /metrics", "get /openapi.json", "get /v1/models")


class Fuzzed:
    """A service in a thread of its own, with things in it whose ids requests may name, and all of mei's."""

    def __init__(self, portal: BlockingPortal, service: Service) -> None:
        self._portal = portal
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(
                mounted(service), root_path="/picktune", raise_app_exceptions=False
            ),
            base_url="http://fuzz.test",
            timeout=SECONDS,
        )
        key, _ = service.auth.keys.create("fuzz", ["admin"], now=service.now())
        self.boss = {"Authorization": f"Bearer {key}"}
        self.tom = self._signed_in(service, "tom")
        asks = [
            {
                "messages": [{"role": "user", "content": f"{SECRET} {consent}"}],
                "viewer": "mei",
                "user_ref": "mei",
            }
            | {"consent": consent}
            for consent in ("train", "none")
        ]
        slates = [self.send("POST", "/v1/slates", self.boss, json=ask).json() for ask in asks]
        stored = {"id": "c1", "title": "Order", "user_ref": "mei", "messages": asks[0]["messages"]}
        added = self.send("POST", "/v1/conversations", self.boss, json={"conversations": [stored]})
        assert added.status_code == 201, added.text
        waiting = self.send("POST", "/v1/conversations/c1/slate", self.boss, json={"viewer": "mei"})
        sides = [
            {"messages": [*asks[0]["messages"], {"role": "assistant", "content": SECRET + side}]}
            for side in "ab"
        ]
        compared = self.send("POST", "/v1/comparisons", self.boss, json={"sides": sides})
        assert compared.status_code == 201, compared.text
        slates.append(waiting.json())
        self.secrets = [SECRET, *(one["text"] for slate in slates for one in slate["candidates"])]
        candidates = [one["id"] for slate in slates for one in slate["candidates"]]
        self.ids: dict[str, list[str]] = {
            "viewer": ["mei"],
            "annotator": ["mei"],
            "slate_id": [one["id"] for one in slates],
            "candidate_id": candidates,
            "inference_id": candidates,
            "conversation_id": ["c1", slates[0]["conversation_id"]],
            "comparison_id": [compared.json()["id"]],
        }

    def _signed_in(self, service: Service, name: str) -> dict[str, str]:
        response = StarletteResponse()
        token = service.auth.enter_token(name, role="user", scopes=("slate", "pick", "read"))
        viewer = service.auth.sign_in(token, response)
        cookie = response.headers["set-cookie"].partition(";")[0]
        return {"Cookie": cookie, "X-Picktune-CSRF": viewer.csrf or ""}

    def send(self, method: str, path: str, who: dict[str, str], **more: Any) -> httpx.Response:
        headers = {**more.pop("headers", {}), **who}

        async def request() -> httpx.Response:
            return await self._client.request(method, f"/picktune{path}", headers=headers, **more)

        return self._portal.call(request)

    def send_case(self, case: Any, who: dict[str, str]) -> httpx.Response:
        base = "http://fuzz.test/picktune"
        sent = case.as_transport_kwargs(base_url=base)
        given = {name: sent[name] for name in ("params", "json", "headers") if sent.get(name) is not None}
        given["headers"] = {name: one for name, one in given["headers"].items() if name != "User-Agent"}
        if "data" in sent:
            given["content"] = sent["data"]
        return self.send(case.method, sent["url"].removeprefix(base), who, **given)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory, scripted: Any) -> Iterator[Fuzzed]:
    rates = {f"{who}_{what}": 0 for who in ("key", "session") for what in ("slates", "picks", "signals")}
    made = Settings(home=str(tmp_path_factory.mktemp("fuzz")), rates=Rates(**rates))
    with start_blocking_portal() as portal:

        async def make() -> Service:
            service = Service(
                made,
                log=SQLiteLog.open(made.log_path),
                engine=scripted(),
                registry=Registry(made.registry_path),
                rng=random.Random(1),
            )
            await service.until_ready(10)
            return service

        service = portal.call(make)
        yield Fuzzed(portal, service)
        portal.call(service.close)


def planted(value: Any, ids: dict[str, list[str]], data: st.DataObject, *, all: bool = False) -> Any:
    """The value, some or all of whose made-up ids are real ones: else nothing behind the look-up is tried."""
    if isinstance(value, dict):
        return {
            name: data.draw(st.sampled_from(ids[name] if all else [*ids[name], one]))
            if name in ids and isinstance(one, str)
            else planted(one, ids, data, all=all)
            for name, one in value.items()
        }
    return [planted(one, ids, data, all=all) for one in value] if isinstance(value, list) else value


def plant(case: Any, ids: dict[str, list[str]], data: st.DataObject, *, all: bool = False) -> None:
    for part in ("path_parameters", "query", "body"):
        found = getattr(case, part)
        if isinstance(found, dict) and found:
            setattr(case, part, planted(found, ids, data, all=all))


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("name", OPERATIONS)
def test_answers_are_as_promised(fuzzed: Fuzzed, name: str, mode: GenerationMode) -> None:
    if mode == GenerationMode.NEGATIVE and name in NOTHING_TO_GET_WRONG:
        return

    @given(case=OPERATIONS[name].as_strategy(mode), data=st.data())
    @settings(max_examples=6, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    def requests(case: Any, data: st.DataObject) -> None:
        plant(case, fuzzed.ids, data)
        answer = fuzzed.send_case(case, fuzzed.boss)
        case.validate_response(answer, checks=CHECKS)

    requests()


@pytest.mark.parametrize("name", OPERATIONS)
def test_nobody_reads_what_was_shown_to_somebody_else(fuzzed: Fuzzed, name: str) -> None:
    """Tom is signed in, with more scopes than he should have, and knows the ids of all that is mei's."""

    @given(case=OPERATIONS[name].as_strategy(), data=st.data())
    @settings(max_examples=4, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    def requests(case: Any, data: st.DataObject) -> None:
        plant(case, {**fuzzed.ids, "viewer": ["tom", "mei"], "annotator": ["tom", "mei"]}, data, all=True)
        answer = fuzzed.send_case(case, fuzzed.tom)
        assert answer.status_code < 500, answer.text
        assert not [secret for secret in fuzzed.secrets if secret in answer.text]

    requests()


def test_no_page_shows_it_either(fuzzed: Fuzzed) -> None:
    slate, conversation = fuzzed.ids["slate_id"][0], "c1"
    for address in ("/", "/workbench", "/workbench.json", "/compare", f"/workbench/{conversation}"):
        answer = fuzzed.send("GET", address, fuzzed.tom)
        assert SECRET not in answer.text
        assert answer.status_code in (302, 303, 307, 403)
    for address in (f"/conversation.json?id={conversation}", f"/workbench.json?current={conversation}"):
        assert fuzzed.send("GET", address, fuzzed.tom).status_code == 403
    # And she to whom it was shown does see it.
    assert fuzzed.send("GET", f"/v1/slates/{slate}?viewer=mei", fuzzed.boss).status_code == 200
