"""Too many requests of one key, or of one person, are refused for a while; others do not notice."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from picktune.auth import Viewer
from picktune.errors import RateLimited
from picktune.metrics import Metrics
from picktune.ratelimit import RateLimits
from picktune.service import Service
from picktune.settings import Rates, Settings, load_settings

pytestmark = pytest.mark.anyio

ASK = [{"role": "user", "content": "Where is my order?"}]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    few = Rates(key_slates=3, key_picks=4, session_slates=2, session_picks=1)
    return Settings(home=settings.home, poll=0.02, timeout=5.0, rates=few)


def viewer(name: str = "shop", csrf: str | None = None) -> Viewer:
    return Viewer(name=name, role="user", scopes=frozenset({"slate"}), csrf=csrf)


async def test_a_key_may_draw_so_many_slates_and_no_more(api: Any, service: Service, engine: Any) -> None:
    for _ in range(3):
        await api.slate()
    calls = engine.calls
    answer = await api.post("/v1/slates", {"messages": ASK})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["field"]) == (429, "rate_limited", None)
    assert "rates.key_slates" in error["message"]
    assert 50 <= int(answer.headers["retry-after"]) <= 60
    assert engine.calls == calls
    # Nothing else is held up: neither another key, nor this one's picks.
    other = api.new_key("other", "slate")
    assert (await api.post("/v1/slates", {"messages": ASK}, key=other)).status_code == 201
    assert (await api.get("/v1/support")).status_code == 200
    assert service.metrics.registry.get_sample_value("picktune_rate_limited_total", {"limit": "slates"}) == 1


async def test_a_refused_body_is_not_read(api: Any) -> None:
    for _ in range(3):
        await api.slate()
    assert (await api.post("/v1/slates", None, content=b"{")).status_code == 429


async def test_decisions_have_a_limit_of_their_own(api: Any) -> None:
    slate = await api.slate(viewer=None)
    shown = [await api.post(f"/v1/slates/{slate['id']}/exposures", {"viewer": f"v{i}"}) for i in range(4)]
    assert [one.status_code for one in shown] == [200] * 4
    pick = {"key": "k", "slate_id": slate["id"], "verdict": "skip", "annotator": "v1"}
    reaction = {"key": "r", "candidate_id": slate["candidates"][0]["id"], "value": "up", "annotator": "v1"}
    undo = {"key": "u", "slate_id": slate["id"], "annotator": "v1"}
    for path, body in (("/v1/picks", pick), ("/v1/reactions", reaction), ("/v1/undo", undo)):
        assert (await api.post(path, body)).json()["error"]["code"] == "rate_limited"
    conversations = {"conversations": [{"id": "c", "title": "t", "messages": ASK}]}
    assert (await api.post("/v1/conversations", conversations)).status_code == 201


async def test_the_gateway_counts_slates_and_says_so_in_openais_shape(api: Any) -> None:
    body = {"model": "picktune", "messages": ASK}
    await api.slate()
    for _ in range(2):
        assert (await api.post("/v1/chat/completions", body)).status_code == 200
    answer = await api.post("/v1/chat/completions", body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (429, "rate_limited", "rate_limit_error")
    assert int(answer.headers["retry-after"]) > 0


async def test_to_sign_in_again_gains_nothing(api: Any, conversation: Callable[..., Any]) -> None:
    await api.service.add_conversations([conversation("c1", "Hello?")])
    for _ in range(2):
        headers = await api.signed_in("mei")
        found = await api.post("/v1/conversations/c1/slate", {}, key=None, headers=headers)
        assert found.status_code == 200, found.text
    headers = await api.signed_in("mei")
    refused = await api.post("/v1/conversations/c1/slate", {}, key=None, headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limited")
    tom = await api.signed_in("tom")
    assert (await api.post("/v1/conversations/c1/slate", {}, key=None, headers=tom)).status_code == 200
    # A key called mei is somebody else.
    named = api.new_key("mei", "slate")
    assert (await api.post("/v1/slates", {"messages": ASK}, key=named)).status_code == 201


async def test_own_replies_count_as_decisions(api: Any, conversation: Callable[..., Any]) -> None:
    await api.service.add_conversations([conversation("c1", "Hello?")])
    headers = await api.signed_in("mei")
    reply = {"key": "k", "conversation_id": "c1", "text": "Hello!", "messages": 2}
    assert (await api.post("/reply", reply, key=None, headers=headers)).status_code == 200
    refused = await api.post("/reply", {**reply, "key": "l"}, key=None, headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limited")


async def test_many_at_once_get_as_many_as_there_are(api: Any) -> None:
    answers = await asyncio.gather(*(api.post("/v1/slates", {"messages": ASK}) for _ in range(20)))
    codes = [one.status_code for one in answers]
    assert (codes.count(201), codes.count(429)) == (3, 17)


async def test_the_host_application_itself_is_not_limited(service: Service) -> None:
    from picktune.feedback import Feedback

    for _ in range(5):
        await Feedback(service, "mei").draw(ASK)


def test_after_the_window_there_is_room_again() -> None:
    limits = RateLimits(Rates(key_picks=2), Metrics(), seconds=1)
    limits.take("picks", viewer())
    time.sleep(0.5)
    limits.take("picks", viewer())
    with pytest.raises(RateLimited) as caught:
        limits.take("picks", viewer())
    assert caught.value.retry_after == 1
    time.sleep(0.6)
    limits.take("picks", viewer())  # the first has left the window, the second has not
    with pytest.raises(RateLimited):
        limits.take("picks", viewer())


def test_hits_start_no_threads_of_their_own() -> None:
    """The storage would start one every 10 ms; it still forgets what has left the window."""
    limits, timers = RateLimits(Rates(key_picks=100), Metrics(), seconds=1), set()
    for _ in range(12):
        limits.take("picks", viewer())
        timers |= {one.name for one in threading.enumerate() if isinstance(one, threading.Timer)}
        time.sleep(0.02)
    assert len(timers) <= 2  # at its making, and after the first hit


def test_what_has_left_the_window_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("picktune.ratelimit._SWEEP", 0.1)
    limits = RateLimits(Rates(key_picks=100), Metrics(), seconds=1)
    for _ in range(50):
        limits.take("picks", viewer())
    time.sleep(1.2)
    limits.take("picks", viewer())
    time.sleep(0.2)
    assert [len(entries) for entries in limits._storage.events.values()] == [1]


def test_zero_is_no_limit() -> None:
    limits = RateLimits(Rates(key_slates=0, session_slates=0), Metrics())
    for _ in range(10_000):
        limits.take("slates", viewer())
        limits.take("slates", viewer(csrf="x"))


def test_the_rates_are_settings() -> None:
    settings = load_settings(environ={"PICKTUNE_RATES__SESSION_PICKS": "7"}, rates={"key_slates": 0})
    assert settings.rates == Rates(session_picks=7, key_slates=0)


def test_no_workbench_meets_the_usual_limits() -> None:
    """Somebody who decides every second, for a minute, on slates that are drawn anew twice each."""
    limits, mei = RateLimits(Settings().rates, Metrics()), viewer("mei", csrf="x")
    for _ in range(60):
        for _ in range(2):
            limits.take("slates", mei)
        for _ in range(3):  # the exposure, the decision, and its undoing
            limits.take("picks", mei)
