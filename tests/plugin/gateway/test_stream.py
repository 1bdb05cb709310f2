"""Streams advance in lockstep, whatever is said and by whom."""

from __future__ import annotations

from itertools import chain, pairwise

from hypothesis import given
from hypothesis import strategies as st
from picktune.gateway.bodies import ChatCompletion, Choice, Said, Usage
from picktune.gateway.stream import rounds

TEXTS = st.lists(st.text(max_size=200) | st.text("ab \n\t 中文", max_size=400), min_size=1, max_size=5)


def answer(texts: list[str], reasons: list[str] | None = None) -> ChatCompletion:
    return ChatCompletion(
        id="chatcmpl-1",
        created=1,
        model="picktune",
        choices=tuple(
            Choice(index=place, message=Said(content=text), finish_reason=(reasons or ["stop"] * 9)[place])
            for place, text in enumerate(texts)
        ),
        usage=Usage(),
    )


@given(TEXTS, st.booleans())
def test_nothing_is_lost_and_nobody_runs_ahead(texts: list[str], usage: bool) -> None:
    sent = list(rounds(answer(texts), include_usage=usage))
    said = dict.fromkeys(range(len(texts)), "")
    for chunk in chain.from_iterable(sent):
        for choice in chunk.choices:
            said[choice.index] += choice.delta.content or ""
    assert list(said.values()) == texts
    body = sent[1 : -2 if usage else -1]
    indexes = [[chunk.choices[0].index for chunk in together] for together in body]
    for before, after in pairwise(indexes):
        # Whoever is still speaking spoke in every round before, in the same place.
        assert [index for index in before if index in after] == after
        assert len(set(before)) == len(before)
    ends = sent[-2 if usage else -1]
    assert [(one.choices[0].index, one.choices[0].finish_reason) for one in ends] == [
        (place, "stop") for place in range(len(texts))
    ]
    assert sum(one.choices[0].finish_reason is not None for one in chain(*sent) if one.choices) == len(texts)


def test_long_words_and_blanks_come_in_pieces() -> None:
    text = "x" * 1000 + " " * 1000 + "中文" * 100
    pieces = list(rounds(answer([text]), include_usage=False))[1:-1]
    assert len(pieces) > 70
    assert max(len(chunk.choices[0].delta.content.strip()) for (chunk,) in pieces) <= 16  # type: ignore[union-attr]


def test_tool_calls_come_with_their_place() -> None:
    call = {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    said = Said(content=None, tool_calls=(call, call))
    choice = Choice(index=0, message=said, finish_reason="tool_calls")
    one = ChatCompletion(id="c", created=1, model="base", choices=(choice,), usage=Usage())
    *_, (last,) = rounds(one, include_usage=False)
    assert last.choices[0].delta.tool_calls == ({"index": 0, **call}, {"index": 1, **call})
    assert last.choices[0].finish_reason == "tool_calls"
