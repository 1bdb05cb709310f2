"""What a page notices beside deciding: seen, copied, redrawn, scored; and changing a pick in one go."""

from __future__ import annotations

from typing import Any

from selenium.webdriver.common.by import By


def signals(desk: Any, kind: str) -> list[Any]:
    return [one.detail for one in desk.service.log.reader.signals(kind=kind)]


def test_what_was_seen_copied_and_redrawn(browser: Any, desk: Any, see: Any) -> None:
    desk.add("c1", pending=("And now?",))
    desk.engine.texts = [f"Reply {place}. " + "A long story. " * 60 for place in range(9)]
    browser.enter(desk)
    browser.size(390, 700, phone=True)
    browser.desk(desk, "c1")
    first = browser.js("document.querySelector('#cards .card').dataset.candidate")

    # Some words of the first reply, and all of it, go to the clipboard.
    text = "document.querySelector('#cards .card-text')"
    for select in (
        f"setBaseAndExtent({text}.firstChild, 0, {text}.firstChild, 7)",
        f"selectAllChildren({text})",
    ):
        browser.js(f"getSelection().{select}")
        before = len(signals(desk, "copied"))
        browser.control("c")
        see(lambda before=before: len(signals(desk, "copied")) == before + 1, "it is noted")
    copied = sorted(signals(desk, "copied"), key=lambda one: one.characters)
    assert {one.candidate_id for one in copied} == {first}
    assert [(one.characters, one.whole) for one in copied] == [(7, False), (len(browser.replies()[0]), True)]

    # Only the replies that the small window showed were in sight; then others are asked for.
    browser.driver.execute_script("document.querySelector('#cards .card').scrollIntoView({block: 'center'})")
    began = browser.js("performance.now()")
    see(lambda: browser.js("performance.now()") > began + 800, "a moment passes")
    shown = browser.replies()
    browser.press("d")
    see(lambda: browser.phase == "choosing" and browser.replies() != shown, "other replies come")
    see(lambda: signals(desk, "visible"), "what was seen is noted")
    times = {one.candidate_id: one.visible_ms for one in signals(desk, "visible")[0].replies}
    assert len(times) == 4
    assert times[first] > 0
    assert min(times.values()) == 0
    assert [one.ended for one in signals(desk, "dwell")] == ["replaced"]
    (old,) = desk.service.log.reader.signals(kind="regenerated")
    assert list(desk.service.log.reader.decisions()) == []

    # A pick on the new ones.
    browser.press("1")
    browser.wait_for("#toast", "Reply sent.")
    see(lambda: len(signals(desk, "dwell")) == 2, "dwell is noted")
    assert [one.ended for one in signals(desk, "dwell")] == ["replaced", "decided"]
    (decision,) = desk.service.log.reader.decisions()
    assert decision.slate_id == old.detail.successor

    # Whoever leaves without deciding is noted too.
    browser.wait("choosing")
    began = browser.js("performance.now()")
    see(lambda: browser.js("performance.now()") > began + 1000, "somebody looks for a moment")
    browser.open("about:blank")
    see(lambda: signals(desk, "dwell")[-1].ended == "left", "leaving is noted")


def test_changing_ones_mind_in_one_go(browser: Any, desk: Any, see: Any) -> None:
    desk.add("c1", pending=("And now?",))
    browser.enter(desk)
    browser.desk(desk, "c1")
    shown = browser.replies()

    browser.press("1")
    browser.wait_for("#messages", "And now?")
    browser.wait("choosing")
    browser.press("u")
    see(lambda: browser.phase == "choosing" and browser.replies() == shown, "the same replies are back")
    browser.press("2")
    browser.wait_for("#messages", "And now?")

    assert desk.said("c1")[1] == shown[1]
    picks = desk.picks()
    assert [(one.version, one.verdict) for one in picks] == [(1, "chosen"), (2, "undone"), (3, "chosen")]
    assert picks[0].candidate_id != picks[2].candidate_id


def test_only_an_expert_gives_scores(browser: Any, desk: Any, see: Any) -> None:
    desk.add("c1")
    browser.enter(desk)
    browser.desk(desk, "c1")
    assert browser.all(".scores") == []

    browser.open(desk.service.auth.enter_link(desk.url.removesuffix("/picktune"), "eva", role="expert"))
    see(lambda: browser.js("document.body.dataset.viewer") == "eva", "an expert signs in")
    browser.desk(desk, "c1")
    assert len(browser.all(".scores")) == 4
    scores = browser.all(".scores")[1]
    scores.find_element(By.CSS_SELECTOR, "input[value='4']").click()
    see(lambda: scores.text.endswith("✓"), "it is kept", lambda: scores.text)
    browser.press("2")  # a key in a score is no pick
    assert browser.phase == "choosing"

    (score,) = desk.service.log.reader.scores()
    assert (score.value, score.annotator, score.role, score.scale) == (4, "eva", "expert", "quality")
    assert browser.js(
        f"document.querySelectorAll('#cards .card')[1].dataset.candidate === '{score.candidate_id}'"
    )
