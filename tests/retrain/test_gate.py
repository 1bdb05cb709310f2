"""The gate: what it asks for, and that its reasons say what was and was not met."""

from __future__ import annotations

import pytest
from msgspec import structs
from picktune_retrain.gate import Gate, admit, checks
from picktune_retrain.records import Evaluation, Figures

GOOD = Evaluation(
    sets=12,
    adapter=Figures(accuracy=0.75, log_loss=0.9),
    base=Figures(accuracy=0.3, log_loss=1.3),
    chance=Figures(accuracy=0.25, log_loss=1.386),
    gain=0.486,
    gain_low=-0.05,
    accuracy_low=0.5,
)


def test_a_sure_gain_is_admitted() -> None:
    decision = admit(GOOD)
    assert decision.admitted
    assert len(decision.reasons) == 4
    assert "12 held-out" in decision.reasons[0]


@pytest.mark.parametrize(
    ("evaluation", "name", "words"),
    [
        (structs.replace(GOOD, sets=4), "held_out", "too few (5"),
        (structs.replace(GOOD, gain=0.0), "gain", "not above nought"),
        (structs.replace(GOOD, gain=-0.2), "gain", "-0.200"),
        (structs.replace(GOOD, accuracy_low=0.25), "accuracy", "not above chance"),
        (structs.replace(GOOD, accuracy_low=0.2), "accuracy", "at least 20%"),
        (structs.replace(GOOD, adapter=Figures(accuracy=0.75, log_loss=1.3)), "base", "not below the base"),
    ],
)
def test_each_check_can_refuse(evaluation: Evaluation, name: str, words: str) -> None:
    decision = admit(evaluation)
    assert not decision.admitted
    assert any(words in reason for reason in decision.reasons)
    assert [check.name for check in checks(evaluation, Gate()) if not check.passed] == [name]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_figures_that_are_no_numbers_are_refused(bad: float) -> None:
    decision = admit(structs.replace(GOOD, gain=bad, adapter=Figures(accuracy=0.75, log_loss=bad)))
    assert not decision.admitted
    assert "diverged" in decision.reasons[0]


def test_how_many_sets_is_a_setting() -> None:
    assert not admit(GOOD, Gate(min_sets=13)).admitted
    assert admit(structs.replace(GOOD, sets=1), Gate(min_sets=1)).admitted
