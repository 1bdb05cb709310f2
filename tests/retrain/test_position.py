"""Offsets of places: fitted on what people picked among replies of one arm, and taken out of the training."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest
from picktune.log import SQLiteLog, SQLiteLogReader
from picktune.records import (
    Candidate,
    ChoiceSet,
    Decision,
    Exposure,
    Message,
    Pick,
    Slate,
    Turn,
)
from picktune.settings import Settings
from picktune_retrain.choice import score
from picktune_retrain.errors import StateCorrupt, TrainingInterrupted, TrainingStateMismatch
from picktune_retrain.nightly import nightly
from picktune_retrain.plan import Plan
from picktune_retrain.position import fit_offsets
from picktune_retrain.records import Recipe, TrainingRun
from picktune_retrain.train import train

NOW = datetime(2026, 11, 24, tzinfo=UTC)
SWAY = (1.2, 0.3, -0.5, -1.0)
GOOD = ("Sorry! Which order?", "Sorry, which one?")
OTHERS = ("Wait.", "No.", "Call us.", "See above.", "Later.", "Hm.")


def picks(values: Sequence[float], rng: random.Random) -> int:
    """One of them, as often as the softmax says."""
    return rng.choices(range(len(values)), [math.exp(value) for value in values])[0]


def decision(arms: Sequence[str], position: int | None, **changes: Any) -> Decision:
    fields: dict[str, Any] = {
        "slate_id": "s", "conversation_id": "c", "annotator": "a", "role": "agent", "verdict": "chosen",
        "picked": () if position is None else (arms[position],), "position": position,
        "arms": tuple(arms), "tuned": None, "model": None, "complete": True, "decided_at": NOW,
    }  # fmt: skip
    return Decision(**{**fields, **changes})


async def fill(path: Path, slates: int, *, better: float) -> None:
    """A log of slates of 2 + 2 in random order; the tuned replies are ``better`` by so many nats."""
    rng = random.Random(5)
    async with SQLiteLog.open(path) as log:
        for number in range(slates):
            at = NOW + timedelta(seconds=number)
            arms = ["base", "base", "tuned", "tuned"]
            candidates = tuple(
                Candidate(
                    id=f"{number}-{i}", arm=arm, kind="base" if arm == "base" else "challenger",
                    model=None if arm == "base" else "v1", text=f"{arm} {i} of {number}", position=i,
                    propensity=0.5, tokens=5, latency=0.1,
                )
                for i, arm in enumerate(arms)
            )  # fmt: skip
            slate = Slate(
                id=f"slate-{number:05}",
                turn=Turn(
                    id=f"turn-{number:05}", conversation_id=f"c{number}",
                    messages=(Message(role="user", content=f"Where is {number}?"),), created_at=at,
                ),
                candidates=candidates, policy="2+2", seed=number, complete=True, created_at=at,
            )  # fmt: skip
            order = rng.sample(range(4), 4)
            chosen = picks([SWAY[p] + better * (arms[order[p]] == "tuned") for p in range(4)], rng)
            await log.add_slate(slate)
            shown = tuple(candidates[i].id for i in order)
            await log.add_exposure(Exposure(slate_id=slate.id, viewer="ann", order=shown, shown_at=at))
            await log.record(
                Pick(
                    key=f"k{number}", slate_id=slate.id, verdict="chosen", candidate_id=shown[chosen],
                    annotator="ann", role="agent", decided_at=at,
                )
            )  # fmt: skip


@pytest.mark.parametrize("better", [0.0, 3.0])
def test_a_picker_who_likes_the_first_places_is_found_out(tmp_path: Path, better: float) -> None:
    asyncio.run(fill(tmp_path / "picktune.db", 900, better=better))
    with SQLiteLogReader(tmp_path / "picktune.db") as reader:
        found = fit_offsets(reader.decisions())
    # However much better one arm is, it does not look like a place.
    assert found.keys() == {4}
    assert found[4] == pytest.approx(SWAY, abs=0.3)


@pytest.mark.parametrize("shown", [2, 3, 6])
def test_who_does_not_mind_the_place_gets_no_offsets_worth_having(shown: int) -> None:
    arms, rng = ["base"] * shown, random.Random(shown)
    found = fit_offsets(decision(arms, rng.randrange(shown)) for _ in range(3000))
    assert sum(found[shown]) == pytest.approx(0.0, abs=1e-6)
    assert max(map(abs, found[shown])) < 0.15


def test_little_evidence_moves_little_and_none_nothing() -> None:
    assert fit_offsets([]) == {}
    (first, second) = fit_offsets([decision(["a", "a"], 0)])[2]
    assert 0 < first < 0.5
    assert second == pytest.approx(-first)
    # Whoever always picks the first is still given finite offsets.
    assert max(map(abs, fit_offsets([decision(["a"] * 3, 0)] * 10_000)[3])) < 20


def test_what_tells_nothing_about_places_is_left_out() -> None:
    arms = ["base", "tuned", "base", "tuned"]
    left_out = [
        decision(arms, None, verdict="tie"),
        decision(arms, 0, complete=False),
        decision(arms, 0, picked=("base", "tuned")),  # both arms said these words
        decision([*arms, "tuned"], 0, shown=4),
        decision(["base", "tuned"], 0),  # the only one of its arm
    ]
    assert fit_offsets(left_out) == {}
    # Numbers of replies do not mix.
    assert fit_offsets([decision(arms, 0), decision(["a", "a"], 1), *left_out]).keys() == {2, 4}


def swayed(count: int, sway: Sequence[float], rng: random.Random) -> list[ChoiceSet]:
    """Pairs whose good reply stands second, picked by somebody who likes it, and the first place more."""
    sets = []
    for i in range(count):
        good, other = GOOD[0], rng.choice(OTHERS[:3])
        replies = (good, other) if rng.random() < 0.05 else (other, good)
        values = [1.4 * (reply in GOOD) + b for reply, b in zip(replies, sway, strict=True)]
        sets.append(
            ChoiceSet(
                slate_id=f"s{i}", conversation_id=f"c{i}",
                messages=(Message(role="user", content="Where is my parcel?"),), replies=replies,
                chosen=picks(values, rng), annotator="a", role="agent", decided_at=NOW,
            )
        )  # fmt: skip
    return sets


def test_the_taste_is_learned_and_not_the_place(tiny_model: Path, tmp_path: Path) -> None:
    rng = random.Random(9)
    sway = (1.0, -1.0)
    offsets = fit_offsets(decision(["a", "a"], picks(sway, rng)) for _ in range(500))
    sets = swayed(160, sway, rng)
    recipe = Recipe(dtype="float32", rank=4, learning_rate=3e-3, batch=8, epochs=3, beta=0.1, lam=0.0)
    unseen = swayed(16, sway, random.Random(10))
    liked: dict[str, float] = {}
    for name, b in (("without", None), ("with", offsets)):
        run = train(
            sets, dataset_id="d", base_model=tiny_model, recipe=recipe, folder=tmp_path / name, now=NOW,
            offsets=b,
        )  # fmt: skip
        assert run.offsets == (b or {})
        margins = []
        scores = score(unseen, base_model=tiny_model, adapter=tmp_path / name, recipe=recipe)
        for one, found in zip(unseen, scores, strict=True):
            rewards = [0.1 * (tuned - base) for tuned, base in zip(found.adapter, found.base, strict=True)]
            good = next(i for i, reply in enumerate(one.replies) if reply in GOOD)
            margins.append(rewards[good] - rewards[1 - good])
        liked[name] = sum(margins) / len(margins)
    # The good reply is better by 1.4 nats. Without the offsets the trainer takes the first place for taste,
    # and learns the opposite of what was meant.
    assert liked["without"] < -0.1
    assert liked["with"] == pytest.approx(1.4, abs=0.6)


def test_offsets_belong_to_a_run(tiny_model: Path, tmp_path: Path) -> None:
    sets = swayed(6, (1.0, -1.0), random.Random(1))
    recipe = Recipe(dtype="float32", rank=4, epochs=1, lam=0.0)

    def run(offsets: dict[int, tuple[float, ...]] | None) -> TrainingRun:
        return train(
            sets, dataset_id="d", base_model=tiny_model, recipe=recipe, folder=tmp_path / "v", now=NOW,
            offsets=offsets, state=tmp_path / "state",
        )  # fmt: skip

    assert run({3: (1.0, 0.0, -1.0)}).steps[0].loss == pytest.approx(
        math.log(2)
    )  # of other numbers of replies
    with pytest.raises(TrainingStateMismatch):
        run({2: (0.5, -0.5)})


class FillLog(Protocol):
    """See conftest."""

    def __call__(self, home: Path, picks: int = 60, **options: Any) -> Path: ...


def test_a_night_fits_them_once_and_goes_on_with_them(
    tiny_model: Path, tmp_path: Path, fill_log: FillLog
) -> None:
    home = fill_log(tmp_path / "home")
    where = Settings(home=home, model=str(tiny_model), roles=("agent",))
    recipe = Recipe(dtype="float32", rank=4, learning_rate=3e-3, epochs=1, position_bias=True)
    plan, steps = Plan(recipe=recipe), 0

    def stop() -> bool:
        nonlocal steps
        steps += 1
        return steps > 6

    with pytest.raises(TrainingInterrupted):
        nightly(where, plan, should_stop=stop, now=lambda: NOW)
    (night,) = (path for path in (home / "nights").iterdir() if path.is_dir())
    kept = (night / "offsets.json").read_bytes()
    offsets = msgspec.json.decode(kept, type=dict[int, tuple[float, ...]])
    assert len(offsets[4]) == 4
    assert max(map(abs, offsets[4])) > 0.01

    (night / "offsets.json").write_bytes(b"{")
    with pytest.raises(StateCorrupt, match="offsets"):
        nightly(where, plan, now=lambda: NOW)
    (night / "offsets.json").write_bytes(kept)
    assert nightly(where, plan, now=lambda: NOW).exit_code in (0, 20)
    run = msgspec.json.decode((night / "train.json").read_bytes(), type=TrainingRun)
    assert run.offsets == offsets
