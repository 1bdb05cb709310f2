"""Training with each objective: it learns the taste, and ends the same however often it was interrupted."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from picktune.records import ChoiceSet, Message
from picktune_retrain.choice import score
from picktune_retrain.errors import NothingToTrain, TrainingInterrupted, TrainingStateMismatch
from picktune_retrain.evaluate import evaluate
from picktune_retrain.records import Extra, Labelled, Recipe, Step, Tie, Written
from picktune_retrain.train import train

NOW = datetime(2026, 11, 24, tzinfo=UTC)
RECIPE = Recipe(dtype="float32", rank=4, learning_rate=5e-3, batch=4, epochs=4, lam=0.0)
MIXED = structs.replace(
    RECIPE, objective="choice=1,dpo=0.5,kto=0.5,sft=0.1", edits=True, ties="even", epochs=1
)
OTHERS = ("Wait.", "No.", "Call us.", "See above.", "Later.", "Hm.")
SORRY = ("Sorry! Which order?", "Sorry, which one?")


def choice_sets(count: int, start: int = 0) -> list[ChoiceSet]:
    """Somebody who always picks the reply that apologises, wherever it stands."""
    sets = []
    for i in range(start, start + count):
        rng = random.Random(i)
        replies = [rng.choice(SORRY), *rng.sample(OTHERS, 3)]
        rng.shuffle(replies)
        sets.append(
            ChoiceSet(
                slate_id=f"s{i}",
                conversation_id=f"c{i}",
                messages=(Message(role="user", content=f"Where is parcel {i}?"),),
                replies=tuple(replies),
                chosen=next(j for j, reply in enumerate(replies) if reply in SORRY),
                annotator="a",
                role="agent",
                tags=("rare",) if i % 4 == 0 else ("often",),
                decided_at=NOW,
            )
        )
    return sets


def adapter_hash(folder: Path) -> str:
    return hashlib.sha256((folder / "adapter_model.safetensors").read_bytes()).hexdigest()


def extras(count: int) -> list[Extra]:
    """Somebody who likes apologies, writes them, and finds two replies that do not apologise alike."""
    rows: list[Extra] = []
    for i in range(count):
        rng = random.Random(f"extra:{i}")
        common: dict[str, Any] = {
            "slate_id": f"x{i}",
            "conversation_id": f"x{i}",
            "messages": (Message(role="user", content=f"Where is order {i}?"),),
            "annotator": "a",
            "role": "agent",
            "decided_at": NOW,
        }
        sorry = rng.choice(SORRY)
        rows.append(Labelled(reply=sorry, desirable=True, source="thumb", **common))
        rows.append(Labelled(reply=rng.choice(OTHERS), desirable=False, source="none_good", **common))
        rows.append(Written(completion=sorry, shown=tuple(rng.sample(OTHERS, 2)), **common))
        rows.append(Tie(replies=tuple(rng.sample(OTHERS, 2)), **common))
    return rows


def run(
    base: Path, folder: Path, recipe: Recipe = MIXED, sets: int = 8, others: int = 6, **options: Any
) -> Any:
    return train(
        choice_sets(sets), options.pop("validation", ()), extras=extras(others), dataset_id="d1",
        base_model=base, recipe=recipe, folder=folder, now=NOW, **options,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("objective", "fields", "right"),
    [
        ("dpo", {}, 1.0),
        ("dpo", {"pairs": "one"}, 1.0),
        ("kto", {}, 0.8),
        ("sft", {}, 0.8),
        ("choice", {"length_normalised": True, "beta": 3.0}, 1.0),
        ("choice=1,sft=0.2", {"edits": True, "balance": "tag"}, 1.0),
    ],
)
def test_each_objective_learns_the_taste_from_its_own_rows(
    tiny_model: Path, tmp_path: Path, objective: str, fields: dict[str, Any], right: float
) -> None:
    recipe = structs.replace(RECIPE, objective=objective, **fields)
    made = run(tiny_model, tmp_path / "v1", recipe, 16, 16)
    steps = [step for step in made.steps if step.split == "train"]
    assert steps[-1].loss < steps[0].loss
    assert set(made.rows) == {part.partition("=")[0] for part in objective.split(",")} - (
        {"choice"} if objective == "choice" else set()
    )
    unseen = choice_sets(12, 300)
    scores = score(unseen, base_model=tiny_model, adapter=tmp_path / "v1", recipe=recipe)
    judged = evaluate(unseen, scores, beta=recipe.beta, a_token=recipe.length_normalised)
    assert judged.adapter.accuracy >= right > 2 * judged.chance.accuracy


def test_a_mixture_says_what_each_part_came_to(tiny_model: Path, tmp_path: Path) -> None:
    made = run(tiny_model, tmp_path / "v1", validation=choice_sets(3, 100))
    # 8 picks, 6 edits and 6 ties are sets; a tie has no pair.
    assert made.rows == {"choice": 20, "dpo": 14, "kto": 12, "sft": 6}
    whole = next(step for step in made.steps if set(step.parts) == {"choice", "dpo", "kto", "sft"})
    weights = {"choice": 1.0, "dpo": 0.5, "kto": 0.5, "sft": 0.1}
    assert whole.loss == pytest.approx(sum(weights[name] * part for name, part in whole.parts.items()))
    assert made.steps[-1].split == "validation"
    assert made.steps[-1].parts == {}
    assert made.steps[-1].accuracy is not None


def test_demonstrations_alone_have_no_accuracy(tiny_model: Path, tmp_path: Path) -> None:
    recipe = structs.replace(RECIPE, objective="sft", epochs=1)
    made = run(tiny_model, tmp_path / "v1", recipe, sets=0, others=3)
    assert made.steps[0].accuracy is None
    assert made.rows == {"sft": 3}


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_stopped_run_goes_on_to_the_same_adapter(tiny_model: Path, tmp_path: Path, dropout: float) -> None:
    recipe = structs.replace(MIXED, dropout=dropout)
    run(tiny_model, tmp_path / "whole", recipe)
    seen: list[Step] = []
    with pytest.raises(TrainingInterrupted):
        run(
            tiny_model, tmp_path / "parts", recipe, state=tmp_path / "state",
            progress=seen.append, should_stop=lambda: len(seen) >= 2,
        )  # fmt: skip
    run(tiny_model, tmp_path / "parts", recipe, state=tmp_path / "state", progress=seen.append)
    assert [step.step for step in seen] == list(range(1, seen[-1].steps + 1))
    assert adapter_hash(tmp_path / "parts") == adapter_hash(tmp_path / "whole")


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {folder!r})
from test_objective_runs import run, structs, MIXED
run(Path({base!r}), Path({out!r}), structs.replace(MIXED, epochs=3), state=Path({state!r}))
"""


@pytest.mark.slow
def test_a_killed_mixture_goes_on_to_the_same_adapter(tiny_model: Path, tmp_path: Path) -> None:
    recipe, state = structs.replace(MIXED, epochs=3), tmp_path / "state"
    run(tiny_model, tmp_path / "whole", recipe)
    code = KILLED.format(
        folder=str(Path(__file__).parent), base=str(tiny_model), out=str(tmp_path / "parts"), state=str(state)
    )
    kills = 0
    for wanted in (0, 4):
        process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if any(int(path.name[5:]) >= wanted for path in state.glob("step-*")):
                process.send_signal(signal.SIGKILL)
                kills += process.wait() == -signal.SIGKILL
                break
            time.sleep(0.002)
        process.wait()
    assert kills
    run(tiny_model, tmp_path / "parts", recipe, state=state)
    assert adapter_hash(tmp_path / "parts") == adapter_hash(tmp_path / "whole")


def test_other_rows_or_weights_are_another_run(tiny_model: Path, tmp_path: Path) -> None:
    recipe = structs.replace(RECIPE, objective="choice,kto", epochs=1)
    run(tiny_model, tmp_path / "v1", recipe, 4, 2, state=tmp_path / "state")
    for other, others in ((recipe, 3), (structs.replace(recipe, objective="choice,kto=0.5"), 2)):
        with pytest.raises(TrainingStateMismatch, match="delete the state folder"):
            run(tiny_model, tmp_path / "v2", other, 4, others, state=tmp_path / "state")


def test_nothing_for_the_objective_is_said(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(NothingToTrain, match="objective kto"):
        run(tiny_model, tmp_path / "v1", structs.replace(RECIPE, objective="kto"), 4, 0)
    with pytest.raises(NothingToTrain, match="objective choice"):
        run(tiny_model, tmp_path / "v1", structs.replace(RECIPE, annotator_weights={"a": 0.0}), 4, 0)
