"""Trainings that fail, with faults that really happen: what is done about them, and that it is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from picktune.settings import Settings
from picktune_adapters.registry import Registry
from picktune_retrain import answers, divergence, forward, nights
from picktune_retrain.answers import Attempt, is_out_of_memory, next_answer, sentence, state_of
from picktune_retrain.errors import TrainingDiverged, TrainingOutOfMemory
from picktune_retrain.gate import Gate
from picktune_retrain.nightly import nightly
from picktune_retrain.plan import Plan, Quiet, Summary
from picktune_retrain.records import Answer, Recipe, Step
from picktune_retrain.telling import _details

RECIPE = Recipe(learning_rate=3e-3, epochs=1)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Killed(BaseException):
    """Ends a night as a kill does: nothing in the house catches it."""


class Notes(Quiet):
    """Keeps what is noted; dies before one step of the training."""

    def __init__(self, die_after: int | None = None) -> None:
        self.notes: list[str] = []
        self.steps: list[Step] = []
        self._die_after = die_after

    def note(self, text: str) -> None:
        self.notes.append(text)

    def step(self, step: Step) -> None:
        self.steps.append(step)
        if step.step == self._die_after:
            raise Killed


def run(home: Path, model: Path, watch: Quiet | None = None, recipe: Recipe = RECIPE) -> Summary:
    settings = Settings(home=str(home), model=str(model), roles=("agent",))
    return nightly(settings, Plan(recipe=recipe, gate=Gate(max_kl=1000.0), replies=0), watch=watch)


def only_night(home: Path) -> nights.Night:
    (night,) = nights.all_nights(home)
    return night


def adapter_hash(home: Path) -> str:
    (version,) = Registry(home / "registry").versions()
    return version.sha256


def nan_at_step_fifteen(monkeypatch: pytest.MonkeyPatch, above: float) -> None:
    """Let the loss of a step be no number above that learning rate: no tiny model is so delicate."""
    real = divergence.why

    def why(steps: list[Step], last: Step, recipe: Recipe) -> str | None:
        bad = last.step == 15 and last.learning_rate > above
        return real(steps, structs.replace(last, loss=float("nan")) if bad else last, recipe)

    monkeypatch.setattr(divergence, "why", why)


def test_a_training_that_runs_away_goes_back_and_on_at_a_slower_pace(
    tiny_model: Path, tmp_path: Path, fill_log: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(learning_rate=3e-3, epochs=2)
    nan_at_step_fifteen(monkeypatch, 1e-3)
    watch = Notes()
    home = fill_log(tmp_path / "home")
    ended = run(home, tiny_model, watch, recipe)
    assert ended.exit_code == Summary.ADMITTED, ended
    (answer,) = ended.answers
    assert (answer.fault, answer.did, answer.value, answer.step) == ("diverged", "slower", 1.5e-3, 12)
    assert answer.why.startswith("step 15 of 24: the loss is nan")
    assert only_night(home).manifest.answers == ended.answers
    assert any("went on from step 12 at a learning rate of 0.0015" in note for note in watch.notes)
    assert [one.step for one in watch.steps if one.split == "train"] == [*range(1, 15), *range(13, 25)]
    report = Path(ended.report or "").read_text("utf-8")
    assert "the training ran away" in report
    assert "训练发散" in report
    assert _details(ended)["answers"] == ended.answers
    # It is the same one, wherever it was killed: also right after it has gone back.
    again = fill_log(tmp_path / "again")
    for place in (14, 15):
        with pytest.raises(Killed):
            run(again, tiny_model, Notes(place), recipe)
    assert run(again, tiny_model, None, recipe).answers == ended.answers
    assert adapter_hash(again) == adapter_hash(home)


def test_a_training_that_runs_away_at_any_pace_is_given_up_with_a_reason(
    tiny_model: Path, tmp_path: Path, fill_log: Callable[..., Path]
) -> None:
    home = fill_log(tmp_path / "home", taste=False)
    with pytest.raises(
        TrainingDiverged, match=r"at a learning rate of 1, also at 0\.5 and 0\.25; lower"
    ) as gave_up:
        run(home, tiny_model, None, Recipe(learning_rate=1.0, beta=5.0, epochs=2))
    assert [one.value for one in gave_up.value.answers] == [0.5, 0.25]
    night = only_night(home).manifest
    assert night.answers == gave_up.value.answers
    assert (night.failures, night.attempt) == (1, None)
    assert Registry(home / "registry").versions() == []


def out_of_memory_beyond(monkeypatch: pytest.MonkeyPatch, sets: int) -> None:
    """Let torch's own allocator fail, by what nobody has, where more than so many sets are in a row."""
    import torch

    real = forward.policy_log_probs

    def log_probs(model: Any, row: Any, **options: Any) -> Any:
        if options.get("grad", True) and len(row) > sets:
            torch.empty(1 << 50)
        return real(model, row, **options)

    monkeypatch.setattr(forward, "policy_log_probs", log_probs)


def test_out_of_memory_is_answered_with_a_smaller_batch(
    tiny_model: Path, tmp_path: Path, fill_log: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = fill_log(tmp_path / "plain")
    run(plain, tiny_model, None, structs.replace(RECIPE, batch=2))
    home = fill_log(tmp_path / "home")
    out_of_memory_beyond(monkeypatch, 2)
    watch = Notes()
    ended = run(home, tiny_model, watch)
    assert ended.exit_code == Summary.ADMITTED, ended
    (answer,) = ended.answers
    assert (answer.fault, answer.did, answer.value) == ("out_of_memory", "smaller_batch", 2)
    assert any("memory did not suffice" in note and "batch of 2" in note for note in watch.notes)
    assert "the memory did not suffice" in Path(ended.report or "").read_text("utf-8").lower()
    # It is what it would have been if it had been asked to train so.
    assert adapter_hash(home) == adapter_hash(plain)


def test_out_of_memory_that_nothing_helps_against_is_given_up_with_a_reason(
    tiny_model: Path, tmp_path: Path, fill_log: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = fill_log(tmp_path / "home")
    monkeypatch.setattr(answers, "next_answer", lambda *a: next_answer(*a, can_quantise=False))
    out_of_memory_beyond(monkeypatch, 0)
    with pytest.raises(
        TrainingOutOfMemory, match=r"batch of 1 \(.*\); free memory.*picktune plan"
    ) as gave_up:
        run(home, tiny_model)
    assert [one.value for one in gave_up.value.answers] == [2, 1]
    assert only_night(home).manifest.failures == 1
    # There is memory again: it goes on with what it found out.
    monkeypatch.undo()
    ended = run(home, tiny_model)
    assert ended.exit_code in (Summary.ADMITTED, Summary.NOT_ADMITTED)
    assert len(ended.answers) == 2


def test_killed_twice_at_one_place_is_taken_for_a_lack_of_memory(
    tiny_model: Path, tmp_path: Path, fill_log: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("picktune_retrain.checkpoint.Keeper.due", lambda keeper: False)
    home = fill_log(tmp_path / "home")
    for _ in range(2):
        with pytest.raises(Killed):
            run(home, tiny_model, Notes(1))
    watch = Notes()
    ended = run(home, tiny_model, watch)
    (answer,) = ended.answers
    assert (answer.fault, answer.did, answer.value) == ("killed", "smaller_batch", 2)
    assert any("killed twice at the same place" in note for note in watch.notes)
    assert only_night(home).manifest.attempt is None


def test_kills_are_counted_only_where_nothing_was_won_and_the_machine_stayed_up(tmp_path: Path) -> None:
    def checkpoint(name: str) -> None:
        (tmp_path / name).mkdir()

    first = answers.begin(None, tmp_path)
    assert first.deaths == 0
    once = answers.begin(first, tmp_path)
    assert once.deaths == 1
    assert answers.begin(once, tmp_path).deaths == 2
    checkpoint("step-00000004")
    assert answers.begin(once, tmp_path).deaths == 1
    assert answers.begin(Attempt(boot="another boot", died_at="the start", deaths=1), tmp_path).deaths == 0


def test_what_is_tried_in_which_order(tmp_path: Path) -> None:
    recipe, tried = RECIPE, []
    while (answer := next_answer(recipe, "out_of_memory", "full", can_quantise=True)) is not None:
        tried.append(answer)
        recipe = answers.answered(RECIPE, tried)
    assert [(one.did, one.value) for one in tried] == [
        ("smaller_batch", 2), ("smaller_batch", 1), ("qlora", 0),
    ]  # fmt: skip
    assert (recipe.method, recipe.batch, recipe.rank) == ("qlora", 1, RECIPE.rank)
    assert sentence(tried[-1]) == "the memory did not suffice (full): began again with QLoRA"
    assert (
        next_answer(structs.replace(RECIPE, batch=1, method="freeze"), "killed", "x", can_quantise=True)
        is None
    )
    slower = Answer(fault="diverged", did="slower", value=0.1, why="x")
    assert state_of(tmp_path, [slower]).name == "state"
    assert state_of(tmp_path, [*tried, slower]).name == "state-4"


def test_what_is_a_lack_of_memory() -> None:
    import torch

    with pytest.raises(RuntimeError) as refused:
        torch.empty(1 << 50)
    assert is_out_of_memory(refused.value)
    with pytest.raises(MemoryError) as much:
        bytearray(1 << 60)
    assert is_out_of_memory(much.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
    assert not is_out_of_memory(FileNotFoundError("not enough"))


def steps(*losses: float, norm: float = 1.0) -> list[Step]:
    return [
        Step(step=i + 1, steps=99, epoch=0, split="train", loss=loss, accuracy=0.5, norm=norm)
        for i, loss in enumerate(losses)
    ]


def test_when_a_training_has_run_away() -> None:
    *well, last = steps(*[1.4] * 40)
    assert divergence.why(well, last, RECIPE) is None
    for wrong in ({"loss": float("nan")}, {"norm": float("inf")}):
        assert "norm of its gradient" in (divergence.why(well, structs.replace(last, **wrong), RECIPE) or "")
    # One bad batch is none; twenty are.
    assert divergence.why(well, structs.replace(last, loss=50.0), RECIPE) is None
    *bad, last = steps(*[1.4] * 10, *[7.0] * 20)
    assert "began at 1.4" in (divergence.why(bad, last, RECIPE) or "")
    assert divergence.why(steps(*[1.4] * 20, *[7.0] * 9), last, RECIPE) is None
    assert divergence.why([*bad, *steps(*[1.4] * 3)], structs.replace(last, loss=1.4), RECIPE) is None
    *wild, last = [
        *steps(*[1.4] * 10),
        *(structs.replace(one, step=one.step + 10) for one in steps(*[1.4] * 10, norm=1e4)),
    ]
    assert "norm of the gradient is 1e+04" in (divergence.why(wild, last, RECIPE) or "")
    assert divergence.is_place_to_return_to(steps(*[1.4] * 25), 99)
    assert not divergence.is_place_to_return_to(steps(*[1.4] * 20, *[6.0] * 5), 99)
    assert not divergence.is_place_to_return_to(steps(*[1.4] * 24), 99)


def test_the_command_says_what_was_tried(
    tiny_model: Path, tmp_path: Path, fill_log: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner
    from picktune_retrain.cli import nightly as command

    home = fill_log(tmp_path / "home", taste=False)
    options = ("--learning-rate", "1", "--beta", "5", "--epochs", "2", "--role", "agent", "--json")
    result = CliRunner().invoke(command, ["--home", str(home), "--model", str(tiny_model), *options])
    assert result.exit_code == 1
    assert "failed: the training ran away" in result.stderr
    said = json.loads(result.stdout.splitlines()[-1])
    assert [one["did"] for one in said["answers"]] == ["slower", "slower"]
