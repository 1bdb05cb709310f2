"""What finds personal data in a text, and what it gives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol, get_args

from picktune.records import Record

Kind = Literal[
    "name",
    "phone",
    "email",
    "card",
    "account",
    "reference",
    "ssn",
    "id",
    "passport",
    "plate",
    "address",
    "birth",
    "secret",
    "wechat",
    "qq",
    "ip",
]
"""``reference`` is a booking, confirmation or order number, ``secret`` a password, a code or a key."""

KINDS: tuple[Kind, ...] = get_args(Kind)


class Found(Record, frozen=True, kw_only=True):
    """Personal data from ``start`` up to ``end`` (characters) of a text.

    Where two overlap, the surer one counts: ``sure`` is 0 for a guess from the shape alone, 1 for a format or
    a word that announces it, 2 for a format with a check digit.
    """

    start: int
    end: int
    kind: Kind
    sure: int = 1


class Redactor(Protocol):
    """Finds personal data. Time grows no faster than the length of the text; nothing is downloaded."""

    def find(self, text: str, *, asked: str = "") -> Sequence[Found]:
        """What there is, in order and without overlaps; ``asked`` is the message that the text answers."""
        ...


def settled(found: Iterable[Found]) -> list[Found]:
    """In order and without overlaps: what overlaps becomes one, of the surest (then the longest) kind."""
    kept: list[Found] = []
    for one in sorted(found, key=lambda each: (each.start, -each.end)):
        if one.end <= one.start:
            continue
        if not kept or one.start >= kept[-1].end:
            kept.append(one)
            continue
        last = kept[-1]
        best = max(last, one, key=lambda each: (each.sure, each.end - each.start))
        kept[-1] = Found(start=last.start, end=max(last.end, one.end), kind=best.kind, sure=best.sure)
    return kept
