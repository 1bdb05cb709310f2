"""The sample tickets: enough of them, in two languages, in two halves that share nothing."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from picktune.errors import InvalidInput
from picktune.tickets import sample_conversations, sample_tickets, shop_policy

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z']+|[一-鿿]", unicodedata.normalize("NFKC", text).casefold()))


@pytest.mark.parametrize(("locale", "tickets", "scenarios"), [("en", 80, 8), ("zh", 44, 8)])
def test_there_are_enough_in_enough_scenarios(locale: str, tickets: int, scenarios: int) -> None:
    found = sample_tickets(locale)
    assert len(found) >= tickets
    counts = Counter(ticket.scenario for ticket in found)
    assert len(counts) >= scenarios
    assert min(counts.values()) >= 4


@pytest.mark.parametrize("locale", ["en", "zh"])
def test_each_is_an_open_conversation_that_waits_for_a_reply(locale: str) -> None:
    for one in sample_conversations(locale, now=NOW):
        assert [message.role for message in one.messages] == ["system", "user"]
        assert one.messages[0].content == shop_policy(locale)
        assert 1 <= len(one.pending) <= 2
        assert one.locale == locale
        assert one.status == "open"
        assert one.source == "sample"
        assert one.scenario
        assert one.tags
        assert one.title


def test_all_locales_are_given_without_one_and_the_ids_are_stable_and_unique() -> None:
    first, second = sample_conversations(now=NOW), sample_conversations(now=NOW.replace(year=2027))
    ids = [one.id for one in first]
    assert ids == [one.id for one in second]
    assert len(set(ids)) == len(ids)
    assert len(ids) == len(sample_conversations("en", now=NOW)) + len(sample_conversations("zh", now=NOW))


def test_the_two_halves_are_disjoint_and_large() -> None:
    training, unseen = sample_tickets("en", split="training"), sample_tickets("en", split="unseen")
    assert len(training) >= 40
    assert len(unseen) >= 40
    assert len(training) + len(unseen) == len(sample_tickets("en"))
    assert {ticket.scenario for ticket in training} == {ticket.scenario for ticket in unseen}


@pytest.mark.parametrize("locale", ["en", "zh"])
def test_no_two_tickets_say_nearly_the_same(locale: str) -> None:
    said = [(ticket.id, words(ticket.message or "")) for ticket in sample_tickets(locale)]
    alike = [
        (a, b)
        for i, (a, mine) in enumerate(said)
        for b, other in said[:i]
        if len(mine & other) > 0.6 * len(mine | other)
    ]
    assert alike == []


def test_the_chinese_ones_are_in_chinese_and_the_english_ones_in_ascii_letters() -> None:
    for ticket in sample_tickets("zh"):
        assert re.search(r"[一-鿿]{4}", ticket.message or "")
        assert all(
            re.search(r"[一-鿿]", text) for text in (ticket.title or "", *ticket.pending, *ticket.tags)
        )
    for ticket in sample_tickets("en"):
        assert not re.search(r"[一-鿿]", f"{ticket.title}{ticket.message}{ticket.pending}")


def test_nobody_can_be_recognised_in_them() -> None:
    for ticket in sample_tickets():
        text = " ".join([ticket.title or "", ticket.message or "", *ticket.pending])
        assert not re.search(r"@|https?:|\d{5,}|\+\d", text), ticket.id


def test_a_language_without_tickets_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no sample tickets in 'fr'; choose one of en, zh"):
        sample_tickets("fr")


@pytest.mark.model
@pytest.mark.parametrize("locale", ["en", "zh"])
def test_the_policy_is_short_for_the_sample_model(locale: str, smollm2: Path) -> None:
    from transformers import AutoTokenizer

    tokens = len(AutoTokenizer.from_pretrained(smollm2)(shop_policy(locale))["input_ids"])
    # A Chinese character takes this English model's tokenizer two tokens.
    assert tokens <= {"en": 120, "zh": 240}[locale]
