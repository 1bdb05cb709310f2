"""When something is slow, away, or done by somebody else: nothing is claimed, nothing is doubled."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from picktune.errors import EngineBusy, EngineDown
from selenium.webdriver import Keys


@pytest.fixture
def one(browser: Any, desk: Any) -> Any:
    desk.add("one", pending=("And when?", "Thanks."))
    browser.enter(desk)
    return desk


def test_replies_are_revealed_together_after_a_calm_wait(browser: Any, one: Any, see: Any) -> None:
    one.engine.delay = 1.0
    browser.open(f"{one.url}/workbench/one")
    browser.wait_for("#drawing", "Drawing replies…")
    assert browser.all("#cards .card") == []
    assert browser.one("#slate").get_attribute("aria-busy") == "true"
    browser.press("1", "t", "0", "s")  # too early to mean anything
    browser.wait("choosing")
    assert len(browser.replies()) == 4
    assert not browser.seen("#drawing")
    see(lambda: browser.texts("#live") == ["4 replies are ready."], "the live region says so")
    assert one.picks() == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (EngineBusy("the queue is full"), "more to do than it can take"),
        (EngineDown("it has stopped"), "starting or does not answer"),
    ],
)
def test_an_engine_that_does_not_answer_is_said_and_tried_again(
    browser: Any, one: Any, error: Exception, words: str
) -> None:
    one.engine.error = error
    browser.open(f"{one.url}/workbench/one")
    browser.wait_for("#alert", words)
    one.engine.error = None
    browser.press("d")
    browser.wait("choosing")
    assert not browser.seen("#alert")


def test_it_is_tried_again_without_being_asked(browser: Any, one: Any) -> None:
    one.engine.error = EngineDown("it has stopped")
    browser.open(f"{one.url}/workbench/one")
    browser.wait("failed")
    one.engine.error = None
    browser.wait("choosing")


def test_without_an_engine_one_writes_a_reply_of_ones_own(browser: Any, one: Any, see: Any) -> None:
    one.engine.error = EngineDown("it has stopped")
    browser.open(f"{one.url}/workbench/one")
    browser.wait("failed")
    browser.press("e")
    browser.control(Keys.ENTER)
    browser.wait_for("#alert", "Write something first")
    browser.press("We are looking into it.")
    browser.control(Keys.ENTER)
    see(lambda: len(one.said("one")) == 3, "the reply is sent")
    assert one.said("one") == ["Where is my order?", "We are looking into it.", "And when?"]
    browser.wait("failed")  # the next turn cannot be drawn either
    browser.press("u")
    see(lambda: len(one.said("one")) == 1, "the reply is taken back")


def test_a_pick_is_shown_as_sent_only_after_the_server_has_said_so(browser: Any, one: Any, see: Any) -> None:
    browser.desk(one, "one")
    browser.slow(1500)
    browser.press("1")
    assert browser.phase == "sending"
    assert "Sending…" in browser.seen("#cards")
    assert "Sending…" in browser.seen("#messages")
    assert not browser.seen("#toast")
    browser.press("2", "1", "t")  # a second thought comes too late
    browser.online()
    browser.wait_for("#toast", "Reply sent.")
    browser.wait("choosing")
    (pick,) = one.picks()
    assert pick.verdict == "chosen"
    assert len(one.said("one")) == 3


def test_without_a_connection_nothing_is_lost_and_nothing_doubled(browser: Any, one: Any) -> None:
    browser.desk(one, "one")
    shown = browser.replies()
    browser.offline()
    browser.press("2")
    browser.wait("unsent")
    browser.wait_for("#alert", "No connection")
    assert browser.thread() == ["Where is my order?"]
    assert browser.replies() == shown
    browser.online()
    browser.press("d")
    browser.wait_for("#toast", "Reply sent.")
    browser.wait("choosing")
    (pick,) = one.picks()
    assert one.said("one")[1] == shown[1]
    assert pick.version == 1


def test_an_unsent_pick_can_be_given_up(browser: Any, one: Any) -> None:
    browser.desk(one, "one")
    shown = browser.replies()
    browser.offline()
    browser.press("2")
    browser.wait("unsent")
    browser.online()
    browser.press(Keys.ESCAPE)
    assert browser.phase == "choosing"
    browser.press("3")
    browser.wait_for("#messages", shown[2])
    assert len(one.picks()) == 1


def test_two_tabs_of_one_person_send_one_reply(browser: Any, one: Any, see: Any) -> None:
    browser.desk(one, "one")
    first = browser.replies()
    here = browser.driver.current_window_handle
    browser.driver.switch_to.new_window("tab")
    browser.size(1280, 800)
    browser.desk(one, "one")
    assert browser.replies() == first
    browser.press("1")
    browser.wait_for("#toast", "Reply sent.")
    there = browser.driver.current_window_handle
    browser.driver.switch_to.window(here)
    browser.press("2")
    browser.wait_for("#alert", "open in another tab")
    assert one.said("one") == ["Where is my order?", first[0], "And when?"]
    browser.one("#alert button").click()
    browser.wait("choosing")
    assert browser.thread() == one.said("one")
    browser.driver.switch_to.window(there)
    browser.driver.close()
    browser.driver.switch_to.window(here)


def test_a_reply_of_somebody_else_is_not_answered_over(browser: Any, one: Any, see: Any) -> None:
    browser.desk(one, "one")
    slate = one.do(one.service.slate_for("one", "jonas"))
    one.do(one.service.expose(slate.id, "jonas"))
    browser_reply = browser.replies()[0]
    pick = {"slate_id": slate.id, "verdict": "none_good", "edited_text": "Jonas was here."}
    send(one, "jonas", pick)
    browser.press("1")
    browser.wait_for("#alert", "somebody else had answered first")
    assert browser.thread() == ["Where is my order?", "Jonas was here.", "And when?"]
    assert browser_reply not in one.said("one")
    assert not browser.seen("#toast")


def test_it_is_noticed_that_somebody_else_has_answered(browser: Any, one: Any, see: Any) -> None:
    browser.desk(one, "one")
    slate = one.do(one.service.slate_for("one", "jonas"))
    one.do(one.service.expose(slate.id, "jonas"))
    send(one, "jonas", {"slate_id": slate.id, "verdict": "none_good", "edited_text": "Jonas was here."})
    browser.wait_for("#alert", "Somebody else has answered")


def test_what_one_has_written_outlives_the_session(browser: Any, one: Any, see: Any) -> None:
    browser.desk(one, "one")
    browser.press("0")
    browser.press("A long and careful reply.")
    one.ahead = timedelta(hours=13)
    browser.control(Keys.ENTER)
    browser.wait_for("#signed-out", "You have been signed out")
    browser.press(Keys.ESCAPE)
    assert browser.js("document.getElementById('own-text').value") == "A long and careful reply."
    assert one.said("one") == ["Where is my order?"]
    here = browser.driver.current_window_handle
    browser.driver.switch_to.new_window("tab")
    browser.enter(one)
    browser.driver.close()
    browser.driver.switch_to.window(here)
    browser.one("#own-text").click()
    browser.control(Keys.ENTER)
    see(lambda: len(one.said("one")) == 3, "the reply is sent after signing in again")
    assert one.said("one")[1] == "A long and careful reply."


def test_a_page_of_one_person_never_sends_in_the_name_of_another(browser: Any, one: Any) -> None:
    browser.desk(one, "one")
    here = browser.driver.current_window_handle
    browser.driver.switch_to.new_window("tab")
    browser.enter(one, "jonas")
    browser.driver.close()
    browser.driver.switch_to.window(here)
    browser.press("1")
    browser.wait_for("#alert", "The server refused this")
    assert one.said("one") == ["Where is my order?"]


def test_new_conversations_appear_by_themselves(browser: Any, desk: Any, see: Any) -> None:
    browser.enter(desk)
    assert "All conversations are answered" in browser.seen("main")
    desk.add("new", "<i>Hello</i>", title="New one")
    see(lambda: browser.texts(".queue-title") == ["New one"], "the new conversation appears", seconds=25)
    assert browser.texts(".queue-excerpt") == ["<i>Hello</i>"]
    browser.press("j", Keys.ENTER)
    browser.wait("choosing")


def send(desk: Any, annotator: str, fields: dict[str, Any]) -> None:
    from picktune.records import Pick, new_id

    desk.do(
        desk.service.pick(Pick(key=new_id(), annotator=annotator, decided_at=desk.service.now(), **fields))
    )
