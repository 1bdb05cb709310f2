"""Whole conversations compared over HTTP: made, shown blind, judged, and counted apart."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from picktune.errors import EngineBusy
from picktune.log import SQLiteLog
from picktune.records import new_id
from picktune.service import Service

pytestmark = pytest.mark.anyio


def told(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": text}]


async def given(api: Any, **more: object) -> dict[str, Any]:
    sides = [
        {"messages": told(f"{new_id()}."), "arm": "base"},
        {"messages": told(f"{new_id()}!"), "arm": "champion", "model": "v1"},
    ]
    answer = await api.post("/v1/comparisons", {"sides": sides, **more})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def judged(api: Any, viewer: str, verdict: str = "chosen", *, last_word: str = "!") -> dict[str, Any]:
    shown = (await api.post("/v1/comparisons/next", {"viewer": viewer})).json()["comparison"]
    body: dict[str, Any] = {"key": "k", "verdict": verdict, "annotator": viewer}
    if verdict == "chosen":
        better = (one for one in shown["sides"] if one["messages"][-1]["content"].endswith(last_word))
        body["side_id"] = next(better)["id"]
    answer = await api.post(f"/v1/comparisons/{shown['id']}/judgements", body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_one_conversation_answered_wholly_by_each_arm(
    api: Any, service: Service, engine: Any, conversation: Any
) -> None:
    await service.add_conversations([conversation("c1", "Hello?", pending=("And now?", "Bye."))])

    view = (await api.post("/v1/comparisons", {"id": "p1", "play": "c1"})).json()
    calls = engine.calls
    again = (await api.post("/v1/comparisons", {"id": "p1", "play": "c1"})).json()

    assert again["id"] == view["id"] == "p1"
    assert engine.calls == calls == 6  # three replies by each of two arms, drawn once
    for one in view["sides"]:
        assert [message["role"] for message in one["messages"]] == ["user", "assistant"] * 3
        assert [m["content"] for m in one["messages"][::2]] == ["Hello?", "And now?", "Bye."]
    kept = service.log.reader.comparison("p1")
    assert {side.arm for side in kept.sides} == {"base", "base-b"}
    assert service.log.reader.conversation("c1").pending == ("And now?", "Bye.")  # nothing was sent


async def test_nothing_tells_the_arms_apart(api: Any, service: Service) -> None:
    view = await given(api)
    shown = (await api.post("/v1/comparisons/next", {"viewer": "mei"})).json()
    page = (await api.get(f"/v1/comparisons/{view['id']}?viewer=mei")).json()

    assert shown["waiting"] == 1
    assert shown["comparison"] == page
    for body in (view, shown, page, await judged(api, "mei")):
        text = json.dumps(body)
        assert not any(word in text for word in ("champion", "base", "v1", "seed", "arm"))


async def test_counted_apart_from_the_picks_of_replies(api: Any, service: Service) -> None:
    for number in range(12):
        await given(api)
        await judged(api, f"viewer {number}")
    await given(api)
    await judged(api, "viewer 0", "tie")

    supports = (await api.get("/v1/support/comparisons")).json()["supports"]
    (tuned,) = [one for one in supports if one["model"] == "v1"]
    assert (tuned["wins"], tuned["n"], tuned["ties"]) == (12, 12, 1)
    assert all(one["n"] == 0 for one in (await api.get("/v1/support")).json()["supports"])
    assert list(service.log.reader.decisions()) == []
    assert list(service.log.reader.choice_sets()) == []


async def test_taking_back_and_judging_again(api: Any, service: Service) -> None:
    view = await given(api)
    await judged(api, "mei", "none_good")
    assert (await api.post("/v1/comparisons/next", {"viewer": "mei"})).json()["comparison"] is None

    undo = {"key": "u", "annotator": "mei"}
    assert (await api.post(f"/v1/comparisons/{view['id']}/undo", undo)).json()["version"] == 2
    shown = (await api.post("/v1/comparisons/next", {"viewer": "mei"})).json()["comparison"]
    body = {"key": "k2", "verdict": "chosen", "side_id": shown["sides"][0]["id"], "annotator": "mei"}
    assert (await api.post(f"/v1/comparisons/{view['id']}/judgements", body)).json()["version"] == 3


async def test_stored_conversations_as_they_stand(api: Any, service: Service, conversation: Any) -> None:
    await service.add_conversations([conversation(one, "Hello?") for one in ("c1", "c2", "c3")])
    for one in ("c1", "c2"):
        slate = (await api.post(f"/v1/conversations/{one}/slate", {"viewer": "mei"})).json()
        body = {"key": "k", "slate_id": slate["id"], "verdict": "none_good", "annotator": "mei"}
        await api.post("/v1/picks", {**body, "edited_text": f"Written for {one}."})

    view = (await api.post("/v1/comparisons", {"conversation_ids": ["c1", "c2"]})).json()
    assert {one["messages"][-1]["content"] for one in view["sides"]} == {
        "Written for c1.",
        "Written for c2.",
    }
    await api.post("/v1/comparisons/next", {"viewer": "mei"})
    assert all(one["n"] == 0 for one in (await api.get("/v1/support/comparisons")).json()["supports"])


async def test_bad_requests(api: Any, service: Service, engine: Any, conversation: Any) -> None:
    await service.add_conversations([conversation("c1", "Hello?"), conversation("c2", "Hello?")])
    await service.add_conversations([conversation("long", "Hello?", pending=("And?",) * 30)])
    sides = [{"messages": told("Same.")}, {"messages": told("Same.")}]
    for body, status in (
        ({}, 422),
        ({"play": "c1", "conversation_ids": ["c1", "c2"]}, 422),
        ({"conversation_ids": ["c1"]}, 422),
        ({"conversation_ids": ["c1", "c2"]}, 422),  # nothing was replied yet
        ({"conversation_ids": ["c1", "none"]}, 404),
        ({"conversation_ids": ["1", "2", "3", "4", "5"]}, 422),
        ({"play": "none"}, 404),
        ({"play": "long"}, 409),
        ({"sides": sides}, 422),
        ({"sides": sides[:1]}, 422),
    ):
        assert (await api.post("/v1/comparisons", body)).status_code == status, body
    engine.error = EngineBusy("full")
    assert (await api.post("/v1/comparisons", {"play": "c1"})).status_code == 429
    assert service.log.reader.counts()["comparisons"] == 0
    headers = await api.signed_in("mei")
    known = {"sides": [{"messages": told("1"), "arm": "base"}, {"messages": told("2"), "arm": "x"}]}
    assert (await api.post("/v1/comparisons", known, headers=headers, key=None)).status_code == 403


def test_from_the_command_line(run: Callable[..., Result], home: Path, conversation: Any) -> None:
    async def fill() -> None:
        async with SQLiteLog.open(home / "picktune.db") as log:
            await log.add_conversations([conversation("c1", "Hello?"), conversation("c2", "Hello?")])

    home.mkdir()
    asyncio.run(fill())

    assert "nothing was replied" in run("compare", "c1", "c2", code=1).output
    assert "name the conversations" in run("compare", code=2).output
    assert "the base against itself: no choice yet" in run("compare", "--support").output
    assert json.loads(run("compare", "--support", "--json").output)[0]["n"] == 0
