"""Dataset versions: what is dropped, that nothing leaks or wanders, and that stored rows are verified."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from picktune.lineage import picks_of
from picktune.records import AnnotatorRole, ChoiceSet, Message
from picktune_retrain.dataset import (
    Splits,
    build_dataset,
    cluster_names,
    load_dataset,
    load_splits,
    save_dataset,
    save_lineage,
    save_splits,
)
from picktune_retrain.dataset.split import remember
from picktune_retrain.errors import DatasetCorrupt, DatasetNotFound, StateCorrupt
from picktune_retrain.records import Dataset

NOW = datetime(2026, 11, 24, 2, 15, tzinfo=UTC)
PEOPLE: tuple[AnnotatorRole, ...] = ("user", "agent", "expert", "crowd")


class Reader:
    """The one method of a log reader that a dataset needs; the real log is used in test_nightly."""

    def __init__(self, rows: Sequence[ChoiceSet]) -> None:
        self.rows = rows

    def choice_sets(
        self, *, until: datetime | None = None, roles: Sequence[AnnotatorRole] | None = None
    ) -> Iterator[ChoiceSet]:
        for row in self.rows:
            if (until is None or row.decided_at < until) and (roles is None or row.role in roles):
                yield row


def pick(
    number: int, *, conversation: str | None = None, opening: str | None = None, **changes: object
) -> ChoiceSet:
    row = ChoiceSet(
        slate_id=f"slate-{number:05}",
        conversation_id=conversation or f"conversation-{number}",
        messages=(
            Message(role="system", content="You work for a shop."),
            Message(role="user", content=opening or f"Where is my parcel {number}?"),
        ),
        replies=(f"On its way, {number}.", f"Sorry! {number}", "Which order?", "No idea."),
        chosen=number % 4,
        annotator="ann",
        role="agent",
        decided_at=NOW - timedelta(minutes=100_000 - number),
    )
    return structs.replace(row, **changes)


def build(rows: Sequence[ChoiceSet], earlier: Splits | None = None, **more: object) -> Dataset:
    options: dict[str, object] = {"until": NOW, "roles": PEOPLE, "now": NOW, "earlier": earlier, **more}
    return build_dataset(Reader(rows), **options)  # type: ignore[arg-type]


def places(dataset: Dataset) -> dict[str, str]:
    return {row.slate_id: name for name in ("train", "validation", "test") for row in getattr(dataset, name)}


def test_eighty_ten_ten() -> None:
    version = build([pick(i) for i in range(1000)]).version
    assert version.counts == {"train": 800, "validation": 100, "test": 100}
    assert version.conversations == version.counts
    assert version.dropped == {}


@pytest.mark.parametrize(("picks", "held_out"), [(10, 1), (30, 3), (50, 5), (100, 10)])
def test_small_logs_have_their_share_held_out(picks: int, held_out: int) -> None:
    version = build([pick(i) for i in range(picks)]).version
    assert version.counts["test"] == held_out
    assert version.counts["validation"] == held_out


@pytest.mark.parametrize(
    ("reason", "row"),
    [
        ("empty_prompt", pick(1, messages=())),
        ("empty_prompt", pick(1, messages=(Message(role="system", content="Be kind."),))),
        ("empty_prompt", pick(1, messages=(Message(role="user", content=" \n"),))),
        ("bad_choice", pick(1, chosen=4)),
        ("bad_choice", pick(1, chosen=-1)),
        ("empty_reply", pick(1, replies=("Yes.", " ", "No."), chosen=0)),
        ("no_alternative", pick(1, replies=("Yes.",), chosen=0)),
        ("no_alternative", pick(1, replies=("Yes.  Sir", "Yes. Sir"), chosen=0)),
        ("no_weight", pick(1, weight=0.0)),
        ("no_weight", pick(1, weight=float("nan"))),
        ("repeated", pick(2, slate_id="again", conversation_id="imported-again")),
    ],
)
def test_what_cannot_be_learned_from_is_dropped_with_a_reason(reason: str, row: ChoiceSet) -> None:
    dataset = build([pick(2), row])
    assert dataset.version.dropped == {reason: 1}
    assert sum(dataset.version.counts.values()) == 1


def test_two_annotators_may_decide_on_one_slate() -> None:
    dataset = build([pick(1), pick(1, annotator="bob", chosen=0), pick(1, annotator="cy")])
    assert sum(dataset.version.counts.values()) == 3
    assert dataset.version.annotators == 3
    assert len(set(places(dataset).values())) == 1


def test_whose_picks_count_and_until_when() -> None:
    rows = [*(pick(i) for i in range(20)), *(pick(i, role="model") for i in range(20, 50))]
    assert sum(build(rows).version.counts.values()) == 20
    assert not build(rows).version.simulated
    simulated = build(rows, roles=("agent", "model")).version
    assert sum(simulated.counts.values()) == 50
    assert simulated.simulated
    assert sum(build(rows, until=rows[10].decided_at).version.counts.values()) == 10


def test_copies_of_a_conversation_fall_on_one_side() -> None:
    openings = [f"My order number {i} is late" for i in range(40)]
    rows = [
        pick(i, opening=f"  {openings[i % 40].upper()} \n" if i % 3 else openings[i % 40]) for i in range(400)
    ]
    dataset = build(rows)
    side = defaultdict(set)
    for row in rows:
        side[" ".join(row.messages[1].content.casefold().split())].add(places(dataset)[row.slate_id])
    assert len(side) == 40
    assert all(len(sides) == 1 for sides in side.values())
    assert dataset.version.counts["test"] == pytest.approx(40, abs=10)


def test_one_dominant_conversation_goes_where_it_fits() -> None:
    rows = [pick(i, conversation="long") for i in range(60)] + [pick(i) for i in range(60, 100)]
    dataset = build(rows)
    assert dataset.version.counts == {"train": 80, "validation": 10, "test": 10}
    assert places(dataset)["slate-00000"] == "train"


def test_the_same_log_gives_the_same_id_in_any_order() -> None:
    rows = [pick(i) for i in range(60)]
    first = build(rows)
    random.Random(1).shuffle(rows)
    assert build(rows).version.id == first.version.id
    assert build(rows[:-1]).version.id != first.version.id
    assert build([*rows[:-1], structs.replace(rows[-1], chosen=(rows[-1].chosen + 1) % 4)]).version.id != (
        first.version.id
    )
    assert len(first.version.id) == 64


def test_the_seed_moves_the_split_but_only_of_new_conversations(tmp_path: Path) -> None:
    rows = [pick(i) for i in range(100)]
    first = build(rows, seed=1)
    assert places(build(rows, seed=2)) != places(first)
    earlier = save_splits(first, tmp_path)
    assert places(build(rows, earlier, seed=2)) == places(first)


conversations = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 20)), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(nights=st.lists(conversations, min_size=1, max_size=4), seed=st.integers(0, 3))
def test_nothing_wanders_and_nothing_leaks_over_any_nights(
    nights: list[list[tuple[int, int]]], seed: int
) -> None:
    # Conversations whose first message changes (a client that sends a sliding window) bridge clusters.
    rows: list[ChoiceSet] = []
    splits, before = Splits(), dict[str, str]()
    for night in nights:
        rows += [
            pick(len(rows) + i, conversation=f"c{c}", opening=f"question {o}")
            for i, (c, o) in enumerate(night)
        ]
        dataset = build(rows, splits, seed=seed)
        now = places(dataset)
        kept = [row for row in rows if row.slate_id in now]
        assert sum(dataset.version.dropped.values()) == len(rows) - len(kept)
        assert {slate: now[slate] for slate in before} == before
        for key in (lambda row: row.conversation_id, lambda row: row.messages[1].content):
            side = defaultdict(set)
            for row in kept:
                side[key(row)].add(now[row.slate_id])
            assert all(len(sides) == 1 for sides in side.values())

        by_split = {name: getattr(dataset, name) for name in ("train", "validation", "test")}
        splits, before = remember(splits, by_split), now


def test_a_conversation_that_would_join_both_sides_is_left_out(tmp_path: Path) -> None:
    rows = [pick(i) for i in range(20)]
    first = build(rows)
    here, there = first.train[0], first.test[0]
    earlier = save_splits(first, tmp_path)
    bridge = pick(50, conversation=here.conversation_id, opening=there.messages[1].content)
    dataset = build([*rows, bridge], earlier)
    assert dataset.version.dropped == {"bridges_splits": 1}
    assert dataset.version.id == first.version.id


def test_clusters_hang_together_by_conversation_and_by_opening() -> None:
    rows = [
        pick(1, conversation="a", opening="x"),
        pick(2, conversation="b", opening="X "),
        pick(3, conversation="b", opening="y"),
        pick(4, conversation="c", opening="z"),
    ]
    one, two, three, four = cluster_names(rows)
    assert one == two == three != four


def test_stored_rows_come_back_and_are_verified(tmp_path: Path) -> None:
    dataset = build([pick(i, opening=f"订单 {i} 在哪里？“快”") for i in range(30)])
    folder = save_dataset(dataset, tmp_path)
    assert folder == tmp_path / dataset.version.id
    assert sorted(path.name for path in folder.iterdir()) == [
        "manifest.json", "test.jsonl", "train.jsonl", "validation.jsonl"
    ]  # fmt: skip
    assert load_dataset(dataset.version.id, tmp_path) == dataset
    assert save_dataset(dataset, tmp_path) == folder


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "train.jsonl").write_bytes((folder / "train.jsonl").read_bytes()[:-40]),
        lambda folder: (folder / "test.jsonl").write_bytes(b""),
        lambda folder: (folder / "test.jsonl").write_bytes(b"\xff\xfe"),
        lambda folder: (folder / "test.jsonl").rename(folder / "train.jsonl"),
        lambda folder: (folder / "manifest.json").unlink(),
        lambda folder: (folder / "manifest.json").write_text("{}"),
        lambda folder: (folder / "train.jsonl").write_text(
            (folder / "train.jsonl").read_text().replace("No idea.", "No idea!", 1)
        ),
    ],
)
def test_a_damaged_dataset_is_refused(tmp_path: Path, damage: object) -> None:
    dataset = build([pick(i) for i in range(30)])
    damage(save_dataset(dataset, tmp_path))  # type: ignore[operator]
    with pytest.raises(DatasetCorrupt, match=dataset.version.id):
        load_dataset(dataset.version.id, tmp_path)


def test_an_unknown_dataset(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFound, match="nothing-here"):
        load_dataset("nothing-here", tmp_path)


def test_lost_places_are_won_back_from_the_stored_datasets(tmp_path: Path) -> None:
    dataset = build([pick(i) for i in range(50)])
    save_dataset(dataset, tmp_path)
    kept = save_splits(dataset, tmp_path)
    (tmp_path / "splits.json").unlink()
    assert load_splits(tmp_path) == kept
    (tmp_path / "splits.json").write_text("{half")
    with pytest.raises(StateCorrupt, match=r"splits\.json.*delete it"):
        load_splits(tmp_path)


def test_the_places_hold_nobodys_words(tmp_path: Path) -> None:
    save_splits(build([pick(i, conversation=f"private-{i}") for i in range(5)]), tmp_path)
    kept = (tmp_path / "splits.json").read_text()
    assert "parcel" not in kept
    assert "private" not in kept


def test_a_disk_that_refuses_leaves_nothing_half_written(tmp_path: Path) -> None:
    dataset = build([pick(i) for i in range(30)])
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(OSError, match="file"):
        save_dataset(dataset, blocked)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_which_picks_a_dataset_holds_stays_known_when_it_is_deleted(tmp_path: Path) -> None:
    dataset = build([pick(i) for i in range(40)])
    before = {(split, slate) for slate, split in places(dataset).items()}
    path = save_lineage(dataset, tmp_path)
    found = list(picks_of(tmp_path, dataset.version.id))
    assert {(split, slate) for split, slate, _ in found} == before
    assert {(slate, at) for _, slate, at in found} == {
        (row.slate_id, row.decided_at) for row in (*dataset.train, *dataset.validation, *dataset.test)
    }
    assert b"ann" not in path.read_bytes()
    assert b"parcel" not in path.read_bytes()
