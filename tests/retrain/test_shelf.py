"""Encoded sets on a shelf: they are the same ones, and hold none of their tokens."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

from picktune_retrain.encoding import EncodedSet, fingerprint
from picktune_retrain.packing import bundles, pack
from picktune_retrain.shelf import Shelf


def encoded(number: int, length: int = 9) -> EncodedSet:
    prompt = tuple((number * 7 + i) % 300 for i in range(length))
    return EncodedSet(
        slate_id=f"slate-{number}", prompt=prompt, replies=((1, 2, number), (1, 3), (1, 2, number)), chosen=0,
        weight=0.5, truncated=number, group="refund",
    )  # fmt: skip


def test_a_set_that_is_put_down_is_the_same_one(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    plain = [encoded(number) for number in range(200)]
    put = [shelf.put(one) for one in plain]
    assert list(tmp_path.iterdir()) == []
    assert put == plain
    assert [hash(one) for one in put] == [hash(one) for one in plain]
    assert put[7] == shelf.put(plain[7])
    assert put[7] != plain[8]
    for one, other in ((put[3], plain[3]), (put[199], plain[199])):
        for name in (
            "slate_id",
            "prompt",
            "replies",
            "chosen",
            "weight",
            "truncated",
            "group",
            "tokens",
            "same",
        ):
            assert getattr(one, name) == getattr(other, name)
        assert one.beyond == other.beyond
    assert fingerprint(put) == fingerprint(plain)
    assert [len(row) for row in bundles(put, 4)] == [len(row) for row in bundles(plain, 4)]
    assert pack(put[:4]).ids.tolist() == pack(plain[:4]).ids.tolist()


def test_one_with_other_fields_is_a_plain_one() -> None:
    put = Shelf().put(encoded(1))
    other = replace(put, group="delivery", chosen=1)
    assert type(other) is EncodedSet
    assert other == replace(encoded(1), group="delivery", chosen=1)


def test_the_tokens_are_not_held() -> None:
    shelf = Shelf()
    tracemalloc.start()
    try:
        put = [shelf.put(encoded(number, length=2000)) for number in range(300)]
        assert sum(len(one.prompt) for one in put) == 600_000
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    # What was looked at last is at hand, a fifth of it.
    assert held < 2_000_000 < 300 * 2000 * 8
