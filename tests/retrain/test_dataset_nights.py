"""Nights that choose their picks, refuse poor ones, and freeze a hold-out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from picktune.settings import Settings
from picktune_retrain import nights
from picktune_retrain.comparison import Comparison
from picktune_retrain.dataset import Standard, load_dataset, load_hold_out
from picktune_retrain.nightly import nightly
from picktune_retrain.plan import Plan, Quiet, Summary
from picktune_retrain.records import DataRecipe, Recipe

RECIPE = Recipe(rank=4, alpha=8, epochs=1, learning_rate=3e-3, max_prompt=30)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Notes(Quiet):
    """Keeps what a night notes."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def run(home: Path, model: Path, watch: Notes | None = None, **options: Any) -> Summary:
    settings = Settings(home=str(home), model=str(model), roles=("agent",))
    return nightly(settings, Plan(**{"recipe": RECIPE, "replies": 0, **options}), watch=watch)


def test_a_hold_out_is_frozen_and_judged_by_on_its_own(
    tiny_model: Path, tmp_path: Path, fill_log: Callable[..., Path]
) -> None:
    home, notes = fill_log(tmp_path / "home"), Notes()
    ended = run(home, tiny_model, notes, freeze_at=6)
    hold_out = load_hold_out(home / "datasets")
    assert hold_out is not None
    assert (hold_out.name, len(hold_out.rows)) == ("first", 6)
    assert "6 held-out picks are frozen for good as hold-out 'first'" in notes.said
    assert any("prompts have more than 30 tokens" in one for one in notes.said)
    (night,) = nights.all_nights(home)
    frozen = nights.read(night.folder / "compare.json", Comparison).frozen
    assert (frozen.name, frozen.sets, frozen.missing) == ("first", 6, 0)
    assert frozen.adapter.accuracy == ended.evaluation.adapter.accuracy  # type: ignore[union-attr]
    assert any("frozen hold-out first" in one for one in ended.decision.reasons)  # type: ignore[union-attr]
    report = Path(ended.report or "").read_text("utf-8")
    assert "Frozen hold-out first" in report
    assert "冻结留出集 first" in report

    # The next night asks for newer picks only: the hold-out is there, and counts as nothing new.
    fill_log(home, 40, start=60)
    since = datetime(2026, 11, 23, 20, 1, tzinfo=UTC)
    told = run(home, tiny_model, data=DataRecipe(since=since, replay=0.5), dry_run=True)
    assert told.dataset is not None
    assert (told.dataset.hold_out, told.dataset.frozen) == ("first", 6)
    assert told.dataset.replayed == pytest.approx(told.dataset.counts["train"] / 2, abs=1)
    assert {row.slate_id for row in load_dataset(night.manifest.dataset_id, home / "datasets").test} == {
        slate for slate, _, _ in hold_out.rows
    }


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"standard": Standard(most_one_place=0.1)}, "too poor to learn from: "),
        ({"standard": Standard(min_annotators=2)}, "1 annotator, and 2 are asked for; let others decide too"),
        (
            {"data": DataRecipe(longest_reply=5)},
            "60 more cannot be used: overlong 60; see picktune dataset why",
        ),
        ({"data": DataRecipe(tags=("vip",))}, "0 usable picks in the log (60 are not selected)"),
        ({"recipe": Recipe(objective="kto")}, "has none to train on"),
    ],
)
def test_too_poor_is_nothing_to_do(
    tiny_model: Path, tmp_path: Path, fill_log: Callable[..., Path], options: dict[str, Any], words: str
) -> None:
    home = fill_log(tmp_path / "home")
    ended = run(home, tiny_model, **options)
    assert ended.exit_code == Summary.NOTHING_TO_DO
    assert words in ended.message
    assert nights.all_nights(home) == []
    assert not (home / "datasets").exists()


def test_poor_picks_may_be_allowed(tiny_model: Path, tmp_path: Path, fill_log: Callable[..., Path]) -> None:
    home = fill_log(tmp_path / "home")
    ended = run(home, tiny_model, standard=Standard(min_annotators=2), allow_poor=True, dry_run=True)
    assert "would train on 48 picks" in ended.message
