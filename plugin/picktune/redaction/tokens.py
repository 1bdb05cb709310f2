"""A text as words, numbers and marks, and the values that are read off them: digits, codes, names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from picktune.redaction.words import COMMON, DIGITS, PAUSES, REPEATS, TEENS, TENS

# Only what keeps every character in its place: full-width letters and digits, upper case, other dashes and
# spaces, and what is not seen at all, which may as well be a dash.
_PLAIN = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20, 0x2019: 0x27}
_PLAIN |= {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_PLAIN |= {code: code - 0xFEE0 + 32 for code in range(0xFF21, 0xFF3B)}
_PLAIN |= dict.fromkeys((*range(0x2010, 0x2016), 0x2212, 0xAD, *range(0x200B, 0x200E), 0x2060, 0xFEFF), 0x2D)
_PLAIN |= dict.fromkeys((0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F), 0x20)
_PLAIN |= {zero + digit: 0x30 + digit for zero in (0x660, 0x6F0, 0x966) for digit in range(10)}
_PLAIN |= {0x1D7CE + place: 0x30 + place % 10 for place in range(50)}
# Letters with accents, composed or not, Greek and Cyrillic ones belong to words, too.
_TOKEN = re.compile(r"[a-z'\u00c0-\u052f\u1e00-\u1fff]+|[0-9]+|[^\sa-z0-9]")
_JOINS = frozenset("-.()+")
_LIST = frozenset(",/")
_FOUR = 4


class Token(NamedTuple):
    """One token with its place."""

    start: int
    end: int
    text: str

    @property
    def number(self) -> bool:
        """Whether it is made of digits."""
        return self.text[0] in "0123456789"

    @property
    def word(self) -> bool:
        """Whether it is made of letters."""
        return self.text[0].isalpha() and self.text[0] < "\u2000"


class Run(NamedTuple):
    """Tokens ``first`` up to ``after`` that make one value."""

    first: int
    after: int
    value: str
    groups: tuple[int, ...] = ()


def plain(text: str) -> str:
    """In lower case and half-width, every character in its place."""
    return text.translate(_PLAIN)


def tokens_of(plain_text: str) -> list[Token]:
    """Words, numbers, and every mark for itself."""
    return [Token(one.start(), one.end(), one[0]) for one in _TOKEN.finditer(plain_text)]


def digits_at(tokens: Sequence[Token], first: int) -> Run | None:
    """Digits from there on, in groups, in words or both: ``(555) 123-4567``, ``four double one two``."""
    value, groups, at, after = "", [], first, first
    while at < len(tokens):
        token = tokens[at]
        if token.number:
            value, at = value + token.text, at + 1
            groups.append(len(token.text))
        elif token.text in DIGITS:
            value, at = value + DIGITS[token.text], at + 1
            groups.append(1)
        elif token.text in TENS:
            unit = DIGITS.get(tokens[at + 1].text, "0") if at + 1 < len(tokens) else "0"
            if unit == "0":
                value, at = value + TENS[token.text] + "0", at + 1
            else:
                value, at = value + TENS[token.text] + unit, at + 2
            groups.append(2)
        elif token.text in TEENS:
            value, at = value + TEENS[token.text], at + 1
            groups.append(2)
        elif token.text in REPEATS and at + 1 < len(tokens) and _digit(tokens[at + 1]):
            digit = DIGITS.get(tokens[at + 1].text, tokens[at + 1].text)
            value, at = value + digit * REPEATS[token.text], at + 2
            groups.append(REPEATS[token.text])
        elif _joins(tokens, at, at - after, groups):
            at += 1
            continue
        else:
            break
        after = at
    return Run(first, after, value, tuple(groups)) if value else None


def code_at(tokens: Sequence[Token], first: int, *, longest: int = 6) -> Run | None:
    """Letters and digits from there on that make one code: ``s 4 n 6 k 3``, ``mmo 801``, ``AB-1234``."""
    value, after = "", first
    for at in range(first, min(len(tokens), first + 9)):
        token = tokens[at]
        if token.number or (
            token.word and len(token.text) <= longest and (len(token.text) == 1 or token.text not in COMMON)
        ):
            value, after = value + token.text, at + 1
        elif not (token.text in "-/_" and value):
            break
    while after > first and not tokens[after - 1].number and len(tokens[after - 1].text) > 3:
        after -= 1  # a word that follows a code is not a part of it
    value = "".join(token.text for token in tokens[first:after] if token.number or token.word)
    return Run(first, after, value) if any(letter.isdigit() for letter in value) else None


def name_at(tokens: Sequence[Token], first: int, *, most: int = 3) -> Run | None:
    """One to ``most`` words that the language does not know, an initial among them: ``ann b lee``."""
    after = first
    while after < len(tokens) and after - first < most:
        token = tokens[after]
        if not token.word or token.text in COMMON:
            break
        if len(token.text) == 1 and (after == first or after + 1 >= len(tokens)):
            break
        after += 1
    if after - first > 1 and len(tokens[after - 1].text) == 1:
        after -= 1
    return Run(first, after, " ".join(token.text for token in tokens[first:after])) if after > first else None


def _joins(tokens: Sequence[Token], at: int, since: int, groups: Sequence[int]) -> bool:
    """Whether a number may go on after this token, ``since`` tokens after its last digit.

    A comma may only after four digits written in one, or after spoken ones: three may be thousands.
    """
    text, spoken = tokens[at].text, not tokens[at - 1].number
    if text in _JOINS and text != ".":
        return since < 2 and (bool(groups) or text in "(+")
    if not groups or since >= _FOUR:
        return False
    if text == ".":
        return spoken or groups[-1] >= 3
    return text in PAUSES or (text in _LIST and (spoken or groups[-1] >= _FOUR))


def _digit(token: Token) -> bool:
    return token.text in DIGITS or (token.number and len(token.text) == 1)
