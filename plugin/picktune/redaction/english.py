"""Our own rules for English as people type and speak it: lower case, no punctuation, groups pulled apart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from picktune.redaction.base import Found, Kind
from picktune.redaction.numbers import is_date, kind_of, luhn
from picktune.redaction.tokens import Run, Token, code_at, digits_at, name_at, plain, tokens_of
from picktune.redaction.words import (
    AMOUNTS,
    COMMON,
    CUES,
    DIGITS,
    FILLERS,
    MAIL_HOSTS,
    MONTHS,
    NAME_CUES,
    REPEATS,
    TEENS,
    TENS,
    TOP_LEVELS,
    WEAK_NAME_CUES,
    words_of,
)

_MARKS = frozenset(":#=-'\"")
_TITLES = frozenset(("mr", "mrs", "ms", "dr", "miss"))
_NOT_A_PERSONS = words_of(
    "company firm business product software item file brand store shop hotel model app team last"
)
_AFTER_NAME = words_of("and here from my with booking confirmation account i")
_BEGIN = frozenset(("(", "+", *DIGITS, *REPEATS, *TEENS, *TENS))
_NO_SPACE = re.compile(r"[^\s\u3000-\u9fff\uff00-\uffef]{1,60}")
_SHORT = 12  # tokens of a message that is only an answer
_FEWEST: dict[Kind, int] = {"phone": 5, "card": 4, "account": 3, "ssn": 4, "reference": 4, "secret": 3}
_GLUED = re.compile(rf"(?:{'|'.join(sorted(MAIL_HOSTS))})(?:dot)?(?:{'|'.join(sorted(TOP_LEVELS))})$")
_MAIL = re.compile(r"[a-z0-9._%+-]{1,64}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,5}")
_SPOKEN_MAIL = re.compile(
    r"\b[a-z0-9._-]{1,64}(?: (?:dot|underscore|dash|point) [a-z0-9]{1,64}){0,4} ?(?: at |\(at\)|\[at\]) ?"
    r"[a-z0-9-]{1,63}(?: ?(?: dot |\(dot\)|\[dot\]|\.) ?[a-z0-9-]{2,63}){1,3}"
)
_STREET = re.compile(
    r"\b[0-9]{1,5}[a-z]?(?: [a-z]{2,20}){1,3} "
    r"(?:street|st|avenue|ave|road|rd|lane|ln|drive|dr|boulevard|blvd|court|ct|terrace|crescent)\b"
    r"(?:,? (?:apt|apartment|unit|suite|flat) ?#?[0-9a-z]{1,5}\b)?(?:,? [a-z]{2}\b,?)?(?: [0-9]{5}\b)?"
)
_LIVES = re.compile(
    r"\b(?:my (?:home |shipping |billing |postal |delivery )?address is|i live (?:at|in)|ship (?:it )?to|"
    r"deliver (?:it )?to|address ?:) ?([^.;!?\n]{4,120})"
)
_BORN = re.compile(
    r"\b(?:date of birth|dob|birthday|birth date|born)(?: is| on| was|:)* ?"
    r"([0-9]{1,4}(?:[ /.-][0-9a-z]{1,9}){0,2}|[a-z]{3,9} [0-9]{1,2}(?:st|nd|rd|th)?(?:,? [0-9]{2,4})?)"
)


def find(text: str, *, asked: str = "") -> Iterator[Found]:
    """Everything that the rules find, overlaps and all."""
    said = plain(text)
    tokens = tokens_of(said)
    for pattern, kind, group in (
        (_MAIL, "email", 0),
        (_SPOKEN_MAIL, "email", 0),
        (_STREET, "address", 0),
        (_BORN, "birth", 1),
    ):
        for match in pattern.finditer(said):
            yield Found(start=match.start(group), end=match.end(group), kind=kind)  # type: ignore[arg-type]
    for match in _LIVES.finditer(said):
        if any(letter.isdigit() for letter in match[1]):
            yield Found(start=match.start(1), end=match.end(1), kind="address")
    yield from _glued_mail(tokens)
    yield from _numbers(tokens)
    announced = [_whole(said, one) if one.kind == "secret" else one for one in _announced(tokens)]
    yield from announced
    yield from _names(tokens)
    if len(tokens) <= _SHORT and not announced:
        wanted = _wanted(asked)
        answers = list(_answers(tokens, wanted)) if wanted else []
        yield from answers or _alone(tokens)


def _found(tokens: Sequence[Token], run: Run, kind: Kind, sure: int = 1) -> Found:
    return Found(start=tokens[run.first].start, end=tokens[run.after - 1].end, kind=kind, sure=sure)


def _whole(said: str, found: Found) -> Found:
    """A secret up to the next white space, for any mark may be a part of it but the last ones."""
    match = _NO_SPACE.match(said, found.end)
    rest = match[0].rstrip(".,;:!?)'\"") if match else ""
    return Found(start=found.start, end=found.end + len(rest), kind=found.kind, sure=found.sure)


def _glued_mail(tokens: Sequence[Token]) -> Iterator[Found]:
    """``vishnugmailcom``, ``ann 45 gmailcom``: an address whose marks were lost on the way."""
    for at, token in enumerate(tokens):
        if not token.word or len(token.text) > 64 or (match := _GLUED.search(token.text)) is None:
            continue
        first = at
        if match.start() == 0:
            while first and at - first < 3 and (tokens[first - 1].number or tokens[first - 1].text in "._"):
                first -= 1
            if first and tokens[first - 1].word and tokens[first - 1].text not in COMMON:
                first -= 1
        yield _found(tokens, Run(first, at + 1, ""), "email")


def _numbers(tokens: Sequence[Token]) -> Iterator[Found]:
    """Digits that nothing announces, if there are enough of them."""
    at = 0
    while at < len(tokens):
        run = digits_at(tokens, at) if tokens[at].number or tokens[at].text in _BEGIN else None
        if run is None:
            at += 1
            continue
        money = at and tokens[at - 1].text in "$€£¥"
        kind = None if money else kind_of(run.value, groups=run.groups)
        if kind is not None:
            yield _found(tokens, run, *kind)
        at = run.after


def _announced(tokens: Sequence[Token]) -> Iterator[Found]:
    """What follows a word that says what it is: ``my ssn is …``, ``account no 4562``."""
    for at in range(len(tokens)):
        for cue, kind in _BY_FIRST.get(tokens[at].text, ()):
            if tuple(token.text for token in tokens[at : at + len(cue)]) == cue:
                if run := _value(tokens, at + len(cue), kind):
                    yield _found(tokens, run, kind, 2)
                break


def _value(tokens: Sequence[Token], at: int, kind: Kind) -> Run | None:
    skipped = 0
    while at < len(tokens) and skipped < 7 and (tokens[at].text in FILLERS or tokens[at].text in _MARKS):
        at, skipped = at + 1, skipped + 1
    if at >= len(tokens):
        return None
    run: Run | None = None
    if kind in ("phone", "card", "account", "ssn", "secret"):
        run = digits_at(tokens, at)
    if run is None and kind != "phone":
        run = code_at(tokens, at, longest=20 if kind == "secret" else 8)
    if run is None and kind == "secret" and skipped and tokens[at].word and tokens[at].text not in COMMON:
        run = Run(at, at + 1, tokens[at].text)
    if run is None or len(run.value) < _FEWEST.get(kind, 5):
        return None
    followed = tokens[run.after].text if run.after < len(tokens) else ""
    if run.value.isdigit() and followed in AMOUNTS and followed not in ("for", "on"):
        return None
    return run


def _names(tokens: Sequence[Token]) -> Iterator[Found]:
    at = 0
    while at < len(tokens):
        cue = next((one for one in NAME_CUES if _stands(tokens, at, one)), None)
        if cue is None or (cue[0] == "name" and at and tokens[at - 1].text in _NOT_A_PERSONS):
            at += 1
            continue
        first = at + len(cue)
        while first < len(tokens) and tokens[first].text in (*_TITLES, ":", "is", "mr", ".", "and"):
            first += 1
        run = name_at(tokens, first)
        if run is not None and not (cue in WEAK_NAME_CUES and _doubtful(tokens, run)):
            yield _found(tokens, run, "name")
            at = run.after
        else:
            at += 1


def _doubtful(tokens: Sequence[Token], run: Run) -> bool:
    """Whether an unknown word after ``i am`` may be no name: a verb's form, or the sentence goes on."""
    last = tokens[run.after - 1].text
    if last.endswith(("ing", "ed", "ly", "ible", "able", "ful")):
        return True
    if run.after >= len(tokens):
        return False
    then = tokens[run.after]
    return then.word and then.text not in _AFTER_NAME


def _stands(tokens: Sequence[Token], at: int, cue: Sequence[str]) -> bool:
    return tokens[at].text == cue[0] and all(
        at + place < len(tokens) and tokens[at + place].text == word for place, word in enumerate(cue)
    )


def _wanted(asked: str) -> list[Kind]:
    """What the message before asks for: its last few words count, if it has words that announce something."""
    tokens = tokens_of(plain(asked[-400:]))
    wanted: list[Kind] = []
    for at in range(len(tokens)):
        for cue, kind in _BY_FIRST.get(tokens[at].text, ()):
            if _stands(tokens, at, cue):
                wanted.append(kind)
                break
        if tokens[at].text == "name" and not (at and tokens[at - 1].text in _NOT_A_PERSONS):
            wanted.append("name")
        if tokens[at].text == "address" and (not at or tokens[at - 1].text not in ("email", "mail", "e")):
            wanted.append("address")
    return wanted


def _answers(tokens: Sequence[Token], wanted: Sequence[Kind]) -> Iterator[Found]:
    """A short answer to a question: the name, the code, or both that were asked for."""
    at = 0
    if "name" in wanted:
        while at < len(tokens) and (tokens[at].text in COMMON or not tokens[at].word):
            at += 1
        run = name_at(tokens, at) if at < len(tokens) else None
        if run is not None:
            yield _found(tokens, run, "name")
            at = run.after
        else:
            at = 0
    kind = next((one for one in wanted if one not in ("name", "address")), None)
    if kind is not None:
        while at < len(tokens) and tokens[at].text in COMMON:
            at += 1
        run = _value(tokens, at, kind)
        if run is not None:
            yield _found(tokens, run, kind)


def _alone(tokens: Sequence[Token]) -> Iterator[Found]:
    """A message that is nothing but a number, a code, or a name with one of them: guessed from its shape."""
    first, after = 0, len(tokens)
    while first < after and tokens[first].word and tokens[first].text in COMMON and tokens[first].text != "a":
        first += 1
    rest = tokens[first:after]
    if not rest or len(rest) > 7 or any(not (token.number or token.word) for token in rest):
        return
    if any(token.text in AMOUNTS or token.text in MONTHS for token in tokens):
        return
    code = code_at(tokens, first, longest=3)
    if code is not None and code.after == after and _like_a_code(rest):
        yield _found(tokens, code, "account" if code.value.isdigit() else "reference", 0)
        return
    name = name_at(tokens, first)
    if name is None or name.after == after or len(tokens[name.first].text) < 2:
        return
    at = name.after + (tokens[name.after].text == "and")
    code = code_at(tokens, at, longest=3) if at < after else None
    if code is not None and code.after == after and _like_a_code(tokens[at:after]):
        yield _found(tokens, name, "name", 0)
        yield _found(tokens, code, "account" if code.value.isdigit() else "reference", 0)


def _like_a_code(rest: Sequence[Token]) -> bool:
    value = "".join(token.text for token in rest)
    if value.isdigit():
        if len(value) > 12:
            return luhn(value)
        return len(value) >= 4 and not is_date(value) and not value.endswith("00")
    return 5 <= len(value) <= 12 and sum(letter.isdigit() for letter in value) >= 2


_BY_FIRST: dict[str, list[tuple[tuple[str, ...], Kind]]] = {}
for _cue, _kind in sorted(CUES, key=lambda one: -len(one[0])):
    _BY_FIRST.setdefault(_cue[0], []).append((_cue, _kind))
