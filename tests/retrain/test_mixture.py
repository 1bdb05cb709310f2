"""Objectives and their weights: what can be said, and what does not go together."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from picktune.errors import InvalidInput
from picktune_retrain.mixture import OBJECTIVES, canonical, check, wanted, weights_of
from picktune_retrain.records import Recipe

weights = st.dictionaries(st.sampled_from(OBJECTIVES), st.floats(0.01, 100), min_size=1)


@given(weights, st.randoms())
def test_a_mixture_is_read_back_whatever_its_order(mixed: dict[Any, float], rng: Any) -> None:
    parts = [f" {name} = {weight!r} " for name, weight in mixed.items()]
    assert weights_of(",".join(parts)) == mixed
    rng.shuffle(parts)
    assert canonical(",".join(parts)) == canonical(canonical(",".join(parts)))
    assert list(weights_of(canonical(",".join(parts)))) == [name for name in OBJECTIVES if name in mixed]


def test_a_name_alone_weighs_one() -> None:
    assert weights_of("dpo") == {"dpo": 1.0}
    assert canonical(" choice=1.0") == "choice"
    assert canonical("sft=.1,choice") == "choice=1,sft=0.1"


@pytest.mark.parametrize(
    "text",
    ["", "ppo", "choice,choice", "choice=", "choice=0", "choice=-1", "sft=nan", "sft=inf", "choice;sft", "="],
)
def test_what_is_no_mixture_is_refused_with_what_is_possible(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"choice, dpo, kto, sft"):
        weights_of(text)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"objective": "dpo", "epsilon": 0.5}, "label smoothing"),
        ({"objective": "dpo", "ties": "set"}, "ties"),
        ({"objective": "sft", "edits": True}, "edits"),
        ({"objective": "kto", "position_bias": True}, "position_bias"),
        ({"objective": "kto", "kto_weights": (0.0, 0.0)}, "liked and disliked"),
        ({"objective": "kto", "kto_weights": (1.0, -1.0)}, "liked and disliked"),
    ],
)
def test_what_contradicts_itself_is_refused(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        check(Recipe(**fields))


def test_a_plain_recipe_wants_nothing_more_and_is_told_as_ever() -> None:
    assert wanted(Recipe()) == frozenset()
    assert wanted(Recipe(objective="kto=2,sft", balance="scenario")) == {"labelled", "written", "scenario"}
    assert Recipe(rank=4).told() == (
        "Recipe(method='lora', rank=4, alpha=32, dropout=0.0, learning_rate=0.0004, beta=0.2, lam=0.05, "
        "epsilon=0.0, epochs=2, batch=4, warmup=0.1, max_grad_norm=1.0, max_prompt=1024, max_reply=256, "
        "dtype='auto', seed=0, position_bias=False)"
    )
    assert "pairs='one'" in Recipe(pairs="one").told()
