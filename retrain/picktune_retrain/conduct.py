"""How a model behaves in replies of its own: their length, whether it repeats itself, whether it refuses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import fmean

from picktune.records import Record

_REFUSALS = re.compile(
    r"\bI(?:(?:'m| am) (?:un|not )able to| (?:cannot|can't|can not|won't be able to))"
    r" (?:help|assist|answer|provide|do that|comply|fulfil)"
    r"|\bas an? (?:AI|language model)"
    r"|我(?:无法|不能|没办法)(?:帮助|协助|回答|提供|满足)|作为(?:一个)?(?:人工智能|AI|语言模型)",
    re.IGNORECASE,
)
_SPELLS = 4
_LONGEST_UNIT = 60


class Conduct(Record, frozen=True, kw_only=True):
    """The greedy replies of one model to held-out prompts: shares of all ``replies``, length in letters."""

    name: str
    replies: int
    letters: float
    empty: float
    repeating: float
    refusing: float


def conduct(name: str, texts: Sequence[str]) -> Conduct:
    """What these replies of one model have in common."""
    return Conduct(
        name=name,
        replies=len(texts),
        letters=fmean(map(len, texts)),
        empty=fmean(not text.strip() for text in texts),
        repeating=fmean(map(repeats, texts)),
        refusing=fmean(map(refuses, texts)),
    )


def refuses(text: str) -> bool:
    """Whether the reply says that it cannot help, in the usual words of English and Chinese models."""
    return _REFUSALS.search(text.replace("’", "'")) is not None


def repeats(text: str) -> bool:
    """Whether the reply says the same stretch four times in a row: it is caught in a loop.

    Stretches of 2 to 60 letters and signs count, shorter ones only if they have a letter in them: a line of
    dashes is no loop.
    """
    text = " ".join(text.split()) + " "
    for size in range(2, _LONGEST_UNIT + 1):
        if size * _SPELLS > len(text):
            return False
        run = 0
        for place in range(len(text) - size):
            run = run + 1 if text[place] == text[place + size] else 0
            if run >= size * (_SPELLS - 1) and any(map(str.isalpha, text[place - run + 1 : place + 1])):
                return True
    return False
