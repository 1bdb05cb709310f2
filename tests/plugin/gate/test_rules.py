"""The rules, by table: what the figures do, without a log or a registry."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from picktune.gate.records import GateSettings, Standing, Step, TagStanding, View
from picktune.gate.rules import propose, worse
from picktune.support import interval

NOW = datetime(2026, 11, 24, tzinfo=UTC)
RULES = GateSettings(automatic=True)


def standing(wins: int, n: int, name: str = "v2", tags: dict[str, tuple[int, int]] | None = None) -> Standing:
    low, high = interval(wins, n, 0.05)
    found = []
    for tag, (won, of) in (tags or {}).items():
        bottom, top = interval(won, of, 0.05)
        bad = worse(rate=won / of, high=top, n=of, rules=RULES)
        found.append(TagStanding(tag=tag, wins=won, n=of, rate=won / of, low=bottom, high=top, worse=bad))
    return Standing(
        adapter=name,
        since=NOW,
        wins=wins,
        n=n,
        rate=wins / n if n else None,
        low=low,
        high=high,
        tags=tuple(found),
    )


def at(*shares: float) -> tuple[Step, ...]:
    return tuple(Step(share=share, since=NOW) for share in shares)


LAST = at(0.05, 0.2, 0.5)


@pytest.mark.parametrize(
    ("view", "action", "share", "said"),
    [
        (View(), "hold", None, "no adapter is on trial"),
        (View(champion=standing(80, 100, "v1")), "hold", None, "80.0% of 100 picks"),
        # Harm comes first, the champion's before the challenger's.
        (
            View(champion=standing(20, 100, "v1"), challenger=standing(0, 40)),
            "rollback",
            None,
            "surely below",
        ),
        (View(challenger=standing(5, 50), steps=at(0.05)), "withdraw", None, "surely below 50 %"),
        # 40 % of 50 may still be chance: no withdrawal, and no growth either.
        (View(challenger=standing(20, 50), steps=at(0.05), n=50), "hold", 0.05, "stays at the canary share"),
        # The canary.
        (View(challenger=standing(0, 0)), "begin", 0.05, "5% of new conversations"),
        (View(challenger=standing(15, 19), steps=at(0.05), n=19), "hold", 0.05, "19 of 20 picks"),
        (View(challenger=standing(15, 20), steps=at(0.05), n=20), "step", 0.2, "20 picks at 5%"),
        (View(challenger=standing(30, 40), steps=at(0.05, 0.2), n=20), "step", 0.5, "in 50% of"),
        # However good it is, it goes through the steps before it is promoted.
        (View(challenger=standing(99, 100), steps=at(0.05), n=100), "step", 0.2, "99.0% of 100"),
        # Promotion: 70 %, and a lower bound above 50 %.
        (View(challenger=standing(70, 100), steps=LAST), "promote", None, "70.0% of 100 picks"),
        (View(challenger=standing(69, 100), steps=LAST), "hold", 0.5, "not 70%"),
        (View(challenger=standing(16, 20), steps=LAST), "hold", 0.5, "80.0% of 20 picks"),
        (View(challenger=standing(30, 30), steps=LAST), "promote", None, "100.0%"),
        # A protected tag.
        (
            View(challenger=standing(90, 100, tags={"refund": (9, 20)}), steps=LAST),
            "block",
            0.5,
            "'refund' has 45.0% of 20",
        ),
        (View(challenger=standing(90, 100, tags={"refund": (9, 19)}), steps=LAST), "promote", None, "90.0%"),
        (View(challenger=standing(90, 100, tags={"refund": (0, 9)}), steps=LAST), "block", 0.5, "'refund'"),
        (View(challenger=standing(90, 100, tags={"refund": (10, 20)}), steps=LAST), "promote", None, "90.0%"),
        (
            View(challenger=standing(18, 20, tags={"refund": (0, 9)}), steps=at(0.05), n=20),
            "block",
            0.05,
            "got worse",
        ),
        # Frozen: nothing at all.
        (View(champion=standing(0, 100, "v1"), frozen="a launch (ann)"), "hold", None, "frozen: a launch"),
    ],
)
def test_what_the_figures_do(view: View, action: str, share: float | None, said: str) -> None:
    found = propose(view, RULES)
    assert (found.action, found.share) == (action, share)
    assert said in found.reason
    assert found.adapter == {
        "rollback": "v1",
        "hold": found.adapter,
    }.get(action, "v2")


@pytest.mark.parametrize(
    ("rules", "action"),
    [
        ({"automatic": False}, "promote"),  # nobody tends a canary, so it has no steps to go through
        ({"steps": ()}, "promote"),
        ({"promote_at": 0.9, "steps": ()}, "hold"),
        ({}, "begin"),
    ],
)
def test_the_rules_are_settings(rules: dict[str, Any], action: str) -> None:
    view = View(challenger=standing(80, 100))
    assert propose(view, GateSettings(**{"automatic": True, **rules})).action == action


def test_the_steps_are_taken_in_order_however_they_are_written() -> None:
    assert GateSettings(automatic=True, steps=(0.5, 0.05, 0.2, 0.2)).canary == (0.05, 0.2, 0.5)
