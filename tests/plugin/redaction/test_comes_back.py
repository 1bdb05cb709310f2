"""Whatever was said: it comes back as it was, and no value that was found is left in what is stored."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from picktune.redaction.placeholders import LITERAL, PLACEHOLDER
from picktune.redaction.redaction import Redaction
from picktune.redaction.redactor import RuleRedactor
from picktune.redaction.vault import Vault
from picktune.redaction.words import COMMON

BITS = [
    "my name is Mary Smith", "mary smith here", "MARY", "call 555 123 4567", "555-123-4567", "5551234567",
    "5559876543000", "[NAME_1]", "[PHONE_1.2]", "[LITERAL_1]", "[[PHONE_1]]", "[PHONE_", "1", "]", "[",
    "我叫张三丰", "手机13812345678", "张三丰 13812345678", "名字", "王小明", "i live at 12 main street",
    "my name is Straße", "straße", "STRASSE", "my name is İpek", "İPEK", "ipek", "\u200b", "\ufeff",
    "e\u0301", "\u0301", "\x00", "😀",
    "what is your name", "account number?", "741", "nila", "4111 1111 1111 1111",
    "john dot doe at gmail dot com", "my ssn is 123 45 6789", "my password is hunter2", "hunter2", "hunter22",
    " ", "\n", ",",
]  # fmt: skip
PIECES = st.one_of(
    st.sampled_from(BITS), st.text(max_size=12), st.from_regex(r"[\[\]A-Z_0-9.]{1,14}", fullmatch=True)
)
TEXTS = st.builds(
    lambda pieces, between: between.join(pieces),
    st.lists(PIECES, max_size=6),
    st.sampled_from([" ", ""]),
)


@pytest.fixture(scope="module")
def shared(redactor: RuleRedactor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redaction]:
    """One redaction for all examples: each is a conversation of its own."""
    vault = Vault(tmp_path_factory.mktemp("comes-back") / "vault.db")
    yield Redaction(redactor, vault)
    vault.close()


def left(values: Sequence[tuple[str, str]], stored: Sequence[str]) -> list[str]:
    """The values, by kind, that stand in what is stored, placeholders aside.

    A name is one where it is a word, and what is found with its announcement only (shorter than a name or a
    number that means anything by itself, a word of the language) does not count.
    """
    said = [PLACEHOLDER.sub("\U0010ffff", text) for text in stored]
    found = []
    for kind, value in values:
        if len(value) < 4 or (kind == "name" and value.casefold() in COMMON):
            continue
        if len(value) >= 7 and any(letter.isdigit() for letter in value):
            pattern = re.escape(value)
        else:
            before, after = ("0-9" if value[at].isdigit() else "A-Za-z" for at in (0, -1))
            pattern = rf"(?<![{before}]){re.escape(value)}(?![{after}])"
        found += [value for part in said if re.search(pattern, part)]
    return found


def check(redaction: Redaction, said: list[str]) -> None:
    conversation = uuid.uuid4().hex
    stored = redaction.texts(conversation, said)
    assert [redaction.restore(conversation, text) for text in stored] == said
    assert redaction.texts(conversation, said) == stored
    entries = redaction.vault.entries(conversation)
    assert not left([(one.kind, one.value) for one in entries.values() if one.kind != LITERAL], stored)


@given(said=st.lists(TEXTS, max_size=5))
# The same text twice, where only one of them answers the question for it.
@example(said=["AB", "my name is Mary Smith", "AB"])
# What looks like a placeholder in the midst of a value.
@example(said=["i live at 12 main street [NAME_1] springfield"])
@example(said=["my name is Mary [NAME_1] Smith", "call 555 123 [PHONE_1] 4567"])
# Letters that grow when their case is folded.
@example(said=["my name is Kavitha, my password is straße77", "it was straße77"])
@example(said=["my password is İpek77", "it was İpek77", "or i\u0307pek77"])
# A number that was found before, in a longer word.
@example(said=["call 13812345678", "tel13812345678x"])
@example(said=["0000001AAAA", "AAAA0001"])
# What was found before, and more around it that is found now.
@example(said=["my password is hunter2", "i live at 12 hunter2 street"])
@example(said=["[PHONE_5551234567]", "[PHONE_[PHONE_1]]"])
@settings(max_examples=150, deadline=None)
def test_what_was_redacted_comes_back_and_leaves_nothing(shared: Redaction, said: list[str]) -> None:
    check(shared, said)


@pytest.mark.parametrize(
    "said",
    [
        "i live at 12 main street [NAME_1] springfield",
        "ship it to [NAME_1] 12 main street",
    ],
)
def test_a_placeholder_that_a_person_types_hides_nothing_from_the_rules(
    redaction: Redaction, said: str
) -> None:
    stored = redaction.texts("a", [said])[0]
    assert "main street" not in stored
    assert redaction.restore("a", stored) == said
    (reply,) = redaction.texts("b", [said], placeholders=True)
    assert "main street" not in reply
    assert "[NAME_1]" in reply


@pytest.mark.parametrize("filler", ["hello there ", "so\n", "x"])
@pytest.mark.parametrize("value", ["my card is 4111 1111 1111 1111", "call 555 123 4567"])
def test_a_value_across_a_cut_of_a_long_text_is_found_whole(
    redaction: Redaction, filler: str, value: str
) -> None:
    for before in range(19_960, 20_010, 7):
        padding = (filler * 20_100)[:before]
        said = f"{padding} {value} {filler * 300}"
        stored = redaction.texts(f"{before}", [said])[0]
        assert not any(letter.isdigit() for letter in PLACEHOLDER.sub("", stored))
        assert redaction.restore(f"{before}", stored) == said


def test_values_that_begin_alike_stay_apart(redaction: Redaction) -> None:
    said = ["my password is hunter2", "my password is hunter22", "hunter2 or hunter22 or hunter222"]
    stored = redaction.texts("a", said)
    assert stored[2].startswith("[SECRET_1] or [SECRET_2] or ")
    assert [redaction.restore("a", text) for text in stored] == said


def test_conversations_at_once_do_not_mix(tmp_path: Path, redactor: RuleRedactor) -> None:
    vaults = [Vault(tmp_path / "vault.db") for _ in range(2)]
    redactions = [Redaction(redactor, vault) for vault in vaults]
    turns = [
        (f"c{place % 5}", f"my phone is 555 {place:03} 4567 and again 555-{place:03}-4567")
        for place in range(100, 160)
    ]

    def work(place: int) -> str:
        conversation, said = turns[place]
        return redactions[place % 2].texts(conversation, [said])[0]

    with ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(work, range(len(turns))))
    for (conversation, said), text in zip(turns, stored, strict=True):
        assert redactions[0].restore(conversation, text) == said
        first, second = PLACEHOLDER.finditer(text)
        assert first[2] == second[2]
        assert {first[3], second[3]} == {None, "2"}
    numbers = [text.split("_")[1].split("]")[0] for text in stored[::5]]
    assert len(set(numbers)) == len(numbers)
    for vault in vaults:
        vault.close()


def test_stored_parts_end_where_the_next_begins() -> None:
    from picktune.redaction.argus import windows

    text = "one two three " * 5_000
    parts = list(windows(text, 8_000))
    assert all(before <= after <= before + len(part) for (before, part), (after, _) in pairwise(parts))
    assert all(text[at : at + len(part)] == part for at, part in parts)
    assert parts[-1][0] + len(parts[-1][1]) == len(text)
