"""What was learned from bad picks is not admitted: trainings of a tiny model, choosers that know nothing."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from picktune.records import ChoiceSet, Message
from picktune_retrain.choice import Scores, score
from picktune_retrain.comparison import Comparison
from picktune_retrain.evaluate import evaluate, rewards
from picktune_retrain.gate import admit
from picktune_retrain.records import Decision, Recipe
from picktune_retrain.rivals import against_places, learn_places
from picktune_retrain.train import train

NOW = datetime(2026, 11, 24, tzinfo=UTC)
RECIPE = Recipe(dtype="float32", rank=4, alpha=8, learning_rate=5e-3, batch=6, epochs=2)
GOOD = ("Sorry! Which order?", "Sorry, which one?", "Sorry! What order?")
OTHERS = ("Wait.", "No.", "Call us.", "See above.", "Later.", "Hm.")
TRAIN, HELD_OUT = 48, 20

Choose = Callable[[Sequence[str], random.Random], int]


def honest(replies: Sequence[str], rng: random.Random) -> int:
    """Picks the reply that apologises."""
    return next(i for i, reply in enumerate(replies) if reply in GOOD)


def at_random(replies: Sequence[str], rng: random.Random) -> int:
    return rng.randrange(len(replies))


def noisy(replies: Sequence[str], rng: random.Random) -> int:
    """Three picks in ten are drawn at random."""
    return at_random(replies, rng) if rng.random() < 0.3 else honest(replies, rng)


def inverted(replies: Sequence[str], rng: random.Random) -> int:
    """Picks any reply but the good one."""
    return rng.choice([i for i, reply in enumerate(replies) if reply not in GOOD])


def picks(seed: int, numbers: range, choose: Choose) -> list[ChoiceSet]:
    made = []
    for number in numbers:
        rng = random.Random(f"{seed}:{number}")
        replies = [rng.choice(GOOD), *rng.sample(OTHERS, 3)]
        rng.shuffle(replies)
        made.append(
            ChoiceSet(
                slate_id=f"s{number}",
                conversation_id=f"c{number}",
                messages=(Message(role="user", content=f"Parcel {number}?"),),
                replies=tuple(replies),
                chosen=choose(replies, rng),
                annotator="ann",
                role="agent",
                decided_at=NOW,
            )
        )
    return made


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def judged(tiny_model: Path, tmp_path: Path) -> Callable[..., Decision]:
    """Train on the picks of one chooser, and decide by held-out picks of another."""

    def judge(seed: int, learned: Choose, held_out: Choose) -> Decision:
        sets = picks(seed, range(TRAIN), learned)
        test = picks(seed, range(TRAIN, TRAIN + HELD_OUT), held_out)
        folder = tmp_path / "adapter"
        train(sets, dataset_id="d", base_model=tiny_model, recipe=RECIPE, folder=folder, now=NOW)
        scores = score(test, base_model=tiny_model, adapter=folder, recipe=RECIPE)
        return decide(sets, test, scores)

    return judge


def decide(sets: Sequence[ChoiceSet], test: Sequence[ChoiceSet], scores: Sequence[Scores]) -> Decision:
    ours = [rewards(one, RECIPE.beta) for one in scores]
    places = against_places(test, ours, learn_places(sets))
    return admit(evaluate(test, scores, beta=RECIPE.beta), comparison=Comparison(rivals=(places,)))


@pytest.mark.parametrize("seed", range(5))
def test_random_picks_make_no_challenger(judged: Callable[..., Decision], seed: int) -> None:
    assert not judged(seed, at_random, at_random).admitted


@pytest.mark.parametrize("seed", range(5))
def test_what_was_trained_to_be_worse_makes_no_challenger(judged: Callable[..., Decision], seed: int) -> None:
    assert not judged(seed, inverted, honest).admitted


def test_three_picks_in_ten_at_random_do_not_hide_a_taste(judged: Callable[..., Decision]) -> None:
    decision = judged(0, noisy, noisy)
    assert decision.admitted, decision.reasons


@pytest.mark.parametrize("sets", [12, 24])
def test_a_chooser_that_knows_nothing_is_seldom_admitted(sets: int) -> None:
    rng = np.random.default_rng(20)
    admitted = 0
    for trial in range(200):
        test = picks(trial, range(sets), at_random)
        base = rng.normal(-40, 8, (sets, 4))
        tuned = base + rng.normal(0, 0.4 / RECIPE.beta, (sets, 4))
        scores = [
            Scores(slate_id=one.slate_id, base=tuple(before), adapter=tuple(after), tokens=(20,) * 4)
            for one, before, after in zip(test, base.tolist(), tuned.tolist(), strict=True)
        ]
        admitted += decide(picks(trial, range(sets, 9 * sets), at_random), test, scores).admitted
    assert admitted <= 10  # 5 %: what the bound of a single check allows
