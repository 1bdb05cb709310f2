"""The curves of a night, read back as TensorBoard reads them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from picktune.errors import InvalidInput
from picktune.settings import Settings
from picktune_retrain.cli import nightly as command
from picktune_retrain.curves import Curves, check
from picktune_retrain.gate import Gate
from picktune_retrain.nightly import nightly
from picktune_retrain.plan import Plan, Quiet
from picktune_retrain.records import Recipe, Step


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Killed(BaseException):
    """Ends a night as a kill does."""


class Steps(Quiet):
    """Keeps the last record of each step and split; dies after one of them."""

    def __init__(self, die_after: int | None = None) -> None:
        self.made: dict[tuple[str, int], Step] = {}
        self._die_after = die_after

    def step(self, step: Step) -> None:
        self.made[step.split, step.step] = step
        if step.step == self._die_after:
            raise Killed


def read(folder: Path) -> dict[str, dict[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder)).Reload()
    return {tag: {one.step: one.value for one in found.Scalars(tag)} for tag in found.Tags()["scalars"]}


def step(number: int, loss: float) -> Step:
    return Step(
        step=number,
        steps=9,
        epoch=0.1,
        split="train",
        loss=loss,
        accuracy=None,
        learning_rate=0.1,
        seconds=0.1,
    )


def test_the_curves_of_a_night_are_those_of_its_training_also_after_a_kill(
    tiny_model: Path, tmp_path: Path, fill_log: Callable[..., Path]
) -> None:
    home, folder = fill_log(tmp_path / "home"), tmp_path / "curves"
    plan = Plan(
        recipe=Recipe(epochs=1, max_steps=8), gate=Gate(max_kl=99.0), replies=0, tensorboard=str(folder)
    )
    settings = Settings(home=str(home), model=str(tiny_model), roles=("agent",))
    with pytest.raises(Killed):
        nightly(settings, plan, watch=Steps(die_after=5))
    watch = Steps()
    ended = nightly(settings, plan, watch=watch)
    (night,) = folder.iterdir()
    assert night.name == ended.night
    curves = read(night)
    assert sorted(curves["loss/train"]) == list(range(1, 9))
    for split in ("train", "validation"):
        made = {number: one for (of, number), one in watch.made.items() if of == split}
        for number, one in made.items():
            assert curves[f"loss/{split}"][number] == pytest.approx(one.loss, rel=1e-5)
            assert curves[f"accuracy/{split}"][number] == pytest.approx(one.accuracy, rel=1e-5)
    last = watch.made["train", 8]
    assert curves["learning_rate"][8] == pytest.approx(last.learning_rate, rel=1e-5)
    assert curves["gradient_norm"][8] == pytest.approx(last.norm, rel=1e-5)


def test_steps_that_are_made_again_take_the_place_of_those_before(tmp_path: Path) -> None:
    with Curves(tmp_path / "run", pytest.fail) as curves:
        for number, loss in ((1, 5.0), (2, 4.0), (3, 90.0), (2, 3.0)):
            curves.step(step(number, loss))
    assert read(tmp_path / "run")["loss/train"] == {1: 5.0, 2: 3.0}


def test_curves_that_cannot_be_written_are_a_note_and_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    notes: list[str] = []
    with Curves(tmp_path / "file" / "run", notes.append) as curves:
        curves.step(step(1, 5.0))
        curves.step(step(2, 5.0))
    (note,) = notes
    assert "file/run" in note
    assert "goes on without" in note
    with pytest.raises(InvalidInput, match="is a file; name a folder"):
        check(str(tmp_path / "file"))


def test_without_tensorboard_the_command_that_installs_it_is_said(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., Any] = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "tensorboard" else real(name, *more)
    )
    options = ["--home", str(tmp_path), "--model", str(tiny_model), "--tensorboard", str(tmp_path / "curves")]
    ended = CliRunner().invoke(command, options)
    assert ended.exit_code == 1
    assert "pip install 'picktune[tensorboard]'" in ended.stderr
    assert list(tmp_path.iterdir()) == []
