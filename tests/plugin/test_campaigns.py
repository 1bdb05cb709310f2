"""Campaigns as they run: over HTTP, on the workbench's queue and from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from click.testing import Result
from msgspec import structs
from picktune.audit import AuditLog
from picktune.records import new_id
from picktune.service import Service

pytestmark = pytest.mark.anyio


async def create(api: Any, name: str = "refunds", status: int = 201, **fields: Any) -> dict[str, Any]:
    admin = api.new_key(new_id(), "admin")
    body = {"name": name, "wanted": 2, "selection": {"tags": ["refund"]}, **fields}
    answer = await api.post("/v1/campaigns", body, key=admin)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def ready(service: Service, conversation: Any, *ids: str, tags: tuple[str, ...] = ("refund",)) -> None:
    made = [structs.replace(conversation(one, "Hello?"), tags=tags) for one in ids]
    await service.add_conversations(made)


async def answered(api: Any, conversation_id: str, viewer: str = "mei") -> dict[str, Any]:
    slate = (await api.post(f"/v1/conversations/{conversation_id}/slate", {"viewer": viewer})).json()
    body = {
        "key": "k",
        "slate_id": slate["id"],
        "verdict": "chosen",
        "candidate_id": slate["candidates"][0]["id"],
        "annotator": viewer,
    }
    assert (await api.post("/v1/picks", body)).status_code == 200
    found: dict[str, Any] = slate
    return found


async def test_from_its_opening_until_it_is_full(api: Any, service: Service, conversation: Any) -> None:
    await ready(service, conversation, "r1", "r2", "r3")
    await ready(service, conversation, "other", tags=())
    made = await create(api, policy="1+1", purpose="Refunds are weak.")
    assert await create(api, policy="1+1", purpose="Refunds are weak.") == made  # sent twice
    await create(api, status=409, wanted=5)

    slate = await answered(api, "r1")
    turn = (await service.slate(slate["id"])).turn
    assert turn.tags == ("refund", "campaign:refunds")
    assert (await service.slate(slate["id"])).policy == "1+1"
    assert len(slate["candidates"]) == 2
    assert "campaign" not in json.dumps(slate)
    other = await answered(api, "other")
    assert (await service.slate(other["id"])).turn.tags == ()

    view = (await api.get("/v1/campaigns/refunds")).json()
    assert (view["status"], view["have"], view["by_annotator"], view["waiting"]) == ("open", 1, {"mei": 1}, 2)
    await answered(api, "r2")
    view = (await api.get("/v1/campaigns/refunds")).json()
    assert (view["status"], view["have"], view["campaign"]["closed_by"]) == ("full", 2, "picktune")

    # It stays closed, whatever is taken back, and draws no more.
    await api.post("/v1/undo", {"key": "u", "slate_id": slate["id"], "annotator": "mei"})
    assert (await api.get("/v1/campaigns")).json()["campaigns"][0]["status"] == "full"
    slate = await answered(api, "r3")
    assert (await service.slate(slate["id"])).turn.tags == ("refund",)
    support = await service.supports()
    assert support[-1].n + support[-1].shared + support[-1].incomplete > 0


async def test_it_ends_at_its_time_or_when_somebody_says_so(api: Any, service: Service, clock: Any) -> None:
    await create(api, "timed", until=(clock() + timedelta(hours=1)).isoformat())
    await create(api, "long")
    await create(api, "past", status=422, until=(clock() - timedelta(hours=1)).isoformat())
    await create(api, "naive", status=422, until="2030-01-01T00:00:00")
    await create(api, "odd", status=422, policy="9+9")
    await create(api, "No name", status=422)
    await create(api, "unknown", status=422, colour="red")

    clock.now += timedelta(hours=2)
    admin = api.new_key("boss", "admin")
    closed = (await api.post("/v1/campaigns/long/close", {"reason": "enough"}, key=admin)).json()
    assert (closed["status"], closed["campaign"]["closed_why"]) == ("closed", "enough")
    assert (await api.get("/v1/campaigns/timed")).json()["status"] == "over"
    assert (await api.get("/v1/campaigns/none")).json()["error"]["code"] == "campaign_not_found"
    assert (await api.post("/v1/campaigns/long/close", {"reason": "x"})).status_code == 403
    done = [one.action for one in AuditLog(service.settings.folder).entries()]
    assert done == ["campaign_created", "campaign_created", "campaign_closed"]


async def test_a_quota_and_those_who_take_part(api: Any, service: Service, conversation: Any) -> None:
    await ready(service, conversation, "r1", "r2", "r3")
    await create(api, wanted=9, per_annotator=1, annotators=["mei", "tom"])

    for conversation_id, viewer, under in (("r1", "mei", True), ("r2", "mei", False), ("r3", "eve", False)):
        slate = await answered(api, conversation_id, viewer)
        tags = (await service.slate(slate["id"])).turn.tags
        assert ("campaign:refunds" in tags) is under


async def test_nobody_forges_its_tag(api: Any, service: Service, conversation: Any) -> None:
    await ready(service, conversation, "r1", tags=("campaign:refunds", "vip"))
    await create(api)
    asked = {"messages": [{"role": "user", "content": "Hello?"}], "tags": ["campaign:refunds"]}

    answer = await api.post("/v1/slates", asked)
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "tags")
    slate = await answered(api, "r1")

    assert (await service.slate(slate["id"])).turn.tags == ("vip",)
    assert (await api.get("/v1/campaigns/refunds")).json()["have"] == 0


async def test_other_replies_stay_in_the_campaign(api: Any, service: Service, conversation: Any) -> None:
    await ready(service, conversation, "r1")
    scale = {"name": "tone", "low": 0, "high": 10, "rubric": "0 is rude"}
    await create(api, scale=scale)
    old = (await api.post("/v1/conversations/r1/slate", {"viewer": "eva"})).json()
    new = (await api.post(f"/v1/slates/{old['id']}/regenerate", {"key": "k", "annotator": "eva"})).json()

    assert "campaign:refunds" in (await service.slate(new["id"])).turn.tags
    score = {"key": "s", "scale": "tone", "value": 9, "annotator": "eva"}
    answer = await api.post("/v1/scores", {**score, "candidate_id": new["candidates"][0]["id"]})
    assert (answer.status_code, answer.json()["high"]) == (200, 10)
    outside = await api.slate("eva")
    answer = await api.post("/v1/scores", {**score, "candidate_id": outside["candidates"][0]["id"]})
    assert answer.status_code == 422


async def test_its_conversations_stand_first_in_the_queue(
    api: Any, service: Service, conversation: Any
) -> None:
    await ready(service, conversation, "a1", "a2", tags=())
    await ready(service, conversation, "r1")
    await create(api, title="Refunds", annotators=["mei"])

    for name, first in (("mei", ["r1", "a1", "a2"]), ("tom", ["a1", "a2", "r1"])):
        headers = await api.signed_in(name)
        rows = (await api.get("/workbench.json", headers=headers, key=None)).json()["rows"]
        assert [one["id"] for one in rows] == first
    page = await api.get("/workbench", headers=await api.signed_in("mei"), key=None)
    assert "Refunds" in page.text


async def test_the_page_shows_how_far_it_is(api: Any, service: Service, conversation: Any) -> None:
    headers = await api.signed_in("mei")
    assert "no campaign yet" in (await api.get("/campaigns", headers=headers, key=None)).text
    await ready(service, conversation, "r1")
    await create(api, title="<b>Refunds</b>", wanted=200)
    await answered(api, "r1")

    page = (await api.get("/campaigns", headers=headers, key=None)).text
    assert "1 of 200 picks" in page
    assert "&lt;b&gt;Refunds" in page
    chinese = (await api.get("/campaigns?lang=zh", headers=headers, key=None)).text
    assert "1 / 200 次选择" in chinese


def test_from_the_command_line(run: Callable[..., Result]) -> None:
    create = ("campaign", "create", "refunds", "--wanted", "200", "--tag", "refund", "--tag", "return")
    more = (
        "--locale",
        "zh",
        "--title",
        "Refunds",
        "--scale",
        "tone:0-10",
        "--rubric",
        "0 is rude",
        "--by",
        "lin",
    )

    assert "opened: refunds, 200 picks wanted" in run(*create, *more, "--until", "2099-01-01").output
    assert "another campaign" in run("campaign", "create", "refunds", "--wanted", "3", code=1).output
    assert "past" in run("campaign", "create", "old", "--wanted", "3", "--until", "2000-01-01", code=1).output
    assert "no scale" in run("campaign", "create", "x", "--wanted", "3", "--scale", "tone", code=1).output
    assert "cannot be opened" in run("campaign", "create", "Big One", "--wanted", "3", code=1).output
    assert "2099-01-01" in run("campaign", "list").output
    shown = run("campaign", "show", "refunds").output
    assert "refunds: open, 0 of 200 picks" in shown
    assert "tags: refund, return" in shown
    assert "no campaign named" in run("campaign", "show", "none", code=1).output
    assert "closed: refunds, enough" in run("campaign", "close", "refunds", "--reason", "enough").output
    (one,) = json.loads(run("campaign", "list", "--json").output)
    assert (one["status"], one["have"], one["campaign"]["scale"]["rubric"]) == ("closed", 0, "0 is rude")
    assert json.loads(run("campaign", "list", "--open", "--json").output) == []
    assert "campaign created" in run("audit").output
    assert "signals: none" in run("signals", "--since", "2020-01-01").output
    assert json.loads(run("signals", "--json").output)["seen"] == 0
