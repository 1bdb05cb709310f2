"""Every page as it is seen: both languages, phone and desktop, light and dark, hostile text, and blind."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picktune.records import Candidate, Exposure, Message, Pick, Slate, Turn, new_id
from safetensors.numpy import save_file
from selenium.webdriver import Keys

HOSTILE = [
    "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">",
    "\u202edesrever \u2066\u2067 شكرا \u200f",
    "A" * 20_000,
    "👩‍👩‍👧‍👦🇨🇳🏳️‍🌈 " * 200,
]


@pytest.fixture
def busy(desk: Any, tmp_path: Path) -> Any:
    """A server with conversations, decisions on a challenger and on the base against itself, and adapters."""
    desk.add(
        "en-1", "Where is my order? " * 12, title="A late parcel with a long title " * 3, tags=("shipping",)
    )
    desk.add(
        "zh-1", "我的快递三天没动了，能帮忙查一下吗？", title="快递没动", locale="zh", pending=("好的。",)
    )
    for name, wins in (("base-b", 30), ("challenger", 52)):
        decide(desk, name, wins, 60)
    for number, name in enumerate(("2026-03-01-1", "2026-03-02-1")):
        register(desk, tmp_path / name, name, simulated=number == 1)
    registry, now = desk.service.registry, desk.service.now()
    registry.promote("2026-03-01-1", by="ada", reason="people prefer it, " * 20, now=now)
    return desk


PAGES = (
    "/workbench",
    "/workbench/en-1",
    "/workbench/zh-1",
    "/support",
    "/adapters",
    "/campaigns",
    "/compare",
    "/left",
    "/workbench/none",
)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(("width", "height"), [(390, 844), (320, 640), (820, 1100), (1280, 800)])
def test_no_page_scrolls_sideways(browser: Any, busy: Any, language: str, width: int, height: int) -> None:
    browser.enter(busy, "ada", "slate", "pick", "read", "admin")
    browser.size(width, height, phone=width < 500)
    for path in PAGES:
        browser.open(f"{busy.url}{path}?lang={language}")
        if re.search(r"/(en|zh)-1", path):
            browser.wait("choosing")
            browser.press("0")
        for details in browser.all("details"):
            browser.driver.execute_script("arguments[0].open = true", details)
        assert browser.overflow() <= 0, path
        assert browser.js("document.documentElement.lang") == {"en": "en", "zh": "zh-Hans"}[language]


def test_replies_stand_in_a_grid_on_a_desk_and_in_a_column_on_a_phone(browser: Any, busy: Any) -> None:
    browser.enter(busy)
    browser.desk(busy, "en-1")
    columns = "getComputedStyle(document.getElementById('cards')).gridTemplateColumns.split(' ').length"
    assert browser.js(columns) == 2
    browser.size(390, 844, phone=True)
    assert browser.js(columns) == 1


def test_a_conversation_in_chinese_from_the_list_to_the_undo(browser: Any, busy: Any, see: Any) -> None:
    browser.enter(busy)
    browser.open(f"{busy.url}/workbench?lang=zh&locale=zh")
    assert browser.texts(".queue-title") == ["快递没动"]
    browser.press("j", Keys.ENTER)
    browser.wait("choosing")
    assert "哪条回复最好" in browser.seen("#slate")
    assert browser.one("#messages .text").get_attribute("lang") == "zh-Hans"
    browser.press("1")
    browser.wait_for("#toast", "回复已发送")
    browser.wait("choosing")
    browser.press("u")
    browser.wait_for("#toast", "已撤回")
    see(lambda: len(busy.said("zh-1")) == 1, "the reply is taken back")


def test_hostile_text_is_shown_as_text_everywhere(browser: Any, desk: Any, see: Any) -> None:
    desk.engine.texts = HOSTILE
    for number, text in enumerate(HOSTILE):
        desk.add(f"h{number}", text, title=text[:200], pending=(text,), tags=(text[:100],))
    browser.enter(desk)
    for number, text in enumerate(HOSTILE):
        browser.desk(desk, f"h{number}")
        assert browser.thread() == [text]
        assert sorted(browser.replies()) == sorted(HOSTILE)
        browser.press("1")
        see(lambda text=text: browser.thread()[2:] == [text], "the customer's next message is shown")
        assert browser.overflow() <= 0
        assert browser.js("document.title") != "owned"
        assert browser.all("#slate img, #messages img, #messages script, .queue img") == []
    # A mark that turns the reading direction round stays inside its own box.
    directions = browser.js(
        "[...document.querySelectorAll('.text, bdi')].map((one) => getComputedStyle(one).unicodeBidi)"
    )
    assert {*directions} <= {"isolate", "plaintext"}


def test_the_page_cannot_tell_the_arms_apart(browser: Any, busy: Any, see: Any) -> None:
    see(lambda: busy.service.aliases.champion == "2026-03-01-1", "the champion speaks")
    browser.enter(busy)
    browser.desk(busy, "en-1")
    source = browser.js("document.documentElement.outerHTML")
    for secret in ("2026-03-01-1", "champion", "challenger", "base-b", "scripted", "latency", "propensity"):
        # The words of the language are on the page; nothing of the slate is.
        assert secret not in re.sub(r'data-strings="[^"]*"', "", source).lower(), secret
    slate = busy.service.log.reader.waiting_slate("en-1", viewer="mei")
    assert {one.arm for one in slate.candidates} == {"base", "champion"}
    cards = [card.get_attribute("data-candidate") for card in browser.all(".card[data-candidate]")]
    assert sorted(cards) == sorted(one.id for one in slate.candidates)
    attributes = browser.js(
        "[...document.querySelectorAll('#cards .card')].map((one) => one.getAttributeNames().join())"
    )
    assert len({*attributes}) == 1


def test_the_support_page_draws_the_rate_on_its_scale(browser: Any, busy: Any) -> None:
    browser.enter(busy)
    browser.open(f"{busy.url}/support")
    first = browser.all(".comparison")[0]
    assert "86.7%" in first.text
    scale = browser.one(".scale-svg")
    width = browser.js("document.querySelector('.scale-svg').getBoundingClientRect().width")
    point = browser.js("document.querySelector('.point').getBoundingClientRect()")
    left = browser.js("document.querySelector('.scale-svg').getBoundingClientRect().left")
    assert abs((point["x"] + point["width"] / 2 - left) / width - 52 / 60) < 0.01
    assert "86.7%" not in (scale.get_attribute("aria-label") or "")
    assert "Support rate 87%" in (scale.get_attribute("aria-label") or "")
    browser.one(".breakdowns summary").click()
    assert "Position 4" in browser.one(".breakdowns").text


def test_an_administrator_promotes_and_rolls_back_with_a_reason(browser: Any, busy: Any, see: Any) -> None:
    aliases = busy.service.registry.aliases
    browser.enter(busy, "ada", "slate", "pick", "read", "admin")
    browser.open(f"{busy.url}/adapters")
    browser.one('[data-move="promote"][data-name="2026-03-02-1"]').click()
    browser.wait_for("#move", "Make 2026-03-02-1 the champion?")
    assert browser.js("document.activeElement.id") == "move-reason"
    browser.one("#move-confirm").click()
    assert browser.seen("#move")  # the reason is required
    browser.press("better in every tag")
    browser.one("#move-confirm").click()
    see(lambda: aliases().champion == "2026-03-02-1", "the alias moves")
    browser.wait_for(".history", "better in every tag")
    browser.one('[data-move="rollback"]').click()
    browser.press("complaints")
    browser.one("#move-confirm").click()
    see(lambda: aliases().champion == "2026-03-01-1", "the alias moves back")
    browser.wait_for(".history", "complaints")


def test_a_stale_page_moves_nothing(browser: Any, busy: Any) -> None:
    browser.enter(busy, "ada", "slate", "pick", "read", "admin")
    browser.open(f"{busy.url}/adapters")
    busy.service.registry.promote("2026-03-02-1", by="bo", reason="first", now=busy.service.now())
    browser.one('[data-move="rollback"]').click()
    browser.press("late")
    browser.one("#move-confirm").click()
    browser.wait_for("#move", "in the meantime")
    assert busy.service.registry.aliases().champion == "2026-03-02-1"


def test_signing_in_out_and_being_signed_out(browser: Any, busy: Any) -> None:
    browser.open(f"{busy.url}/workbench")
    assert "Sign in with a link" in browser.seen("main")
    browser.enter(busy, "mei")
    assert browser.seen(".who-name") == "mei"
    browser.one(".who button").click()
    browser.wait_for("main", "You are signed out")
    browser.open(f"{busy.url}/workbench")
    assert "Sign in with a link" in browser.seen("main")
    browser.enter(busy, "mei")
    busy.ahead = timedelta(hours=13)
    browser.open(f"{busy.url}/support")
    assert "Sign in with a link" in browser.seen("main")


def test_the_dark_page_is_dark(browser: Any, busy: Any) -> None:
    browser.enter(busy)
    background = "getComputedStyle(document.body).backgroundColor"
    light = browser.js(background)
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    assert sum(map(int, re.findall(r"\d+", browser.js(background)))) < 120
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert browser.js(background) == light


def test_everything_that_is_used_has_a_name(browser: Any, busy: Any) -> None:
    browser.enter(busy, "ada", "slate", "pick", "read", "admin")
    for path in ("/workbench/en-1", "/support", "/adapters"):
        browser.open(f"{busy.url}{path}")
        if "en-1" in path:
            browser.wait("choosing")
        for control in browser.all("button, a, input, textarea, [tabindex='0'], summary, dialog, svg[role]"):
            if control.is_displayed():
                assert control.accessible_name.strip(), control.get_attribute("outerHTML")[:200]


def decide(desk: Any, name: str, wins: int, count: int) -> None:
    """Put real slates, decided on, into the log."""
    model = None if name == "base-b" else "2026-03-02-1"
    for number in range(count):
        at = desk.service.now() - timedelta(hours=count - number)
        message = Message(role="user", content="Hi")
        turn = Turn(
            id=new_id(), conversation_id=new_id(), messages=(message,), tags=("refund",), created_at=at
        )
        arms = ["base", name, "base", name] if number % 2 else [name, "base", name, "base"]
        candidates = tuple(
            Candidate(
                id=new_id(),
                arm=arm,
                kind="challenger" if arm == "challenger" else "base",
                model=model if arm == name else None,
                text=f"{number} {place}",
                position=place,
                propensity=0.5,
                tokens=2,
                latency=0.1,
            )
            for place, arm in enumerate(arms)
        )
        slate = Slate(
            id=new_id(), turn=turn, candidates=candidates, policy="2+2", seed=1, complete=True, created_at=at
        )
        order = tuple(one.id for one in candidates)
        wanted = name if number % count < wins else "base"
        picked = [one.id for one in candidates if one.arm == wanted][number % 2]
        desk.do(desk.service.log.add_slate(slate))
        desk.do(
            desk.service.log.add_exposure(Exposure(slate_id=slate.id, viewer="mei", order=order, shown_at=at))
        )
        pick = Pick(
            key=new_id(),
            slate_id=slate.id,
            verdict="chosen",
            candidate_id=picked,
            annotator="mei",
            decided_at=at,
        )
        desk.do(desk.service.log.record(pick))


def register(desk: Any, folder: Path, name: str, *, simulated: bool) -> None:
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
    desk.service.registry.add(
        folder,
        name=name,
        base_model="scripted",
        run_id="run",
        dataset_id="data",
        picks=90,
        simulated=simulated,
        now=desk.service.now(),
    )
