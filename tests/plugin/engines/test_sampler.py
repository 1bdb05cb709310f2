from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from picktune.engines.sampler import next_token, row_seed
from picktune.records import Sampling

LOGITS = np.log(np.array([0.5, 0.25, 0.15, 0.07, 0.03], dtype=np.float32))


def frequencies(sampling: Sampling, draws: int = 20_000) -> np.ndarray:
    tokens = [next_token(LOGITS, sampling, row_seed(3, 0), step) for step in range(draws)]
    return np.bincount(tokens, minlength=len(LOGITS)) / draws


def test_draws_follow_the_distribution() -> None:
    assert frequencies(Sampling(temperature=1.0, top_p=1.0)) == pytest.approx(np.exp(LOGITS), abs=0.012)


def test_temperature_sharpens() -> None:
    sharp = np.exp(LOGITS / 0.5)
    assert frequencies(Sampling(temperature=0.5, top_p=1.0)) == pytest.approx(sharp / sharp.sum(), abs=0.012)


@pytest.mark.parametrize(("top_p", "kept"), [(0.4, 1), (0.5, 1), (0.6, 2), (0.8, 3), (0.96, 4)])
def test_only_the_nucleus_is_drawn(top_p: float, kept: int) -> None:
    wanted = np.exp(LOGITS) * (np.arange(len(LOGITS)) < kept)
    drawn = frequencies(Sampling(temperature=1.0, top_p=top_p))
    assert drawn == pytest.approx(wanted / wanted.sum(), abs=0.012)
    assert not drawn[kept:].any()


@given(
    logits=st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=60),
    temperature=st.floats(0.01, 2.0),
    top_p=st.floats(0.01, 1.0),
    seed=st.integers(-(2**70), 2**70),
)
def test_every_draw_is_in_the_smallest_sufficient_set(
    logits: list[float], temperature: float, top_p: float, seed: int
) -> None:
    scores = np.array(logits, dtype=np.float32)
    token = next_token(scores, Sampling(temperature=temperature, top_p=top_p), row_seed(seed, 0), 0)
    weights = np.exp((scores.astype(np.float64) - scores.max()) / temperature)
    # What is strictly likelier than the drawn token must not have been enough by itself.
    likelier = weights[weights > weights[token] * (1 + 1e-4)].sum()
    assert likelier <= top_p * weights.sum() * (1 + 1e-4)


def test_zero_temperature_is_the_likeliest_token() -> None:
    assert {next_token(LOGITS[::-1].copy(), Sampling(temperature=0.0), s, s) for s in range(50)} == {4}


def test_a_draw_depends_on_seed_and_step_only() -> None:
    sampling = Sampling(temperature=1.0, top_p=0.95)
    logits = np.random.default_rng(0).normal(size=5000).astype(np.float32)
    assert next_token(logits, sampling, 5, 2) == next_token(logits.copy(), sampling, 5, 2)
    assert len({next_token(logits, sampling, seed, 2) for seed in range(20)}) > 10
    assert len({next_token(logits, sampling, 5, step) for step in range(20)}) > 10


def test_small_differences_of_arithmetic_seldom_change_a_draw() -> None:
    sampling = Sampling(temperature=0.8, top_p=0.95)
    rng = np.random.default_rng(1)
    changed = 0
    for step in range(400):
        logits = rng.normal(scale=3, size=2000).astype(np.float32)
        nearly = logits + rng.normal(scale=1e-5, size=2000).astype(np.float32)
        changed += next_token(logits, sampling, 9, step) != next_token(nearly, sampling, 9, step)
    assert changed <= 2


def test_rows_have_seeds_of_their_own() -> None:
    seeds = {row_seed(seed, index) for seed in range(200) for index in range(16)}
    assert len(seeds) == 3200


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_refused(bad: float) -> None:
    logits = LOGITS.copy()
    logits[2] = bad
    with pytest.raises(FloatingPointError):
        next_token(logits, Sampling(), 0, 0)
