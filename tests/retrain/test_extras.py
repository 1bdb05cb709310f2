"""What a dataset holds beside choice sets: read from a real log, split without leaks, frozen with it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from picktune.lineage import picks_of
from picktune.log import SQLiteLog, SQLiteLogReader
from picktune_retrain.dataset import (
    build_dataset,
    load_dataset,
    load_splits,
    save_dataset,
    save_lineage,
    save_splits,
)
from picktune_retrain.errors import DatasetCorrupt
from picktune_retrain.mixture import wanted
from picktune_retrain.records import Dataset, Labelled, Recipe, Scenario, Tie, Written

NOW = datetime(2026, 11, 25, tzinfo=UTC)
EVERYTHING = Recipe(objective="choice,kto,sft", ties="set")


@pytest.fixture(scope="module")
def home(
    tmp_path_factory: pytest.TempPathFactory,
    fill_log: Callable[..., Path],
    fill_others: Callable[..., Path],
) -> Path:
    return fill_others(fill_log(tmp_path_factory.mktemp("extras") / "home", 20), 10)


def build(home: Path, recipe: Recipe = EVERYTHING, **options: Any) -> Dataset:
    with SQLiteLogReader(home / "picktune.db") as reader:
        return build_dataset(reader, until=NOW, roles=("agent",), now=NOW, extras=wanted(recipe), **options)


def test_every_kind_is_read_as_what_it_is(home: Path) -> None:
    rows = [row for some in build(home).extras.values() for row in some]
    kinds = Counter(type(row) for row in rows)
    # Three of each "none good" and of each slate that a reply was written for, three thumbs.
    assert kinds == {Labelled: 90, Written: 20, Tie: 10}
    thumbs = [row for row in rows if isinstance(row, Labelled) and row.source == "thumb"]
    assert Counter(row.desirable for row in thumbs) == {True: 10, False: 20}
    refused = [row for row in rows if isinstance(row, Labelled) and row.source == "none_good"]
    assert {row.desirable for row in refused} == {False}
    edit = next(row for row in rows if isinstance(row, Written) and row.slate_id == "slate-edit-003")
    assert edit.completion == "Sorry! Which 3?"
    assert len(edit.shown) == 3
    assert (edit.tags, edit.annotator) == (("edit",), "ann")
    counted = build(home).version.extras
    assert counted == Counter(row.__struct_config__.tag for row in build(home).extras["train"])
    assert set(counted) == {"labelled", "written", "tie"}


def test_a_choice_night_is_named_and_split_as_if_there_were_none(home: Path, tmp_path: Path) -> None:
    plain, mixed = build(home, Recipe()), build(home)
    assert plain.extras == {}
    assert plain.version.extras == {}
    assert plain.version.id != mixed.version.id
    for split in ("train", "validation", "test"):
        assert getattr(plain, split) == getattr(mixed, split)
    folder = save_dataset(plain, tmp_path)
    assert not list(folder.glob("*.extras.jsonl"))


def test_only_what_an_objective_asks_for_is_kept(home: Path) -> None:
    for recipe, kinds in (
        (Recipe(objective="kto"), {Labelled}),
        (Recipe(objective="choice=1,sft=0.1"), {Written}),
        (Recipe(edits=True), {Written}),
        (Recipe(ties="even"), {Tie}),
        (Recipe(objective="dpo"), set()),
    ):
        assert {type(row) for some in build(home, recipe).extras.values() for row in some} == kinds, recipe


def test_extras_stay_on_the_side_of_their_conversation(home: Path, tmp_path: Path) -> None:
    first = build(home)
    save_splits(first, tmp_path)
    again = build(home, seed=9, earlier=load_splits(tmp_path))
    assert again.version.id == first.version.id
    sides: dict[str, set[str]] = {}
    for split in ("train", "validation", "test"):
        for row in (*getattr(first, split), *first.extras[split]):  # type: ignore[index]
            sides.setdefault(row.conversation_id, set()).add(split)
    assert all(len(found) == 1 for found in sides.values())
    assert {split for found in sides.values() for split in found} == {"train", "validation", "test"}


def test_they_come_back_and_a_changed_one_is_noticed(home: Path, tmp_path: Path) -> None:
    made = build(home)
    folder = save_dataset(made, tmp_path)
    assert load_dataset(made.version.id, tmp_path) == made
    path = folder / "train.extras.jsonl"
    path.write_text(path.read_text().replace('"desirable":false', '"desirable":true', 1))
    with pytest.raises(DatasetCorrupt, match="other rows"):
        load_dataset(made.version.id, tmp_path)
    path.unlink()
    with pytest.raises(DatasetCorrupt, match="other rows"):
        load_dataset(made.version.id, tmp_path)
    path.write_text('{"type":"unheard-of"}\n')
    with pytest.raises(DatasetCorrupt, match="cannot be read"):
        load_dataset(made.version.id, tmp_path)


def test_the_lineage_names_what_was_learned_from(home: Path, tmp_path: Path) -> None:
    made = build(home)
    save_lineage(made, tmp_path)
    lines = list(picks_of(tmp_path, made.version.id))
    slates = {slate for _, slate, _ in lines}
    assert {"slate-thumb-000", "slate-none_good-000", "slate-tie-000", "slate-0000"} <= slates
    assert len(lines) == len(set(lines))


def test_an_empty_log_has_none(tmp_path: Path, fill_log: Callable[..., Path]) -> None:
    home = fill_log(tmp_path / "home", 0)
    made = build(home, Recipe(objective="kto", balance="scenario"))
    assert made.extras == {}
    assert not [row for row in made.train if isinstance(row, Scenario)]


def test_what_nobody_agreed_to_is_left_out(
    tmp_path: Path, fill_log: Callable[..., Path], fill_others: Callable[..., Path]
) -> None:
    home = fill_others(fill_log(tmp_path / "home", 5), 3)
    kinds = ("edit", "written", "none_good", "tie", "thumb")

    async def refuse() -> None:
        async with SQLiteLog.open(home / "picktune.db") as log:
            for kind in kinds:
                await log.set_consent("conversation", f"conversation-{kind}-001", "log", NOW)

    before = {row.slate_id for some in build(home).extras.values() for row in some}
    asyncio.run(refuse())
    after = {row.slate_id for some in build(home).extras.values() for row in some}
    assert before - after == {f"slate-{kind}-001" for kind in kinds}
