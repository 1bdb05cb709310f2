"""Whether an adapter may join the blind slates. It only admits: people's picks decide what comes after."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from msgspec import Meta
from picktune.records import Record

from picktune_retrain.records import Decision, Evaluation

CheckName = Literal["finite", "held_out", "gain", "accuracy", "base"]


class Gate(Record, frozen=True, kw_only=True):
    """What is asked of an adapter. ``min_sets`` is the least number of held-out choice sets to judge by."""

    min_sets: Annotated[int, Meta(ge=1)] = 5


class Check(Record, frozen=True, kw_only=True):
    """One thing that was asked: the figure, the bar that it had to clear, and whether it did."""

    name: CheckName
    passed: bool
    figure: float
    bar: float


def checks(evaluation: Evaluation, gate: Gate) -> tuple[Check, ...]:
    """Every check with its outcome: enough held-out sets, surely above chance, and better than the base.

    What has to be sure is the accuracy, for it is bounded: with a dozen sets, one pick that went against all
    the others costs so many nats that the bound of the mean log-loss says nothing.
    """
    figures = (
        evaluation.adapter.accuracy,
        evaluation.adapter.log_loss,
        evaluation.gain,
        evaluation.accuracy_low,
    )
    odd = sum(not math.isfinite(figure) for figure in figures)
    if odd:
        return (Check(name="finite", passed=False, figure=odd, bar=0),)
    sets, gain, low = evaluation.sets, evaluation.gain, evaluation.accuracy_low
    tuned, base, chance = evaluation.adapter, evaluation.base, evaluation.chance
    return (
        Check(name="held_out", passed=sets >= gate.min_sets, figure=sets, bar=gate.min_sets),
        Check(name="accuracy", passed=low > chance.accuracy, figure=low, bar=chance.accuracy),
        Check(name="gain", passed=gain > 0, figure=gain, bar=0),
        Check(name="base", passed=tuned.log_loss < base.log_loss, figure=tuned.log_loss, bar=base.log_loss),
    )


def admit(evaluation: Evaluation, gate: Gate | None = None) -> Decision:
    """Admit the adapter if every check passes; the reasons say how each came out."""
    made = checks(evaluation, gate or Gate())
    return Decision(
        admitted=all(check.passed for check in made), reasons=tuple(reason(check) for check in made)
    )


def reason(check: Check) -> str:
    """A check's outcome in a sentence."""
    figure, bar = check.figure, check.bar
    match check.name:
        case "finite":
            return f"{figure:g} of its figures are not finite numbers: the training has diverged"
        case "held_out":
            verb = "enough" if check.passed else "too few"
            return f"judged on {figure:g} held-out choice sets: {verb} ({bar:g} are asked for)"
        case "gain":
            verb = "above" if check.passed else "not above"
            return f"its gain over chance is {figure:+.3f} nats a set: {verb} nought"
        case "accuracy":
            verb = "above" if check.passed else "not above"
            return f"it finds at least {figure:.0%} of the picked replies (95 %): {verb} chance ({bar:.0%})"
        case "base":
            verb = "below" if check.passed else "not below"
            return f"its log-loss of {figure:.3f} is {verb} the base's {bar:.3f}"
