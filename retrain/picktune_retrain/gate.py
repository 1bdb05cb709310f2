"""Whether an adapter may join the blind slates. It only admits: people's picks decide what comes after."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import fmean
from typing import Annotated, Literal

from msgspec import Meta
from picktune.records import Record

from picktune_retrain.comparison import CHALLENGER, Comparison, of
from picktune_retrain.records import Decision, Evaluation
from picktune_retrain.replies import BASE

CheckName = Literal[
    "finite",
    "held_out",
    "gain",
    "accuracy",
    "base",
    "position",
    "champion",
    "tag",
    "kl",
    "chosen",
    "general",
    "empty",
    "repeating",
    "refusing",
    "length",
    "golden",
    "frozen",
]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Nats = Annotated[float, Meta(ge=0.0)]


class Gate(Record, frozen=True, kw_only=True):
    """What is asked of an adapter.

    ``min_sets`` is the least number of held-out choice sets to judge by. In nats a token: ``max_kl`` from the
    base on picked replies, ``max_sinking`` of the picked replies' own likelihood, ``max_unlearned`` on plain
    texts. ``more_than_base`` is by how much more often than the base it may answer with nothing, in a loop or
    with a refusal. Its replies may be ``length_factor`` times as long, or as short, as the picked ones, or
    half as far again from them as the base's are.
    """

    min_sets: Annotated[int, Meta(ge=1)] = 5
    max_kl: Nats = 4.0
    max_sinking: Nats = 1.0
    max_unlearned: Nats = 0.5
    more_than_base: Share = 0.2
    length_factor: Annotated[float, Meta(ge=1.0)] = 4.0


class Check(Record, frozen=True, kw_only=True):
    """One thing that was asked: the figure, the bar that it had to clear, and whether it did.

    ``about`` says of which tag, champion or golden prompts it speaks.
    """

    name: CheckName
    passed: bool
    figure: float
    bar: float
    about: str = ""


def checks(evaluation: Evaluation, gate: Gate, comparison: Comparison | None = None) -> tuple[Check, ...]:
    """Every check with its outcome: enough held-out sets, surely above chance, and better than the base.

    What has to be sure is the accuracy, for it is bounded: with a dozen sets, one pick that went against all
    the others costs so many nats that the bound of the mean log-loss says nothing. Of what was compared, an
    adapter has to be better than places alone; the champion, a tag and everything else only must not show
    that it does harm.
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
        *(_compared(comparison, gate) if comparison else ()),
    )


def admit(evaluation: Evaluation, gate: Gate | None = None, comparison: Comparison | None = None) -> Decision:
    """Admit the adapter if every check passes; the reasons say how each came out."""
    made = checks(evaluation, gate or Gate(), comparison)
    return Decision(
        admitted=all(check.passed for check in made), reasons=tuple(reason(check) for check in made)
    )


def _compared(comparison: Comparison, gate: Gate) -> Iterator[Check]:
    for rival in comparison.rivals:
        if rival.name == "position":
            yield Check(name="position", passed=rival.gain > 0, figure=rival.gain, bar=0)
        else:
            name = comparison.champion or rival.name
            yield Check(
                name="champion", passed=rival.gain_high >= 0, figure=rival.gain_high, bar=0, about=name
            )
    if held := comparison.frozen:
        yield Check(name="frozen", passed=held.gain_high >= 0, figure=held.gain_high, bar=0, about=held.name)
    if comparison.by_tag:
        worst = min(comparison.by_tag, key=lambda one: one.gain_high)
        yield Check(name="tag", passed=worst.gain_high >= 0, figure=worst.gain_high, bar=0, about=worst.tag)
    if drift := comparison.drift:
        unlearned = drift.general_adapter - drift.general_base
        yield Check(name="kl", passed=drift.kl <= gate.max_kl, figure=drift.kl, bar=gate.max_kl)
        sunk, most = -drift.chosen, gate.max_sinking
        yield Check(name="chosen", passed=sunk <= most, figure=drift.chosen, bar=-most)
        most = gate.max_unlearned
        yield Check(name="general", passed=unlearned <= most, figure=unlearned, bar=most)
    yield from _conduct(comparison, gate)
    if comparison.golden:
        lost = [one.id for one in comparison.golden if one.passed[BASE] and not one.passed[CHALLENGER]]
        yield Check(name="golden", passed=not lost, figure=len(lost), bar=0, about=", ".join(lost))


def _conduct(comparison: Comparison, gate: Gate) -> Iterator[Check]:
    base, tuned = of(comparison, BASE), of(comparison, CHALLENGER)
    if base is None or tuned is None:
        return
    # Two of a few replies may be an accident.
    margin = max(gate.more_than_base, 2 / tuned.replies)
    names: tuple[Literal["empty", "repeating", "refusing"], ...] = ("empty", "repeating", "refusing")
    for name in names:
        share, bar = getattr(tuned, name), min(1.0, getattr(base, name) + margin)
        yield Check(name=name, passed=share <= bar, figure=share, bar=bar)
    picked = fmean(len(one.picked) for one in comparison.replies)
    factor = tuned.letters / max(picked, 1.0)
    # Where the base itself misses the length of what people pick, an adapter need not do better by much.
    bar = max(gate.length_factor, 1.5 * _either_way(base.letters / max(picked, 1.0)))
    yield Check(name="length", passed=_either_way(factor) <= bar, figure=factor, bar=bar)


def _either_way(factor: float) -> float:
    return max(factor, 1 / factor) if factor > 0 else math.inf


def reason(check: Check) -> str:
    """A check's outcome in a sentence."""
    figure, bar, about = check.figure, check.bar, check.about
    fine = check.passed
    match check.name:
        case "finite":
            return f"{figure:g} of its figures are not finite numbers: the training has diverged"
        case "held_out":
            verb = "enough" if fine else "too few"
            return f"judged on {figure:g} held-out choice sets: {verb} ({bar:g} are asked for)"
        case "gain":
            verb = "above" if fine else "not above"
            return f"its gain over chance is {figure:+.3f} nats a set: {verb} nought"
        case "accuracy":
            verb = "above" if fine else "not above"
            return f"it finds at least {figure:.0%} of the picked replies (95 %): {verb} chance ({bar:.0%})"
        case "base":
            verb = "below" if fine else "not below"
            return f"its log-loss of {figure:.3f} is {verb} the base's {bar:.3f}"
        case "position":
            verb = "better" if fine else "no better"
            return f"it is {verb} than looking at a reply's place alone ({figure:+.3f} nats a set)"
        case "champion":
            verb = "not surely worse" if fine else "surely worse"
            return f"it is {verb} than the champion {about} (at best {figure:+.3f} nats a set, 95 %)"
        case "frozen":
            verb = "not surely worse" if fine else "surely worse"
            return (
                f"it is {verb} than chance on the frozen hold-out {about} (at best {figure:+.3f} nats a set)"
            )
        case "tag":
            verb = "not surely worse" if fine else "surely worse"
            return f"tag {about!r} does worst, and {verb} than chance (at best {figure:+.3f} nats a set)"
        case "kl":
            verb = "near enough to" if fine else "too far from"
            return f"it stays {verb} the base: KL {figure:.2f} nats a token, at most {bar:g}"
        case "chosen":
            verb = "not sunk" if fine else "sunk"
            return f"the picked replies have {verb}: {figure:+.2f} nats a token, at least {bar:g}"
        case "general":
            verb = "kept" if fine else "lost"
            return f"it has {verb} what the base knew: plain text {figure:+.2f} nats a token, at most {bar:g}"
        case "length":
            verb = "about as long as" if fine else "not of the length of"
            return f"its replies are {verb} the picked ones: {figure:.2f} times, at most {bar:.1f} either way"
        case "golden":
            if fine:
                return "it passes every golden prompt that the base passes"
            return f"it fails {figure:g} golden prompts that the base passes: {about}"
        case "empty" | "repeating" | "refusing":
            words = {
                "empty": "answers with nothing",
                "repeating": "repeats itself",
                "refusing": "refuses to answer",
            }
            return f"it {words[check.name]} in {figure:.0%} of its replies, at most {bar:.0%}"
