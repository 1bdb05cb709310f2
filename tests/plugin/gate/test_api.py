"""The gate over the API: reading, moving by a named person, and what a key may not."""

from __future__ import annotations

from typing import Any

import pytest
from picktune_adapters import Aliases

pytestmark = pytest.mark.anyio


@pytest.fixture
async def admin(api: Any, register: Any) -> Any:
    register("v1")
    api.key = api.new_key("ops", "read", "admin")
    return api


async def order(admin: Any, **body: Any) -> Any:
    return await admin.post("/v1/gate/moves", {"move": "promote", "reason": "x", "by": "ann", **body})


async def test_moves_by_hand_and_what_was_decided(admin: Any) -> None:
    registry = admin.service.registry
    assert (await order(admin, move="challenge", name="v1")).json()["change"]["after"] == "v1"
    gate = (await admin.get("/v1/gate")).json()
    assert (gate["champion"], gate["challenger"], gate["proposal"]["action"]) == (None, "v1", "hold")
    assert gate["view"]["challenger"]["n"] == 0
    assert (await order(admin, move="freeze", reason="launch")).json() == {"change": None}
    assert (await order(admin, move="freeze")).status_code == 409
    run = (await admin.post("/v1/gate/run", {})).json()
    assert run["reason"] == "the gate is frozen: launch (ann)"
    assert (await order(admin, move="unfreeze")).status_code == 200
    assert (await order(admin, name="v1", champion="")).status_code == 200
    assert registry.aliases() == Aliases(champion="v1")
    assert (await order(admin, name="v1", champion="")).status_code == 409
    assert (await order(admin, move="rollback")).json()["change"]["after"] is None
    found = (await admin.get("/v1/gate/decisions?limit=3")).json()["decisions"]
    assert [one["action"] for one in found] == ["rollback", "promote", "unfreeze"]
    assert {one["by"] for one in found} == {"ann"}
    story = (await admin.get("/v1/adapters/v1/story")).json()
    assert [one["by"] for one in story["events"]][-1] == "ann"


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"by": None, "name": "v1"}, 422, "by"),
        ({"by": "gate", "name": "v1"}, 422, "by"),
        ({"reason": " ", "name": "v1"}, 422, "reason"),
        ({"name": None}, 422, "name"),
        ({"name": "v9"}, 404, "name"),
        ({"move": "delete"}, 422, "move"),
        ({"move": "withdraw"}, 409, None),
    ],
)
async def test_a_bad_order_is_refused_and_moves_nothing(
    admin: Any, body: dict[str, Any], status: int, field: str | None
) -> None:
    answer = await order(admin, **body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["field"] == field
    assert admin.service.registry.history() == []
    assert (await admin.get("/v1/gate/decisions")).json()["decisions"] == []


async def test_who_may_only_read_moves_nothing(admin: Any) -> None:
    key = admin.new_key("reader", "read")
    assert (await admin.get("/v1/gate", key=key)).status_code == 200
    for path, body in (
        ("/v1/gate/moves", {"move": "freeze", "reason": "x", "by": "ann"}),
        ("/v1/gate/run", {}),
    ):
        assert (await admin.post(path, body, key=key)).status_code == 403
    assert (await admin.get("/v1/gate", key=admin.new_key("agent", "pick", "slate"))).status_code == 403


async def test_where_a_pick_went(admin: Any) -> None:
    key = admin.new_key("app", "slate", "pick")
    body = {"messages": [{"role": "user", "content": "Where is it?"}], "viewer": "mei"}
    slate = (await admin.post("/v1/slates", body, key=key)).json()
    chosen = {"candidate_id": slate["candidates"][0]["id"], "verdict": "chosen", "annotator": "mei"}
    await admin.post("/v1/picks", {"key": "k", "slate_id": slate["id"], **chosen}, key=key)
    by_slate = (await admin.get(f"/v1/trace/{slate['id']}")).json()
    assert by_slate["uses"] == []
    assert by_slate["decisions"][0].startswith("pick 1: chosen by mei (user)")
    assert (await admin.get("/v1/trace/1")).json()["slate_id"] == slate["id"]
    assert (await admin.get("/v1/trace/none")).json()["error"]["code"] == "slate_not_found"
