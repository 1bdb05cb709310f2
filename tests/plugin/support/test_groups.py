"""Groups: the rate by arm pair, tag, locale, role, week."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from picktune.errors import InvalidInput
from picktune.records import Decision
from picktune.support import GROUPS, Share, interval, only, shares, simultaneous, support_rate, week

ALPHA = 0.05


def pick(number: int, won: bool, **fields: Any) -> Decision:
    tuned = fields.get("tuned", "challenger")
    values: dict[str, Any] = {
        "slate_id": f"slate {number}",
        "conversation_id": f"conversation {number}",
        "annotator": "ann",
        "role": "agent",
        "verdict": "chosen",
        "picked": (tuned,) if won else ("base",),
        "position": number % 2,
        "arms": ("base", tuned),
        "tuned": tuned,
        "model": "v1",
        "complete": True,
        "decided_at": datetime(2026, 3, 2, tzinfo=UTC) + timedelta(days=number),
    }
    return Decision(**values | fields)


def counts(found: tuple[Share, ...]) -> dict[str, tuple[int, int]]:
    return {one.name: (one.wins, one.n) for one in found}


def test_every_group_counts_every_pick_that_is_in_it() -> None:
    picks = [
        pick(0, True, locale="en", role="agent", scenario="returns"),
        pick(1, False, locale="zh-CN", role="user"),
        pick(8, True, locale="en", role="user", tuned="champion"),
    ]

    support = support_rate(picks, model="v1")

    assert counts(support.by_arms) == {"challenger / base": (1, 2), "champion / base": (1, 1)}
    assert counts(support.by_scenario) == {"returns": (1, 1)}  # the others belong to none
    assert counts(support.by_locale) == {"en": (2, 2), "zh-CN": (0, 1)}
    assert counts(support.by_role) == {"agent": (1, 1), "user": (1, 2)}
    assert counts(support.by_week) == {"2026-W10": (1, 2), "2026-W11": (1, 1)}
    for by in GROUPS:
        if by not in {"tag", "scenario"}:
            assert sum(one.n for one in getattr(support, f"by_{by}")) == support.n


def test_weeks_are_those_of_iso_8601_in_utc_and_sort_by_time() -> None:
    sunday = datetime(2027, 1, 3, 23, tzinfo=UTC)
    assert week(pick(0, True, decided_at=sunday)) == "2026-W53"
    assert week(pick(0, True, decided_at=sunday + timedelta(hours=2))) == "2027-W01"
    ahead = datetime(2027, 1, 4, 1, tzinfo=timezone(timedelta(hours=8)))
    assert week(pick(0, True, decided_at=ahead)) == "2026-W53"


def test_an_unknown_breakdown_names_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="choose one of arms, tag"):
        shares([], "weather", ALPHA)


def test_intervals_that_hold_for_all_protected_tags_at_once() -> None:
    picks = [pick(number, number % 3 > 0, tags=("refund", f"t{number % 5}")) for number in range(60)]
    by_tag = shares(picks, "tag", ALPHA)

    (refund,) = simultaneous(by_tag, ALPHA, ["refund", "legal"])  # nobody decided on legal: it counts still
    assert (refund.low, refund.high) == interval(40, 60, ALPHA / 2)
    everything = simultaneous(by_tag, ALPHA)
    assert [one.name for one in everything] == [one.name for one in by_tag]
    assert all(
        wide.low < one.low and one.high < wide.high for wide, one in zip(everything, by_tag, strict=True)
    )
    assert simultaneous((), ALPHA) == ()


def test_a_selection_by_tag_language_and_scenario() -> None:
    picks = [
        pick(0, True, tags=("refund", "vip"), locale="zh-CN", scenario="returns"),
        pick(1, True, tags=("legal",), locale="en", scenario="returns"),
        pick(2, True, tags=("refund",), locale="zho"),
    ]

    def numbers(**selection: Any) -> list[int]:
        return [picks.index(one) for one in only(picks, **selection)]

    assert numbers() == [0, 1, 2]
    assert numbers(tags=["refund"]) == [0, 2]
    assert numbers(tags=["legal", "vip"]) == [0, 1]
    assert numbers(locales=["zh"]) == [0]
    assert numbers(scenarios=["returns"], locales=["en"]) == [1]
    assert numbers(scenarios=["none such"]) == []
