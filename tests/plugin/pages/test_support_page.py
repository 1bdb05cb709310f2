"""The support page: the rate, what it means, and that simulated decisions are called so."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picktune.pages import charts
from picktune.records import (
    AnnotatorRole,
    Candidate,
    Decision,
    Exposure,
    Message,
    Pick,
    Slate,
    Turn,
    new_id,
)
from picktune.support import support_rate
from picktune_adapters import Aliases

START = datetime(2026, 3, 1, tzinfo=UTC)


async def decide(
    site: Any,
    wins: Sequence[bool],
    *,
    arm: str = "base-b",
    model: str | None = None,
    role: AnnotatorRole = "agent",
    verdict: str = "chosen",
    tag: str = "refund",
) -> None:
    """Put real slates with real decisions into the log."""
    rng, log = random.Random(0), site.service.log
    for number, won in enumerate(wins):
        at = START + timedelta(minutes=number)
        turn = Turn(
            id=new_id(),
            conversation_id=new_id(),
            messages=(Message(role="user", content="Hi"),),
            tags=(tag,),
            created_at=at,
        )
        arms = ["base", "base", arm, arm]
        rng.shuffle(arms)
        candidates = tuple(
            Candidate(
                id=new_id(),
                arm=one,
                kind="challenger" if one == "challenger" else "champion" if one == "champion" else "base",
                model=model if one == arm else None,
                text=f"{number} {place}",
                position=place,
                propensity=0.5,
                tokens=2,
                latency=0.1,
            )
            for place, one in enumerate(arms)
        )
        slate = Slate(
            id=new_id(), turn=turn, candidates=candidates, policy="2+2", seed=1, complete=True, created_at=at
        )
        await log.add_slate(slate)
        order = tuple(one.id for one in candidates)
        await log.add_exposure(Exposure(slate_id=slate.id, viewer="mei", order=order, shown_at=at))
        picked = next(one.id for one in candidates if one.arm == (arm if won else "base"))
        await log.record(
            Pick(
                key=new_id(),
                slate_id=slate.id,
                verdict=verdict,  # type: ignore[arg-type]
                candidate_id=picked if verdict == "chosen" else None,
                annotator="mei",
                role=role,
                decided_at=at,
            )
        )


@pytest.mark.anyio
async def test_without_decisions_the_page_says_how_to_begin(site: Any) -> None:
    await site.sign_in()
    html = (await site.get("/support")).text
    assert "No slate has been decided yet" in html
    assert "<svg" in html


@pytest.mark.anyio
async def test_a_challenger_that_wins_is_great_and_the_page_says_what_to_do(site: Any) -> None:
    await site.sign_in()
    await decide(site, [True] * 86 + [False] * 14, arm="challenger", model="2026-03-01-1")
    await decide(site, [True] * 5, arm="challenger", model="2026-03-01-1", verdict="tie")
    html = (await site.get("/support")).text
    assert "86.0%" in html
    assert "86 of 100 choices" in html
    assert '<span class="badge good">great</span>' in html
    assert "2026-03-01-1" in html
    assert "an adapter that is not in service" in html.lower()  # no alias names it
    assert re.search(r"Equally good</dt><dd>5</dd>", html)
    assert "simulated" not in html


@pytest.mark.anyio
async def test_an_undecided_comparison_says_how_many_more_choices_it_takes(site: Any) -> None:
    await site.sign_in()
    await decide(site, [True, False, True] * 12, arm="challenger", model="trial")
    html = (await site.get("/support")).text
    assert re.search(r"About [\d,]+ more choices until this is decided", html)
    for kind in ("week", "tag", "language", "annotator", "role", "arm pair", "position"):
        assert f"<caption>By {kind}</caption>" in html
    assert "2026-W09" in html
    assert "challenger / base" in html
    assert "Only the whole decides" in html
    assert "大约还需" in (await site.get("/support", lang="zh")).text


@pytest.mark.anyio
async def test_more_than_two_are_ranked(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await site.sign_in()
    await decide(site, [True] * 9 + [False], arm="champion", model="old")
    assert 'id="ranking"' not in (await site.get("/support")).text  # two have a rate
    await decide(site, [True] * 5 + [False] * 5, arm="challenger", model="new")
    html = (await site.get("/support")).text
    ranked = html[html.index('id="ranking"') :]
    assert ranked.index(">old<") < ranked.index(">new<")
    assert "排名" in (await site.get("/support", lang="zh")).text
    monkeypatch.setitem(sys.modules, "evalica", None)
    assert "picktune[rank]" in (await site.get("/support")).text


@pytest.mark.anyio
async def test_choices_of_many_that_decided_say_no_number(site: Any) -> None:
    await site.sign_in()
    await decide(site, [True] * 40, arm="challenger", model="liked")
    assert "more choices until" not in (await site.get("/support")).text


@pytest.mark.anyio
async def test_the_aliases_say_who_is_who(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await site.sign_in()
    await decide(site, [True] * 30, arm="champion", model="old")
    await decide(site, [True] * 30, arm="challenger", model="new")
    monkeypatch.setattr(site.service.registry, "aliases", lambda: Aliases(champion="old", challenger="new"))
    html = (await site.get("/support")).text
    assert re.search(r"Challenger <bdi[^>]*>new", html)
    assert re.search(r"Champion <bdi[^>]*>old", html)
    assert "promote it to champion" in html


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("wins", "badge"),
    [([True, False], "too early to say"), ([True, False] * 100, "fair"), ([True] * 60, "unfair")],
)
async def test_the_base_against_itself_is_fair_or_not_or_too_early(
    site: Any, wins: list[bool], badge: str
) -> None:
    await site.sign_in()
    await decide(site, wins)
    assert re.search(rf'<span class="badge[^"]*">{badge}</span>', (await site.get("/support")).text)


@pytest.mark.anyio
async def test_simulated_decisions_are_called_so_in_both_languages(site: Any) -> None:
    await site.sign_in()
    await decide(site, [True] * 20, arm="challenger", model="m", role="model")
    assert '<span class="badge warn">simulated</span>' in (await site.get("/support")).text
    assert '<span class="badge warn">模拟</span>' in (await site.get("/support", lang="zh")).text


@pytest.mark.anyio
async def test_tags_of_customers_are_text_here_too(site: Any) -> None:
    await site.sign_in()
    await decide(site, [True, False], tag="<img src=x onerror=alert(1)>")
    html = (await site.get("/support")).text
    assert "&lt;img src=x" in html
    assert "<img" not in html


def decision(number: int, *, won: bool, verdict: str = "chosen") -> Decision:
    return Decision(
        slate_id=f"s{number}",
        conversation_id="c",
        annotator="mei",
        role="agent",
        verdict=verdict,  # type: ignore[arg-type]
        picked=("challenger",) if won else ("base",),
        position=0,
        arms=("base", "challenger"),
        shown=2,
        tuned="challenger",
        model="m",
        complete=True,
        decided_at=START + timedelta(minutes=number),
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["chosen", "tie", "skip"])), max_size=120))
def test_the_curve_ends_where_the_page_says_the_rate_stands(picks: list[tuple[bool, str]]) -> None:
    decisions = [decision(number, won=won, verdict=verdict) for number, (won, verdict) in enumerate(picks)]
    support = support_rate(decisions, model="m")
    curve = charts.curve(decisions, model="m", alpha=0.05, annotator_cap=200)
    if support.n < 2:
        assert curve is None
        return
    assert curve is not None
    line = [tuple(map(float, point.split())) for point in curve.line[1:].split(" L")]
    band = [tuple(map(float, point.split())) for point in curve.band[1:-2].split(" L")]
    assert line[-1] == (100.0, round(100 - 100 * (support.rate or 0), 2))
    assert line[0][0] == 0.0
    assert all(one[0] <= other[0] for one, other in pairwise(line))
    assert len(line) <= charts.POINTS
    highs, lows = band[: len(line)], band[len(line) :][::-1]
    for (_, high), (_, rate), (_, low) in zip(highs, line, lows, strict=True):
        assert 0 <= high <= rate <= low <= 100
    bar = charts.bar(support)
    assert bar is not None
    assert bar.low <= bar.rate <= bar.high
