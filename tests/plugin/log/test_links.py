"""Following a chain: what was done to it is told from the hashes alone."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st
from picktune.log.chain import GENESIS
from picktune.log.links import Break, Head, Link, breaks


def chain(length: int) -> tuple[list[Link], Head]:
    links, last = [], GENESIS
    for id in range(1, length + 1):
        link = Link(id=id, name=f"pick {id}", previous=last, hash=sha256(last + b"%d" % id).digest())
        links.append(link)
        last = link.hash or b""
    return links, Head(length=length, hash=last)


def altered(link: Link, **fields: object) -> Link:
    values = {"id": link.id, "name": link.name, "previous": link.previous, "hash": link.hash}
    return Link(**{"altered": "it was changed", **values, **fields})  # type: ignore[arg-type]


def found(links: list[Link], head: Head | None) -> list[tuple[str, int | None]]:
    return [(one.kind, one.id) for one in breaks("pick", iter(links), head)]


LENGTHS = st.integers(1, 12)


@given(length=st.integers(0, 12))
def test_an_untouched_chain_has_no_break(length: int) -> None:
    assert found(*chain(length)) == []


@given(data=st.data(), length=LENGTHS)
def test_each_changed_row_is_named(data: st.DataObject, length: int) -> None:
    links, head = chain(length)
    places = data.draw(st.sets(st.integers(0, length - 1), min_size=1))
    for place in places:
        links[place] = altered(links[place])

    assert found(links, head) == [("changed", place + 1) for place in sorted(places)]


@given(data=st.data(), length=LENGTHS)
def test_missing_rows_are_named(data: st.DataObject, length: int) -> None:
    links, head = chain(length)
    begin = data.draw(st.integers(0, length - 1))
    end = data.draw(st.integers(begin + 1, length))

    assert found(links[:begin] + links[end:], head) == [("removed", begin + 1)]


@given(data=st.data(), length=LENGTHS, count=st.integers(1, 3), honest=st.booleans())
def test_rows_that_were_slipped_in_are_named(
    data: st.DataObject, length: int, count: int, honest: bool
) -> None:
    """Whether or not they were chained with one another and with the row before them."""
    links, head = chain(length)
    place = data.draw(st.integers(0, length))
    last, new = links[place - 1].hash if place else GENESIS, []
    for number in range(count):
        hash = sha256(b"forged %d" % number).digest()
        link = Link(id=100 + number, name="forged", previous=last, hash=hash)
        new.append(link if honest else altered(link, previous=data.draw(st.sampled_from([last, hash, None]))))
        last = hash

    assert found(links[:place] + new + links[place:], head) == [
        ("inserted", 100 + number) for number in range(count)
    ]


@given(data=st.data(), length=st.integers(2, 12))
def test_rows_that_changed_places_are_both_named(data: st.DataObject, length: int) -> None:
    """The id is part of what was hashed, so neither is what it was."""
    links, head = chain(length)
    one, other = sorted(data.draw(st.sets(st.integers(0, length - 1), min_size=2, max_size=2)))
    links[one], links[other] = altered(links[other], id=one + 1), altered(links[one], id=other + 1)

    assert {one + 1, other + 1} <= {id for _, id in found(links, head)}


@given(data=st.data(), length=LENGTHS)
def test_a_row_that_was_hashed_anew_is_named(data: st.DataObject, length: int) -> None:
    links, head = chain(length)
    place = data.draw(st.integers(0, length - 1))
    links[place] = Link(id=place + 1, name="anew", previous=links[place].previous, hash=b"anew")

    assert found(links, head) == [("changed", place + 1)]


def test_a_first_row_that_follows_what_never_was() -> None:
    assert found([Link(id=1, name="pick 1", previous=b"x", hash=b"y")], Head(length=1, hash=b"y")) == [
        ("changed", 1)
    ]


@given(data=st.data(), length=LENGTHS)
def test_several_things_at_once_do_not_hide_one_another(data: st.DataObject, length: int) -> None:
    links, head = chain(length)
    untouched = list(links)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(links) - 1)) if links else 0
        deed = data.draw(st.sampled_from(["change", "remove", "insert"]))
        if deed == "change" and links:
            links[place] = altered(links[place], hash=data.draw(st.sampled_from([links[place].hash, b"new"])))
        elif deed == "remove" and links:
            del links[place]
        else:
            links.insert(place, Link(id=99, name="forged", previous=data.draw(st.binary()), hash=b"forged"))

    assert (found(links, head) == []) == (links == untouched)


def test_an_end_that_is_gone_or_counts_otherwise() -> None:
    links, head = chain(3)

    assert found(links, None) == [("removed", None)]
    assert found([], head) == [("removed", 1)]
    assert found(links, Head(length=2, hash=head.hash)) == [("inserted", None)]
    assert found(links, Head(length=3, hash=b"other")) == [("changed", 3)]
    assert found([], Head(length=0, hash=b"other")) == [("changed", None)]


def test_a_long_chain_is_followed_in_little_memory() -> None:
    """Whatever happens to a thousand rows in a row, no more than that many are kept."""
    links, head = chain(5000)
    assert found(links, head) == []
    for place in range(1000, 4000):
        links[place] = altered(links[place])

    assert found(links, head) == [("changed", place + 1) for place in range(1000, 4000)]
    walk = breaks("pick", iter(links), head)
    first: Break = next(walk)
    assert first.message == "pick 1001 is not what it was: it was changed"
