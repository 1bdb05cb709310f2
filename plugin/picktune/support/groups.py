"""Groups: the support rate by arm pair, tag, scenario, locale, annotator, role, week and position."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC

from msgspec import structs

from picktune.errors import InvalidInput
from picktune.records import Decision
from picktune.support.answers import Share
from picktune.support.sequence import check_alpha, interval

GROUPS: Mapping[str, Callable[[Decision], Iterable[str]]] = {
    "arms": lambda one: (f"{one.tuned} / base",),
    "tag": lambda one: sorted(set(one.tags)),
    "scenario": lambda one: () if one.scenario is None else (one.scenario,),
    "locale": lambda one: (one.locale,),
    "annotator": lambda one: (one.annotator,),
    "role": lambda one: (one.role,),
    "week": lambda one: (week(one),),
    "position": lambda one: () if one.position is None else (str(one.position + 1),),
}
"""By what the rate is broken down, and in which groups of each a decision is."""


def week(one: Decision) -> str:
    """The week of the decision in UTC, by ISO 8601: ``2026-W09``, which sorts by time."""
    year, number, _ = one.decided_at.astimezone(UTC).isocalendar()
    return f"{year:04}-W{number:02}"


def shares(choices: Sequence[Decision], by: str, alpha: float) -> tuple[Share, ...]:
    """The rate in each group of the counted decisions, by name; raises ``InvalidInput`` for unknown ones."""
    groups_of = GROUPS.get(by)
    if groups_of is None:
        raise InvalidInput(f"no breakdown by {by!r}; choose one of {', '.join(GROUPS)}", field="by")
    tallies = defaultdict[str, list[int]](lambda: [0, 0])
    for one in choices:
        won = one.tuned in one.picked
        for name in groups_of(one):
            tally = tallies[name]
            tally[0] += won
            tally[1] += 1
    return shares_of(tallies, alpha)


def shares_of(tallies: Mapping[str, Sequence[int]], alpha: float) -> tuple[Share, ...]:
    """The rate in each group, by name, from its wins and how many were counted."""
    return tuple(_share(name, wins, n, alpha) for name, (wins, n) in sorted(tallies.items()))


def simultaneous(
    found: Iterable[Share], alpha: float, names: Iterable[str] | None = None
) -> tuple[Share, ...]:
    """The groups of those names (all, without any) with intervals that hold for all of them at once.

    Each has the confidence 1 − ``alpha`` / k, where k counts the names (Bonferroni): the chance that any of
    the k is ever wrong is at most ``alpha``. Name them before looking; names without picks count in k.
    """
    check_alpha(alpha)
    found = tuple(found)
    wanted = {one.name for one in found} if names is None else set(names)
    each = alpha / max(1, len(wanted))
    mine = [one for one in found if one.name in wanted]
    return tuple(
        structs.replace(one, low=low, high=high)
        for one in mine
        for low, high in [interval(one.wins, one.n, each)]
    )


def _share(name: str, wins: int, n: int, alpha: float) -> Share:
    low, high = interval(wins, n, alpha)
    return Share(name=name, wins=wins, n=n, rate=wins / n, low=low, high=high)
