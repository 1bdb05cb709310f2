"""Server-sent events are the same events wherever the bytes were cut, and nothing grows without an end."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from picktune.engines.sse import Event, EventParser, EventTooLarge

# Lines that mean something, nearly mean something, or nothing.
LINES = st.sampled_from(
    [
        *("data: a", "data:b", "data", "data:", "data:  two blanks", "data: 中 ￿", "data: a: b", "datax: no"),
        *(" data: no", ": comment", ":", "event: other", "event", "id: 7", "retry: 10", "no colon", "", ""),
    ]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
STREAMS = st.lists(st.tuples(st.binary(max_size=8) | LINES.map(str.encode), ENDS), max_size=30).map(
    lambda lines: b"".join(line + end for line, end in lines)
)


def read(pieces: list[bytes], most: int = 10**6) -> list[Event]:
    parser = EventParser(most)
    return [event for piece in pieces for event in parser.feed(piece)]


def by_the_book(stream: bytes) -> list[Event]:
    """HTML's rules on the whole of a stream, which is what no client has."""
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
    events, data, kind = [], [], ""
    for line in re.split(r"\r\n|\r|\n", text)[:-1]:
        if line == "":
            if data:
                events.append(Event(data="\n".join(data), kind=kind or "message"))
            data, kind = [], ""
            continue
        name, _, value = line.partition(":")
        value = value[1:] if value[:1] == " " else value
        if name == "data":
            data.append(value)
        elif name == "event":
            kind = value
    return events


@given(STREAMS | st.binary(max_size=200))
@example(b"\xef\xbb\xbfdata: after a mark\n\n")
@example(b"\xef\xbb\xbf\xef\xbb\xbfdata: after two\n\n")
@example(b"data: \xe4\xb8\r\rdata: \xff\n\n")
@example(b"data: a\r\n\r\ndata: b\r\rdata: c\n\n")
def test_every_stream_is_read_as_the_standard_has_it(stream: bytes) -> None:
    assert read([stream]) == by_the_book(stream)


@given(STREAMS)
def test_it_may_be_cut_at_every_byte(stream: bytes) -> None:
    whole = read([stream])
    assert read([stream[at : at + 1] for at in range(len(stream))]) == whole
    for at in range(len(stream) + 1):
        assert read([stream[:at], b"", stream[at:]]) == whole


@given(STREAMS, st.lists(st.integers(0, 200), max_size=10))
def test_it_may_be_cut_anywhere_at_once(stream: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[a:b] for a, b in pairwise(places)]
    assert read(pieces) == read([stream])


def test_an_event_comes_with_its_empty_line_and_not_before() -> None:
    parser = EventParser()
    assert parser.feed(b"data: a\r") == []
    assert parser.feed(b"\n") == []
    # Nothing may wait for the LF that could follow a CR: the next token may be a minute away.
    assert parser.feed(b"\r") == [Event(data="a")]
    assert parser.feed(b"\ndata: b\n\ndata: never ended\n") == [Event(data="b")]


@pytest.mark.parametrize(
    "endless",
    [b"x" * 100, b"data: " + b"x" * 94 + b"\n", b"data\n" * 20, b": x", b"event: xxxxxxxxxxxxx\ndata: y\n"],
)
def test_what_never_ends_is_given_up(endless: bytes) -> None:
    with pytest.raises(EventTooLarge, match="1,000 bytes"):
        read([endless] * 1000, most=1000)


def test_a_long_life_is_no_fault() -> None:
    parser = EventParser(most=100)
    for _ in range(1000):
        assert parser.feed(b": still here\n") == []
        assert parser.feed(b"\r\n: still here\r\n\r\n") == []
        assert parser.feed(b"data: token\n\n") == [Event(data="token")]
    many = parser.feed(b"data: token\n\n" * 1000)
    assert len(many) == 1000


@given(st.integers(1, 400))
def test_a_line_may_be_as_long_as_the_limit_and_no_longer(size: int) -> None:
    stream = b"data: " + b"x" * size + b"\n\n"
    pieces = [stream[at : at + 7] for at in range(0, len(stream), 7)]
    if size + 6 <= 200:
        assert read(pieces, most=200) == [Event(data="x" * size)]
    elif size >= 200:
        with pytest.raises(EventTooLarge):
            read(pieces, most=200)
