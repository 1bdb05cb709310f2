"""Which decisions count, and where every other one is counted instead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal

from picktune.errors import InvalidInput
from picktune.records import Decision

Bin = Literal["counted", "ties", "none_good", "skipped", "shared", "incomplete", "repeated", "capped"]


def counted(
    decisions: Iterable[Decision], *, model: str | None = None, annotator_cap: int = 200
) -> list[Decision]:
    """The decisions that ``support_rate`` counts, in the order in which they count.

    Whether one counts depends on those before it only, so that a beginning of the list is what counted then.
    """
    check_cap(annotator_cap)
    binned = bins(of_model(decisions, model), annotator_cap)
    return [one for one, into in binned if into == "counted"]


def of_model(decisions: Iterable[Decision], model: str | None) -> list[Decision]:
    """The decisions of one comparison, by time; those of the base against itself with ``None``."""
    return in_order(
        one for one in decisions if (one.tuned == "base-b" if model is None else one.model == model)
    )


def in_order(decisions: Iterable[Decision]) -> list[Decision]:
    """The decisions by time, and always in the same order."""
    return sorted(decisions, key=lambda one: (one.decided_at, one.slate_id, one.annotator))


def bins(mine: Iterable[Decision], annotator_cap: int) -> Iterator[tuple[Decision, Bin]]:
    """Each of one comparison's decisions, in order, with where it is counted."""
    slates, annotators = set[str](), Counter[str]()
    for one in mine:
        into = bin_alone(one)
        if into == "counted" and one.slate_id in slates:
            into = "repeated"
        elif into == "counted" and annotators[one.annotator] >= annotator_cap:
            into = "capped"
        if into == "counted":
            slates.add(one.slate_id)
            annotators[one.annotator] += 1
        yield one, into


def check_cap(annotator_cap: int) -> None:
    """Raise ``InvalidInput`` unless at least one decision of each annotator may count."""
    if annotator_cap < 1:
        raise InvalidInput(f"annotator_cap must be 1 or more, and is {annotator_cap}", field="annotator_cap")


def bin_alone(one: Decision) -> Bin:
    """Where a decision is counted if there is no other one."""
    if not one.complete or one.arms.count("base") != one.arms.count(one.tuned or ""):
        return "incomplete"
    if one.verdict == "tie":
        return "ties"
    if one.verdict == "none_good":
        return "none_good"
    if one.verdict != "chosen":
        return "skipped"
    return "shared" if len(set(one.picked)) > 1 else "counted"
