"""Whole nights with other objectives: edits, ties and thumbs are frozen, learned from and told of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from picktune_adapters.registry import Registry
from picktune_retrain import nights
from picktune_retrain.cli import nightly
from picktune_retrain.dataset import load_dataset

MIXTURE = ("--objective", "sft=0.1,choice,kto=0.5", "--edits", "--ties", "even")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def home(tmp_path: Path, fill_log: Callable[..., Path], fill_others: Callable[..., Path]) -> Path:
    return fill_others(fill_log(tmp_path / "home", 60), 8)


def invoke(home: Path, model: Path, *arguments: object) -> Result:
    options = ("--home", home, "--model", model, "--role", "agent", "--epochs", 1, "--learning-rate", 0.003)
    return CliRunner().invoke(nightly, [str(argument) for argument in (*options, *arguments, "--json")])


def test_a_night_with_a_mixture(home: Path, tiny_model: Path) -> None:
    result = invoke(home, tiny_model, *MIXTURE)
    assert result.exit_code == 0, result.output
    *lines, last = result.stdout.splitlines()
    summary = json.loads(last)
    (night,) = nights.all_nights(home)
    assert night.manifest.recipe.objective == "choice=1,kto=0.5,sft=0.1"
    dataset = load_dataset(summary["dataset"]["id"], home / "datasets")
    assert set(dataset.version.extras) == {"labelled", "written", "tie"}
    told = "\n".join(lines)
    assert "replies that were liked or not" in told
    assert "(choice 1." in told or "(choice 0." in told
    page = Path(summary["report"]).read_text("utf-8")
    rows = json.loads((night.folder / "train.json").read_text())["rows"]
    assert min(rows.values()) > 0
    for words in ("choice=1,kto=0.5,sft=0.1", f"kto {rows['kto']}", "训练目标"):
        assert words in page, words
    assert Registry(home / "registry").versions()[0].dataset_id == dataset.version.id

    # The same mixture in another order is the same night: there is nothing new.
    again = invoke(home, tiny_model, "--objective", "kto=0.5,sft=0.1,choice=1", "--edits", "--ties", "even")
    assert again.exit_code == 10, again.output
    assert "nothing new" in again.output
    assert invoke(home, tiny_model, "--dry-run").exit_code == 0  # a choice night sees another dataset


def test_demonstrations_alone_make_a_report_without_accuracy_of_their_own(
    home: Path, tiny_model: Path
) -> None:
    result = invoke(home, tiny_model, "--objective", "sft")
    assert result.exit_code in (0, 20), result.output
    assert Path(json.loads(result.stdout.splitlines()[-1])["report"]).is_file()


def test_what_cannot_be_is_said_before_anything_is_written(
    tmp_path: Path, tiny_model: Path, fill_log: Callable[..., Path]
) -> None:
    home = fill_log(tmp_path / "home", 60)
    for options, code, words in (
        (("--objective", "ppo"), 1, "choice, dpo, kto, sft"),
        (("--objective", "kto", "--edits"), 1, "add choice or dpo"),
        (("--annotator-weight", "ann"), 1, "write it as ann=0.5"),
        (("--annotator-weight", "ann=x"), 1, "write it as ann=0.5"),
        (("--objective", "kto", "--dry-run"), 10, "learns from reactions, and the log has none"),
        (("--objective", "sft,kto", "--dry-run"), 10, "edited or written replies"),
    ):
        result = invoke(home, tiny_model, *options)
        assert (result.exit_code, words in result.output) == (code, True), result.output
    assert {path.name for path in home.iterdir()} <= {"picktune.db", "picktune.db-shm", "picktune.db-wal"}
