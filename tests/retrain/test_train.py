"""Training on choices: it learns, says how it went, and ends the same however often it was interrupted."""

from __future__ import annotations

import hashlib
import math
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from picktune.records import ChoiceSet, Message
from picktune_retrain.choice import score
from picktune_retrain.errors import (
    NothingToTrain,
    StateCorrupt,
    TrainingDiverged,
    TrainingInterrupted,
    TrainingStateMismatch,
)
from picktune_retrain.records import Recipe, Step
from picktune_retrain.train import train

NOW = datetime(2026, 11, 24, tzinfo=UTC)
RECIPE = Recipe(dtype="float32", rank=4, learning_rate=5e-3, batch=3, epochs=3, lam=0.0)
OTHERS = ("Wait.", "No.", "Call us.", "See above.", "Later.", "Hm.")


def choice_sets(count: int, start: int = 0) -> list[ChoiceSet]:
    """Somebody who always picks the reply that apologises, wherever it stands."""
    sets = []
    for i in range(start, start + count):
        rng = random.Random(i)
        replies = [rng.choice(("Sorry! Which order?", "Sorry, which one?")), *rng.sample(OTHERS, 3)]
        rng.shuffle(replies)
        sets.append(
            ChoiceSet(
                slate_id=f"s{i}",
                conversation_id=f"c{i}",
                messages=(Message(role="user", content=f"Where is parcel {i}?"),),
                replies=tuple(replies),
                chosen=next(j for j, reply in enumerate(replies) if reply.startswith("Sorry")),
                annotator="a",
                role="agent",
                decided_at=NOW,
            )
        )
    return sets


def run(base: Path, folder: Path, recipe: Recipe = RECIPE, sets: int = 12, **options: Any) -> Any:
    return train(
        choice_sets(sets), options.pop("validation", ()), dataset_id="d1", base_model=base, recipe=recipe,
        folder=folder, now=NOW, **options,
    )  # fmt: skip


def adapter_hash(folder: Path) -> str:
    return hashlib.sha256((folder / "adapter_model.safetensors").read_bytes()).hexdigest()


def test_looking_more_often_changes_nothing_else(tiny_model: Path, tmp_path: Path) -> None:
    held_out = choice_sets(3, 100)
    run(tiny_model, tmp_path / "seldom", validation=held_out)
    made = run(tiny_model, tmp_path / "often", validation=held_out, check_every=3)
    checks = [step.step for step in made.steps if step.split == "validation"]
    assert checks == [3, 4, 6, 8, 9, 12]
    assert adapter_hash(tmp_path / "often") == adapter_hash(tmp_path / "seldom")


def test_it_learns_a_taste_that_holds_on_unseen_sets(tiny_model: Path, tmp_path: Path) -> None:
    seen: list[Step] = []
    recipe = structs.replace(RECIPE, epochs=6)
    made = run(
        tiny_model, tmp_path / "v1", recipe, sets=24, validation=choice_sets(6, 100), progress=seen.append
    )
    assert tuple(seen) == made.steps
    steps = [step for step in made.steps if step.split == "train"]
    validations = [step for step in made.steps if step.split == "validation"]
    assert [step.step for step in steps] == list(range(1, 49))
    assert [(v.step, v.epoch) for v in validations] == [(8 * n, float(n)) for n in range(1, 7)]
    assert steps[0].loss == pytest.approx(math.log(4))
    assert steps[0].accuracy == 0.25  # four equal scores: the hit is shared
    assert validations[-1].loss < 0.5
    assert validations[-1].accuracy == 1.0
    assert max(step.learning_rate for step in steps) == pytest.approx(5e-3)
    assert steps[-1].learning_rate < 1e-4
    assert (made.dataset_id, made.base_model, made.started_at) == ("d1", str(tiny_model), NOW)

    unseen = choice_sets(10, 200)
    for one, scores in zip(
        unseen, score(unseen, base_model=tiny_model, adapter=tmp_path / "v1", recipe=recipe), strict=True
    ):
        rewards = [tuned - base for tuned, base in zip(scores.adapter, scores.base, strict=True)]
        assert rewards.index(max(rewards)) == one.chosen


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_the_seed_decides_everything(tiny_model: Path, tmp_path: Path, dropout: float) -> None:
    recipe = structs.replace(RECIPE, epochs=1, dropout=dropout)
    hashes = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(tiny_model, tmp_path / name, structs.replace(recipe, seed=seed), sets=6)
        hashes.append(adapter_hash(tmp_path / name))
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_stopped_run_goes_on_to_the_same_adapter(tiny_model: Path, tmp_path: Path) -> None:
    whole = run(tiny_model, tmp_path / "whole")
    steps = 0

    def after(limit: int) -> Callable[[], bool]:
        def stop() -> bool:
            nonlocal steps
            return steps >= limit

        return stop

    def count(step: Step) -> None:
        nonlocal steps
        steps += 1

    for limit in (5, 9):
        with pytest.raises(TrainingInterrupted, match=f"step {limit} of 12"):
            run(
                tiny_model,
                tmp_path / "parts",
                state=tmp_path / "state",
                progress=count,
                should_stop=after(limit),
            )
        assert not (tmp_path / "parts").exists()
    parts = run(tiny_model, tmp_path / "parts", state=tmp_path / "state", progress=count)
    assert steps == 12  # no step was done twice
    assert adapter_hash(tmp_path / "parts") == adapter_hash(tmp_path / "whole")
    assert [step.loss for step in parts.steps] == [step.loss for step in whole.steps]
    assert parts.seconds > 0

    # A finished run that is asked for again does no step, and writes the same.
    again = run(tiny_model, tmp_path / "again", state=tmp_path / "state", progress=count)
    assert steps == 12
    assert (again.id, again.steps) == (parts.id, parts.steps)
    assert adapter_hash(tmp_path / "again") == adapter_hash(tmp_path / "whole")


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {folder!r})
from test_train import RECIPE, run
run(Path({base!r}), Path({out!r}), sets=12, state=Path({state!r}))
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_adapter(tiny_model: Path, tmp_path: Path) -> None:
    run(tiny_model, tmp_path / "whole")
    state = tmp_path / "state"
    code = KILLED.format(
        folder=str(Path(__file__).parent), base=str(tiny_model), out=str(tmp_path / "parts"), state=str(state)
    )
    kills = 0
    for wanted in (0, 3, 7):
        process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 240
        while process.poll() is None and time.monotonic() < deadline:
            if any(int(path.name[5:]) >= wanted for path in state.glob("step-*")):
                process.send_signal(signal.SIGKILL)
                kills += process.wait() == -signal.SIGKILL
                break
            time.sleep(0.002)
        process.wait()
    assert kills  # on a fast machine a run may end before it is killed, but not all of them
    made = run(tiny_model, tmp_path / "parts", state=state)
    assert adapter_hash(tmp_path / "parts") == adapter_hash(tmp_path / "whole")
    assert [step.step for step in made.steps] == list(range(1, 13))
    assert len(list(state.glob("step-*"))) == 1
    assert not [path for path in state.rglob("*") if path.suffix in (".pt", ".bin", ".pkl")]


def test_a_state_of_another_run_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    run(tiny_model, tmp_path / "v1", sets=6, state=tmp_path / "state")
    for recipe, sets in ((structs.replace(RECIPE, beta=0.5), 6), (RECIPE, 5)):
        with pytest.raises(TrainingStateMismatch, match="delete the state folder"):
            run(tiny_model, tmp_path / "v2", recipe, sets=sets, state=tmp_path / "state")
    assert not (tmp_path / "v2").exists()


@pytest.mark.parametrize("file", ["state.json", "adapter.safetensors", "optimizer.safetensors"])
def test_a_corrupt_state_is_named(tiny_model: Path, tmp_path: Path, file: str) -> None:
    run(tiny_model, tmp_path / "v1", sets=3, state=tmp_path / "state")
    (checkpoint,) = (tmp_path / "state").glob("step-*")
    (checkpoint / file).write_bytes(b"\0garbage")
    with pytest.raises(StateCorrupt, match="delete the state folder"):
        run(tiny_model, tmp_path / "v2", sets=3, state=tmp_path / "state")


def test_a_loss_that_is_no_number_ends_the_run_without_an_adapter(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match="lower the recipe's learning_rate"):
        run(
            tiny_model,
            tmp_path / "v1",
            structs.replace(RECIPE, learning_rate=1.0, max_grad_norm=1e38, beta=1e30),
        )
    assert not (tmp_path / "v1").exists()


def test_nothing_to_train_on_is_said(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(NothingToTrain, match="'d1'"):
        run(tiny_model, tmp_path / "v1", sets=0)


def test_what_was_cut_is_counted_and_a_failed_write_leaves_nothing(tiny_model: Path, tmp_path: Path) -> None:
    longest = [max(len(reply) + 1 for reply in one.replies) for one in choice_sets(3)]
    recipe = structs.replace(RECIPE, epochs=1, max_prompt=16, max_reply=max(longest) - 1)
    made = run(tiny_model, tmp_path / "v1", recipe, sets=3)
    assert made.too_long == longest.count(max(longest)) < 3
    assert made.truncated == 3 - made.too_long
    with pytest.raises(NothingToTrain, match=r"all 3 rows .* --max-reply"):
        run(tiny_model, tmp_path / "v0", structs.replace(recipe, max_reply=1), sets=3)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        run(tiny_model, tmp_path / "file" / "v1", recipe, sets=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "v1"]


@pytest.mark.model
@pytest.mark.slow
def test_the_real_model_learns_a_taste_in_a_few_steps(tmp_path: Path) -> None:
    recipe = Recipe(batch=2, epochs=1)
    made = train(
        choice_sets(16), choice_sets(4, 100), dataset_id="d1", base_model=None, recipe=recipe,
        folder=tmp_path / "v1", now=NOW,
    )  # fmt: skip
    assert made.steps[0].accuracy == 0.25
    assert made.steps[0].loss > math.log(4)  # the picked reply's own likelihood is in it
    assert made.steps[-1].split == "validation"
    assert made.steps[-1].accuracy == 1.0
