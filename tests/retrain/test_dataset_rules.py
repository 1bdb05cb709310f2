"""Which rows a dataset leaves out, by which rule, and when picks are too poor to be learned from."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from picktune.records import AnnotatorRole, ChoiceSet, Message
from picktune_retrain.dataset import RULES, Standard, build_dataset, load_dataset, save_dataset, too_poor
from picktune_retrain.records import DataRecipe, Dataset

NOW = datetime(2026, 11, 24, 2, 15, tzinfo=UTC)


def pick(number: int, **changes: Any) -> ChoiceSet:
    row = ChoiceSet(
        slate_id=f"slate-{number:05}",
        conversation_id=f"conversation-{number}",
        messages=(Message(role="user", content=f"Where is my parcel {number}?"),),
        replies=(f"On its way, {number}.", f"Sorry! {number}", "Which order?", "No idea."),
        chosen=number % 4,
        annotator="ann",
        role="agent",
        decided_at=NOW - timedelta(minutes=100_000 - number),
    )
    return structs.replace(row, **changes)


class Reader:
    """The part of a log reader that choice sets alone need; the real log is read in test_dataset_cli."""

    def __init__(self, rows: Sequence[ChoiceSet]) -> None:
        self.rows = rows

    def choice_sets(
        self, *, until: datetime | None = None, roles: Sequence[AnnotatorRole] | None = None
    ) -> Iterator[ChoiceSet]:
        yield from self.rows


def build(rows: Sequence[ChoiceSet], **recipe: Any) -> Dataset:
    return build_dataset(
        Reader(rows),  # type: ignore[arg-type]
        until=NOW,
        roles=("agent",),
        now=NOW,
        recipe=DataRecipe(**recipe),
    )


def left_out(dataset: Dataset) -> dict[str, str]:
    return {one.slate_id: one.rule for one in dataset.dropped}


OTHERS = [pick(i) for i in range(100, 140)]


def test_the_same_person_picking_differently_among_the_same_replies_is_left_out() -> None:
    one = pick(1, chosen=0)
    shuffled = pick(2, messages=one.messages, replies=one.replies[::-1], chosen=0, conversation_id="imported")
    by_another = structs.replace(shuffled, slate_id="other", annotator="bob")
    dataset = build([*OTHERS, one, shuffled, by_another])
    assert left_out(dataset) == {"slate-00001": "contradicted", "slate-00002": "contradicted"}


def test_a_burst_is_left_out_but_neither_imports_nor_programs() -> None:
    quick = [pick(i, decided_at=NOW - timedelta(milliseconds=500 * (200 - i))) for i in range(90)]
    dropped = left_out(build([*OTHERS, *quick]))
    assert len(dropped) == 90
    assert set(dropped.values()) == {"burst"}
    assert not left_out(build(quick, most_a_minute=0))
    assert not left_out(build([structs.replace(row, decided_at=NOW) for row in quick]))
    assert not left_out(build([structs.replace(row, role="model") for row in quick]))
    assert not left_out(build([pick(i, decided_at=NOW - timedelta(seconds=200 - i)) for i in range(90)]))


@pytest.mark.parametrize(("picks", "share", "gone"), [(40, 1.0, True), (40, 0.9, False), (29, 1.0, False)])
def test_an_annotator_who_always_picks_the_same_place(picks: int, share: float, gone: bool) -> None:
    rows = [pick(i, annotator="lazy", chosen=0 if i < share * picks else 1) for i in range(picks)]
    assert ("one_place" in left_out(build([*OTHERS, *rows])).values()) == gone


def test_what_is_too_long_or_blank_after_redaction() -> None:
    long = pick(1, replies=("x" * 9000, "y"), chosen=0)
    blank = pick(2, replies=("[PHONE_1], [NAME_2].", "Your order?"), chosen=1)
    nothing_asked = pick(3, messages=(Message(role="user", content="[EMAIL_1]"),))
    fine = pick(4, replies=("Call [PHONE_1]", "Your order?"), chosen=1)
    dataset = build([*OTHERS, long, blank, nothing_asked, fine])
    assert left_out(dataset) == {
        "slate-00001": "overlong",
        "slate-00002": "redacted",
        "slate-00003": "redacted",
    }
    assert dataset.dropped[0].detail == "a reply of 9000 characters"
    assert "slate-00001" not in left_out(build([*OTHERS, long], longest_reply=0))


def test_disputed_picks() -> None:
    same = [pick(1, annotator=name, chosen=place) for name, place in (("a", 0), ("b", 0), ("c", 1))]
    dataset = build([*OTHERS, *same], min_agreement=0.5)
    (one,) = dataset.dropped
    assert (one.rule, one.detail) == ("disputed", "33% of 3 picked it")
    assert not build([*OTHERS, *same]).dropped


def test_selection_by_window_tag_campaign_and_language() -> None:
    rows = [
        pick(i, tags=("vip",) if i % 2 else ("campaign:spring",), locale="zh-CN" if i % 4 else "en")
        for i in range(40)
    ]

    def kept(**recipe: Any) -> int:
        version = build(rows, **recipe).version
        assert sum(version.counts.values()) + version.unselected == 40
        return sum(version.counts.values())

    assert kept() == 40
    assert kept(tags=("vip", "unheard-of")) == 20
    assert kept(campaigns=("spring",)) == 20
    assert kept(locales=("zh",)) == 30
    assert kept(since=rows[30].decided_at) == 10
    assert kept(days=(NOW - rows[35].decided_at) / timedelta(days=1)) == 5


def test_replay_mixes_older_picks_in_and_never_held_out_ones() -> None:
    rows = [pick(i) for i in range(400)]
    whole = build(rows)
    dataset = build(rows, since=rows[200].decided_at, replay=0.25)
    older = {row.slate_id for row in dataset.train if row.decided_at < rows[200].decided_at}
    assert dataset.version.replayed == len(older)
    assert len(older) / len(dataset.train) == pytest.approx(0.25, abs=0.01)
    held_out = {row.slate_id for row in (*whole.validation, *whole.test)}
    assert all(row.decided_at >= rows[200].decided_at for row in (*dataset.validation, *dataset.test))
    assert build(rows, since=rows[200].decided_at).version.replayed == 0
    assert held_out.isdisjoint(row.slate_id for row in whole.train)


def test_every_dropped_row_stays_known_and_every_rule_says_what_to_do(tmp_path: Path) -> None:
    dataset = build([*OTHERS, pick(1, replies=("", "x"))])
    folder = save_dataset(dataset, tmp_path)
    assert load_dataset(dataset.version.id, tmp_path) == dataset
    assert b"parcel" not in (folder / "dropped.jsonl").read_bytes()
    more = build([*OTHERS, pick(1, replies=("", "x")), pick(2, chosen=9)])
    assert more.version.id == dataset.version.id
    save_dataset(more, tmp_path)
    assert load_dataset(dataset.version.id, tmp_path).dropped == more.dropped
    assert all(all(rule) for rule in RULES.values())


def poor(rows: Sequence[ChoiceSet], standard: Standard | None = None, **recipe: Any) -> str:
    return too_poor(build(rows, **recipe).version, standard or Standard()) or ""


def test_good_picks_are_good_enough() -> None:
    assert not poor(OTHERS)
    assert not poor([])


def test_picks_that_are_too_poor_say_why() -> None:
    by_many = [pick(i, annotator=f"a{i % 20}", chosen=0) for i in range(100)]
    assert "at one and the same place of 4" in poor(by_many)
    same = [pick(i, replies=("Sorry!", f"x{i}", "y"), chosen=0) for i in range(60)]
    turned = [
        structs.replace(row, replies=row.replies[i % 3 :] + row.replies[: i % 3], chosen=-i % 3)
        for i, row in enumerate(same)
    ]
    assert "the very same words" in poor(turned)
    assert "1 annotator, and 2 are asked for" in poor(OTHERS, Standard(min_annotators=2))
    assert "one annotator gave 100%" in poor(OTHERS, Standard(most_one_person=0.8))
    unusable = [pick(i, replies=("", "x"), chosen=1) for i in range(60)]
    assert "'empty_reply'" in poor([*OTHERS, *unusable])


def test_annotators_who_agree_no_better_than_chance() -> None:
    rng = random.Random(1)
    pairs = [(i, who) for i in range(150) for who in ("ann", "bob")]
    blind = [pick(i, annotator=who, chosen=rng.randrange(4)) for i, who in pairs]
    assert "no common taste" in poor(blind)
    alike = [pick(i, annotator=who, chosen=i % 4) for i, who in pairs]
    assert not poor(alike)
    found = build(alike).version.quality
    assert found is not None
    assert (found.pairs, found.agreeing, found.by_chance) == (150, 150, 0.25)


LONG = {
    "en": "Dear shop, I ordered a raincoat for my daughter two weeks ago, number {0}, and it has not come.",
    "zh": "您好，我两周前给女儿订的雨衣到现在还没有到，单号{0}，能帮我看一下吗？周末要用，谢谢您。",
}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 99_999), st.integers(0, 99_999), st.sampled_from(["en", "zh"]))
def test_near_duplicates_stand_on_one_side(one: int, other: int, language: str) -> None:
    first, second = (
        pick(i, messages=(Message(role="user", content=LONG[language].format(n)),))
        for i, n in ((1, one), (2, other))
    )
    dataset = build([first, second, *OTHERS])
    sides = {
        name
        for name in ("train", "validation", "test")
        for row in getattr(dataset, name)
        if row.slate_id in ("slate-00001", "slate-00002")
    }
    assert len(sides) == 1
