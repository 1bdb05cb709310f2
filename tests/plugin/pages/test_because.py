"""The gate's reasons: the same in English as the rules say them, and in Chinese on the Chinese page."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from msgspec import json, structs
from picktune.gate.records import Figures, GateDecision, GateSettings, Standing, Step, TagStanding, View
from picktune.gate.rules import propose
from picktune.pages.because import because
from picktune.pages.i18n import Translator
from picktune.support import interval

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RULES = GateSettings(automatic=True)


def standing(wins: int, n: int, *tags: TagStanding) -> Standing:
    low, high = interval(wins, n, 0.05)
    rate = wins / n if n else None
    return Standing(adapter="v2", since=NOW, wins=wins, n=n, rate=rate, low=low, high=high, tags=tags)


def steps(*shares: float) -> tuple[Step, ...]:
    return tuple(Step(share=share, since=NOW) for share in shares)


def decided(view: View) -> GateDecision:
    """What the gate would keep of it, as it comes back from the log."""
    proposal = propose(view, RULES)
    kept = GateDecision(
        id=1,
        action=proposal.action,
        adapter=proposal.adapter,
        by="gate",
        reason=proposal.reason,
        champion=None,
        challenger="v2",
        share=proposal.share,
        figures=Figures(view=view, rules=RULES),
        decided_at=NOW,
    )
    return json.decode(json.encode(kept), type=GateDecision)


WORSE = TagStanding(tag="refund", wins=9, n=20, rate=0.45, low=0.2, high=0.7, worse=True)
LAST = steps(0.05, 0.2, 0.5)
DECISIONS = [
    decided(View(challenger=standing(0, 0))),
    decided(View(challenger=standing(30, 40), steps=steps(0.05, 0.2), n=20)),
    decided(View(challenger=standing(70, 100), steps=LAST)),
    decided(View(champion=standing(20, 100))),
    decided(View(challenger=standing(5, 50), steps=steps(0.05))),
    decided(View(challenger=standing(90, 100, WORSE), steps=LAST)),
]


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda one: one.action)
def test_the_gate_says_the_same_in_both_languages(decision: GateDecision) -> None:
    assert because(decision, Translator("en")) == decision.reason
    chinese = because(decision, Translator("zh"))
    assert chinese.isprintable()
    assert not re.search(r"[a-z]{4,}", chinese.replace("refund", ""))
    assert set(re.findall(r"[\d.]+%", decision.reason)) <= set(re.findall(r"[\d.]+%", chinese))


def test_all_that_the_gate_does_by_itself_is_said() -> None:
    assert {one.action for one in DECISIONS} == {"begin", "step", "promote", "rollback", "withdraw", "block"}


def test_what_a_person_wrote_and_what_earlier_rules_said_stay_as_they_are() -> None:
    for change in ({"by": "ada"}, {"reason": "60 % suffice"}, {"figures": Figures()}):
        decision = structs.replace(DECISIONS[2], **change)
        assert because(decision, Translator("zh")) == decision.reason
