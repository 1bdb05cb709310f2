"""The adapters page: the versions, who speaks, and moving with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs
from picktune.gate.keeper import Gate
from picktune.gate.records import GateSettings
from safetensors.numpy import save_file

pytestmark = pytest.mark.anyio


def add(site: Any, folder: Path, name: str, *, parent: str | None = None, simulated: bool = False) -> None:
    """Register a real, tiny adapter."""
    folder.mkdir()
    stem = "base_model.model.model.layers.0.self_attn.q_proj"
    weights = {
        f"{stem}.lora_A.weight": np.full((4, 8), 0.1, np.float32),
        f"{stem}.lora_B.weight": np.full((8, 4), 0.1, np.float32),
    }
    save_file(weights, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": 4,
        "lora_alpha": 8,
        "target_modules": ["q_proj"],
        "bias": "none",
        "base_model_name_or_path": "scripted",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    site.service.registry.add(
        folder,
        name=name,
        base_model="scripted",
        run_id="run",
        dataset_id="data",
        picks=90,
        parent=parent,
        simulated=simulated,
        now=site.clock(),
    )


@pytest.fixture
async def desk(site: Any, tmp_path: Path) -> Any:
    await site.sign_in("ada", "slate", "pick", "read", "admin")
    add(site, tmp_path / "a", "2026-03-01-1")
    add(site, tmp_path / "b", "2026-03-02-1", parent="2026-03-01-1", simulated=True)
    return site


def move(**changes: Any) -> dict[str, Any]:
    return {
        "move": "promote",
        "name": "2026-03-01-1",
        "reason": "people prefer it",
        "champion": "",
        **changes,
    }


async def test_before_the_first_night_the_page_says_how_adapters_come(site: Any) -> None:
    await site.sign_in()
    html = (await site.get("/adapters")).text
    assert "No adapter has been trained yet" in html
    assert "picktune nightly" in html


async def test_versions_stand_with_their_lineage_newest_first(desk: Any) -> None:
    html = (await desk.get("/adapters")).text
    assert html.index("2026-03-02-1") < html.index("learned from 90 picks")
    assert 'after <bdi class="model">2026-03-01-1</bdi>' in html
    assert '<span class="badge warn">simulated</span>' in html
    assert desk.service.registry.get("2026-03-01-1").sha256 in html


async def test_an_administrator_promotes_and_rolls_back_and_the_history_says_why(desk: Any) -> None:
    assert (await desk.post("/adapters/move", move())).status_code == 200
    assert desk.service.registry.aliases().champion == "2026-03-01-1"
    second = move(name="2026-03-02-1", champion="2026-03-01-1", reason="<b>better</b>")
    assert (await desk.post("/adapters/move", second)).status_code == 200
    back = move(move="rollback", name=None, champion="2026-03-02-1", reason="complaints")
    assert (await desk.post("/adapters/move", back)).status_code == 200
    assert desk.service.registry.aliases().champion == "2026-03-01-1"
    html = (await desk.get("/adapters")).text
    assert "complaints" in html
    assert "&lt;b&gt;better&lt;/b&gt;" in html
    assert "<bdi>ada</bdi>" in html


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"reason": "  "}, 422, "reason"),
        ({"reason": "x" * 501}, 422, "reason"),
        ({"name": None}, 422, "name"),
        ({"name": "no-such"}, 404, "name"),
        ({"move": "delete"}, 422, "move"),
        ({"champion": "2026-03-02-1"}, 409, "champion"),
        ({"move": "rollback"}, 409, None),
    ],
)
async def test_a_bad_move_is_refused_and_moves_nothing(
    desk: Any, changes: dict[str, Any], status: int, field: str | None
) -> None:
    answer = await desk.post("/adapters/move", move(**changes))
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["field"] == field
    assert desk.service.registry.history() == []


async def test_an_agent_sees_no_buttons_and_may_not_move(desk: Any) -> None:
    await desk.sign_in("mei")
    html = (await desk.get("/adapters")).text
    assert "data-move" not in html
    assert "needs an administrator" in html
    answer = await desk.post("/adapters/move", move())
    assert answer.status_code == 403
    assert desk.service.registry.history() == []


async def test_the_gate_is_frozen_and_unfrozen_on_the_page_and_says_who_and_why(desk: Any) -> None:
    html = (await desk.get("/adapters")).text
    assert "Nothing has been decided yet." in html
    assert 'data-move="freeze"' in html
    frozen = {"move": "freeze", "reason": "a <i>launch</i>"}
    assert (await desk.post("/adapters/move", frozen)).status_code == 200
    assert (await desk.post("/adapters/move", frozen)).status_code == 409
    html = (await desk.get("/adapters")).text
    assert "The gate is frozen." in html
    assert "a &lt;i&gt;launch&lt;/i&gt; (ada)" in html
    assert 'data-move="unfreeze"' in html
    assert "闸门已冻结。" in (await desk.get("/adapters", lang="zh")).text
    for order in (
        {"move": "challenge", "name": "2026-03-02-1", "reason": "once more"},
        {"move": "withdraw", "reason": "enough"},
        {"move": "unfreeze", "reason": "it is over"},
    ):
        assert (await desk.post("/adapters/move", order)).status_code == 200
    html = (await desk.get("/adapters", lang="en")).text
    words = ["Unfrozen", "Trial ended", "Put on trial", "Frozen"]
    places = [html.index(f"{word}</span>") for word in words]
    assert places == sorted(places)  # the newest first
    assert "The gate is frozen." not in html


async def test_a_registry_that_cannot_be_read_is_said_and_not_a_crash(desk: Any) -> None:
    (desk.service.registry.root / "registry.json").write_text('{"format": 99}', "utf-8")
    answer = await desk.get("/adapters")
    assert answer.status_code == 200
    assert "The registry cannot be read" in answer.text
    assert (await desk.get("/support")).status_code == 200


async def test_what_the_gate_decided_by_itself_is_said_in_the_readers_language(desk: Any) -> None:
    rules = structs.replace(desk.service.settings, gate=GateSettings(automatic=True))
    gate = Gate(rules, registry=desk.service.registry, now=desk.clock)
    gate.challenge("2026-03-02-1", by="ada", reason="worth a try")
    assert gate.run().action == "begin"
    html = (await desk.get("/adapters")).text
    assert "its trial begins: it takes the tuned place in 5% of new conversations" in html
    html = (await desk.get("/adapters", lang="zh")).text
    assert "试用开始：它在 5% 的新对话中占据调优位置" in html
    assert "its trial begins" not in html
    assert "worth a try" in html
