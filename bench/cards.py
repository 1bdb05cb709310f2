"""Card mentions made up for the bench: our own sentences around random numbers with a right check digit.

They are synthetic: nobody said them, and no number is anybody's on purpose.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from picktune.redaction.numbers import luhn

PREFIXES = (("4", 16), ("51", 16), ("55", 16), ("2221", 16), ("34", 15), ("37", 15), ("36", 14), ("6011", 16),
            ("62", 16), ("62", 19), ("35", 16))  # fmt: skip
"""First digits and length, as the networks of cards give them."""

SEED = 20_261_124

# The rules were written looking at the first half of each list only; the second half is held out.
ENGLISH = (
    (
        "my card number is {}",
        "please charge it to {} thanks",
        "{}",
        "the number on my credit card is {} and it expires in may",
        "i paid with {} but the order never came",
        "ok here you go {} is my visa",
        "can you check whether {} was charged twice",
        "Sure, it's {}.",
    ),
    (
        "you want the card right it is {}",
        "i was billed on {} for something i did not buy",
        "use the mastercard {} instead",
        "its {} and the name on it is the same",
        "hello my debit card ends soon, the full one is {}, please update it",
        "refund goes to {} ok",
        "last time i gave you {} didnt i",
        "i tried {} three times and it says declined",
    ),
)
CHINESE = (
    (
        "我的卡号是{}",
        "用这张卡付款：{}",
        "{}",
        "银行卡{}被扣了两次",
        "信用卡号码是{}，麻烦查一下",
        "退款退到{}就行",
        "刚才付钱用的是{}这张",
        "卡号{}，户名是我本人",
    ),
    (
        "我报一下吧{}",
        "绑定的是{}，现在想换",
        "请把钱打到{}这个卡上",
        "我的储蓄卡 {} 不能用了",
        "你记一下{}谢谢",
        "之前留的{}已经注销了",
        "为什么{}一直提示失败",
        "建行的，{}",
    ),
)
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = (
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_HAN = "零一二三四五六七八九"


Way = Callable[[str, random.Random], str]


class Mention(NamedTuple):
    """A turn with a card number from ``start`` up to ``end``; ``spelling`` says how it is written."""

    text: str
    start: int
    end: int
    language: str
    spelling: str


def mentions(count: int, *, held_out: bool, seed: int = SEED) -> Iterator[Mention]:
    """``count`` of them, in English and Chinese by turns, every spelling as often as any other."""
    rng = random.Random(f"{seed} {held_out}")
    for place in range(count):
        language = ("en", "zh")[place % 2]
        spellings = SPELLINGS[language]
        name = spellings[place // 2 % len(spellings)]
        value = _WAYS[name](_number(rng), rng)
        before, after = rng.choice((ENGLISH, CHINESE)[place % 2][held_out]).split("{}")
        if language == "en" and rng.random() < 0.3:
            before, value, after = before.upper(), value.upper(), after.upper()
        yield Mention(before + value + after, len(before), len(before) + len(value), language, name)


def _number(rng: random.Random) -> str:
    prefix, length = rng.choice(PREFIXES)
    body = prefix + "".join(rng.choice("0123456789") for _ in range(length - len(prefix) - 1))
    return next(body + digit for digit in "0123456789" if luhn(body + digit))


def _groups(number: str) -> list[str]:
    if len(number) in (14, 15):
        return [number[:4], number[4:10], number[10:]]
    return [number[at : at + 4] for at in range(0, len(number), 4)]


def _joined(mark: str) -> Way:
    return lambda number, _: mark.join(_groups(number))


def _words(number: str, rng: random.Random) -> str:
    """Digit by digit; "oh" or "zero", and at times "double"."""
    zero, doubles, said, at = rng.choice(("oh", "zero")), rng.random() < 0.5, [], 0
    while at < len(number):
        double = doubles and number[at : at + 2] == number[at] * 2
        word = zero if number[at] == "0" else _WORDS[int(number[at])]
        said.append(f"double {word}" if double else word)
        at += 2 if double else 1
    return " ".join(said)


def _pairs(number: str, _: random.Random) -> str:
    """Two by two: "forty one eleven"."""
    said = []
    for at in range(0, len(number), 2):
        two = number[at : at + 2]
        if len(two) == 1 or two[0] == "0":
            said += [_WORDS[int(digit)] for digit in two]
        elif two[0] == "1":
            said.append(_TEENS[int(two[1])])
        else:
            said += [_TENS[int(two[0])], *([_WORDS[int(two[1])]] if two[1] != "0" else [])]
    return " ".join(said)


def _word_groups(number: str, rng: random.Random) -> str:
    return rng.choice((", ", " - ", " ... ")).join(
        " ".join(_WORDS[int(digit)] for digit in group) for group in _groups(number)
    )


def _half_spoken(number: str, rng: random.Random) -> str:
    return " ".join(
        group if rng.random() < 0.5 else " ".join(_WORDS[int(digit)] for digit in group)
        for group in _groups(number)
    )


def _han(number: str, rng: random.Random) -> str:
    one = rng.choice("一幺")
    return "".join(one if digit == "1" else _HAN[int(digit)] for digit in number)


_WAYS: dict[str, Way] = {
    "solid": _joined(""),
    "spaces": _joined(" "),
    "hyphens": _joined("-"),
    "dots": _joined("."),
    "dashes": _joined("–"),
    "commas": _joined(", "),
    "digit by digit": lambda number, _: " ".join(number),
    "words": _words,
    "words by twos": _pairs,
    "words in groups": _word_groups,
    "half in words": _half_spoken,
    "full-width": lambda number, _: "".join(chr(ord(digit) + 0xFEE0) for digit in number),
    "Chinese digits": _han,
    "Chinese digits in groups": lambda number, rng: rng.choice((" ", "，", "、")).join(
        _groups(_han(number, rng))
    ),
}
_WRITTEN = ("solid", "spaces", "hyphens", "dots", "dashes", "commas", "digit by digit")
SPELLINGS = {
    "en": (*_WRITTEN, "words", "words by twos", "words in groups", "half in words"),
    "zh": (*_WRITTEN, "full-width", "Chinese digits", "Chinese digits in groups"),
}
