"""A whole conversation without a mouse, on a real model: pick, edit, tie, none good, undo."""

from __future__ import annotations

from typing import Any

from selenium.webdriver import Keys

PENDING = ("And when?", "Thank you.", "One more thing.", "Bye.")


def test_from_the_list_to_the_last_reply_with_the_keyboard_alone(
    browser: Any, local_desk: Any, see: Any
) -> None:
    desk = local_desk
    desk.add("first", "Where is my order?", title="First", pending=PENDING)
    desk.add("second", "I want my money back.", title="Second")
    browser.enter(desk)

    # J and K walk through the list, Enter opens.
    browser.press("j", "j", "k")
    assert browser.driver.switch_to.active_element.get_attribute("data-id") == "first"
    browser.press(Keys.ENTER)
    browser.wait("choosing")
    shown = browser.replies()
    assert 2 <= len(shown) <= 4

    # A reason and a comment, then 2 sends the second reply at once.
    browser.press("r", Keys.SPACE, Keys.TAB, Keys.SPACE)
    browser.press("c")
    browser.press("to the point")
    browser.press(Keys.ESCAPE, "2")
    browser.wait_for("#toast", "Reply sent.")
    browser.wait("choosing")
    assert browser.thread() == ["Where is my order?", shown[1], "And when?"]
    assert desk.said("first") == ["Where is my order?", shown[1], "And when?"]

    # E edits the selected reply, Ctrl+Enter sends it.
    browser.press("j")
    edited = browser.replies()[1]
    assert browser.one(".card.selected").get_attribute("aria-keyshortcuts") == "2"
    browser.press("e")
    browser.press(" Today!")
    browser.control(Keys.ENTER)
    browser.wait_for("#messages", "Today!")
    browser.wait("choosing")
    assert desk.said("first")[3] == f"{edited} Today!"

    # T: equally good; the selected reply is sent.
    tied = browser.replies()[0]
    browser.press("t")
    browser.wait_for("#toast", "equally good; reply 1")
    browser.wait("choosing")
    assert desk.said("first")[5] == tied

    # 0: none is good; one's own is sent.
    browser.press("0")
    browser.press("We are looking into it.")
    browser.control(Keys.ENTER)
    browser.wait_for("#toast", "Your own reply was sent.")
    browser.wait("choosing")
    assert desk.said("first")[7] == "We are looking into it."

    # U takes it back, and the same replies stand there again.
    browser.press("u")
    see(lambda: len(desk.said("first")) == 7, "the reply is taken back")
    browser.wait("choosing")
    assert browser.thread() == desk.said("first")

    # The last replies close the conversation; N leads to the next.
    for left in (9, 10):
        browser.press("1")
        see(lambda left=left: len(desk.said("first")) >= left, "the reply is sent")
        see(lambda: browser.phase in {"choosing", "finished"}, "the page goes on")
    browser.wait("finished")
    browser.wait_for("#finished", "This conversation is answered")
    assert browser.seen("#queue-count") == "1"
    browser.press("n")
    see(lambda: browser.driver.current_url.endswith("/second"), "the next conversation opens")
    browser.wait("choosing")

    picks = desk.picks()
    assert [pick.verdict for pick in picks] == [
        "chosen", "chosen", "tie", "none_good", "undone", "chosen", "chosen",
    ]  # fmt: skip
    assert picks[0].reasons == ("accurate", "kind")
    assert picks[0].comment == "to the point"
    assert picks[0].edited_text is None
    assert picks[1].edited_text == f"{edited} Today!"
    assert picks[1].reasons == ()
    assert picks[3].edited_text == "We are looking into it."
    assert all(pick.dwell_ms and 0 < pick.dwell_ms < 60_000 for pick in picks if pick.verdict != "undone")
    assert {(pick.annotator, pick.role) for pick in picks} == {("mei", "agent")}


def test_edits_are_left_with_escape_and_an_unchanged_edit_is_a_plain_pick(
    browser: Any, desk: Any, see: Any
) -> None:
    desk.add("one", pending=("And when?",))
    browser.enter(desk)
    browser.desk(desk, "one")
    first = browser.replies()[0]
    browser.press("e")
    browser.press("xyz", Keys.ESCAPE)
    assert not browser.seen(".card-editor")
    browser.press("e")
    assert browser.js("document.activeElement.value") == first
    browser.control("a")
    browser.press(Keys.DELETE)
    browser.control(Keys.ENTER)
    browser.wait_for("#alert", "The reply is empty")
    browser.press(Keys.ESCAPE, "e")
    browser.control(Keys.ENTER)
    browser.wait_for("#toast", "Reply sent.")
    (pick,) = desk.picks()
    assert pick.edited_text is None
    assert desk.said("one")[1] == first


def test_none_good_without_a_reply_is_recorded_and_new_replies_are_offered(
    browser: Any, desk: Any, see: Any
) -> None:
    desk.add("one")
    browser.enter(desk)
    browser.desk(desk, "one")
    before = browser.replies()
    browser.press("0")
    assert browser.seen("#own-send") == "Record only\nCtrl ↵"
    browser.press(Keys.TAB, Keys.SPACE)
    browser.control(Keys.ENTER)  # not in a text field: nothing is sent
    assert desk.picks() == []
    browser.one("#own-send").click()
    browser.wait("recorded")
    browser.wait_for("#alert", "The customer is still waiting")
    assert desk.said("one") == ["Where is my order?"]
    browser.press("d")
    browser.wait("choosing")
    assert set(browser.replies()).isdisjoint(before)
    (pick,) = desk.picks()
    assert (pick.verdict, pick.edited_text, pick.reasons) == ("none_good", None, ("wrong",))


def test_a_skip_leads_on_and_can_be_taken_back_from_there(browser: Any, desk: Any, see: Any) -> None:
    desk.add("one")
    desk.add("two")
    browser.enter(desk)
    browser.desk(desk, "one")
    before = browser.replies()
    browser.press("s")
    see(lambda: browser.driver.current_url.endswith("/two"), "the next conversation opens")
    browser.wait("choosing")
    browser.wait_for("#toast", "Skipped.")
    browser.control("z")
    see(lambda: browser.driver.current_url.endswith("/one"), "the skipped conversation opens again")
    browser.wait("choosing")
    assert browser.replies() == before
    assert [pick.verdict for pick in desk.picks()] == []  # nothing stands any more


def test_arrows_move_through_the_grid_and_keys_mean_nothing_while_one_types(browser: Any, desk: Any) -> None:
    desk.add("one")
    browser.enter(desk)
    browser.desk(desk, "one")
    places = []
    for key in (Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.ARROW_LEFT, Keys.ARROW_UP):
        browser.press(key)
        places.append(browser.one(".card.selected").get_attribute("aria-keyshortcuts"))
    assert places == ["1", "3", "4", "3", "1"]
    browser.press("/")
    browser.press("1204 test")
    assert browser.js("document.activeElement.value") == "1204 test"
    assert desk.picks() == []


def test_question_mark_shows_the_keys_which_can_be_switched_off(browser: Any, desk: Any) -> None:
    desk.add("one")
    browser.enter(desk)
    browser.desk(desk, "one")
    browser.press("?")
    assert "Send that reply" in browser.seen("#keys")
    browser.press("1")  # behind the dialog nothing happens
    browser.one("#keys-on").click()
    browser.press(Keys.ESCAPE)
    assert not browser.seen("#keys")
    browser.press("1", "t")
    assert browser.phase == "choosing"
    browser.press("?")
    browser.one("#keys-on").click()
    browser.press(Keys.ESCAPE, "1")
    browser.wait("finished")
    assert len(desk.picks()) == 1


def test_an_input_method_keeps_its_keys(browser: Any, desk: Any) -> None:
    desk.add("one", "我的快递在哪里？", locale="zh")
    browser.enter(desk)
    browser.desk(desk, "one")
    browser.js("document.body.dispatchEvent(new KeyboardEvent('keydown', "
               "{key: '1', isComposing: true, bubbles: true}))")  # fmt: skip
    browser.js("document.body.dispatchEvent(new KeyboardEvent('keydown', "
               "{key: '1', keyCode: 229, bubbles: true}))")  # fmt: skip
    assert browser.phase == "choosing"
    browser.press("e")
    browser.js("document.activeElement.dispatchEvent(new KeyboardEvent('keydown', "
               "{key: 'Escape', isComposing: true, bubbles: true}))")  # fmt: skip
    assert browser.seen(".card-editor")
