"""Judging whole conversations with the keyboard, side by side."""

from __future__ import annotations

from typing import Any

from picktune.records import Message


def told(text: str) -> tuple[Message, ...]:
    return Message(role="user", content="Where is it?"), Message(role="assistant", content=text)


def test_one_after_the_other_and_back(browser: Any, desk: Any, see: Any) -> None:
    for one in ("first", "second"):
        sides = [(told(f"{one} <b>base</b>"), "base", None), (told(f"{one} tuned"), "champion", "v1")]
        desk.do(desk.service.compare_given(sides, title=one))
    reader = desk.service.log.reader
    phase = "document.getElementById('compare').dataset.phase"
    browser.enter(desk)
    browser.open(f"{desk.url}/compare")
    see(lambda: browser.js(phase) == "judging", "two conversations are shown")
    assert browser.seen("#compare-name") == "first"
    shown = browser.texts(".side .message.assistant .text")
    assert sorted(shown) == ["first <b>base</b>", "first tuned"]
    page = browser.js("document.getElementById('main').outerHTML")
    assert not any(word in page for word in ("champion", "v1"))

    browser.press("2")
    see(lambda: browser.seen("#compare-name") == "second", "the next one comes")
    (judged,) = reader.judged()
    by_id = {side.id: side.messages[-1].content for side in judged.comparison.sides}
    assert by_id[judged.judgement.side_id] == shown[1]
    browser.press("t")
    see(lambda: browser.js(phase) == "empty", "nothing is left")
    assert browser.seen("#compare-empty").startswith("Nothing to compare")

    browser.press("u")
    see(lambda: browser.seen("#compare-name") == "second", "the last one is back")
    browser.press("9")  # there is no ninth
    browser.press("0")
    see(lambda: browser.js(phase) == "empty", "nothing is left")
    assert [one.verdict for one in reader.judgements(judged.comparison.id)] == ["chosen"]
    assert sorted(one.judgement.verdict for one in reader.judged()) == ["chosen", "none_good"]
