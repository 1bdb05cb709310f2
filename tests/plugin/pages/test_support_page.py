"""The support page: the rate, what it means, and that simulated decisions are called so."""

from __future__ import annotations

import csv
import io
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
    start: datetime = START,
) -> None:
    """Put real slates with real decisions into the log."""
    rng, log = random.Random(0), site.service.log
    for number, won in enumerate(wins):
        at = start + timedelta(minutes=number)
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
async def test_the_weeks_are_drawn_with_chance_and_the_bar_of_promotion(site: Any) -> None:
    await site.sign_in()
    await decide(site, [True, True, False], arm="challenger", model="trial")
    assert "choices in two weeks" in (await site.get("/support")).text
    for number, wins in enumerate(([True, False], [True] * 4), 1):
        later = START + timedelta(weeks=2 * number)
        await decide(site, wins, arm="challenger", model="trial", start=later)
    html = (await site.get("/support")).text
    trend = html[
        html.index('class="curve trend"') : html.index("</figure>", html.index('class="curve trend"'))
    ]
    assert re.findall(r"<title>(2026-W\d\d): (\d+%) of (\d+) choices", trend) == [
        ("2026-W09", "67%", "3"),
        ("2026-W11", "50%", "2"),
        ("2026-W13", "100%", "4"),
    ]
    assert 'class="promotion" x1="0" x2="100" y1="30.0"' in trend
    assert 'class="chance" x1="0" x2="100" y1="50"' in trend
    assert html.count('class="mini"') >= 6
    assert "逐周走势" in (await site.get("/support", lang="zh")).text
    assert "style=" not in html  # the policy would drop it


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(0, 200), max_size=40), st.randoms(use_true_random=False))
def test_the_weeks_stand_at_their_times_and_within_the_drawing(weeks: set[int], rng: random.Random) -> None:
    decisions = [
        decision(number, won=rng.random() < 0.6, at=START + timedelta(weeks=week))
        for number, week in enumerate(sorted(weeks))
    ]
    trend = charts.trend(support_rate(decisions, model="m").by_week)
    if len(weeks) < 2:
        assert trend is None
        return
    assert trend is not None
    kept = sorted(weeks)[-charts.WEEKS :]
    spots = [100 * (week - kept[0]) / (kept[-1] - kept[0]) for week in kept]
    assert [point.across for point in trend.points] == pytest.approx(spots, abs=0.01)
    assert all(0 <= point.bar.low <= point.bar.rate <= point.bar.high <= 100 for point in trend.points)


@pytest.mark.anyio
async def test_a_selection_shows_its_decisions_and_says_that_it_is_one(site: Any) -> None:
    await site.sign_in()
    await decide(site, [True] * 3, arm="challenger", model="trial", tag="<refund>")
    later = START + timedelta(days=3)
    await decide(site, [False] * 5, arm="challenger", model="trial", tag="late & lost", start=later)
    html = (await site.get("/support", tag="late & lost")).text
    assert "0 of 5 choices" in html
    assert "This is a selection" in html
    assert "What to do next" not in html  # the gate goes by all
    assert "support.csv?tag=late+%26+lost" in html
    assert '<option value="&lt;refund&gt;">' in html  # the others can still be chosen
    assert "3 of 3 choices" in (await site.get("/support", until="2026-03-04", tag="")).text
    assert "0 of 5 choices" in (await site.get("/support", since="2026-03-04")).text
    assert "No decision matches" in (await site.get("/support", role="expert")).text
    assert "没有符合筛选条件" in (await site.get("/support", scenario="none", lang="zh")).text


@pytest.mark.anyio
@pytest.mark.parametrize(
    "query",
    [
        {"since": "yesterday"},
        {"role": "<script>"},
        {"since": "2026-03-04", "until": "2026-03-04"},
        {"tag": "x" * 5000},
        {"until": "99999-01-01"},
    ],
)
async def test_a_selection_that_cannot_be_read_is_answered_so(site: Any, query: dict[str, str]) -> None:
    await site.sign_in()
    answer = await site.get("/support", **query)
    assert answer.status_code == 422
    assert "This selection cannot be shown" in answer.text
    assert "<script>" not in answer.text
    assert (await site.get("/support.csv", **query)).status_code == 422


@pytest.mark.anyio
async def test_the_figures_come_as_a_sheet_of_the_same_selection(site: Any) -> None:
    assert (await site.get("/support.csv")).status_code == 401
    await site.sign_in()
    await decide(site, [True] * 3, arm="challenger", model="trial", tag="=1+1")
    await decide(site, [False] * 5, arm="challenger", model="trial", tag="退款")
    answer = await site.get("/support.csv", tag="退款")
    assert answer.headers["content-disposition"] == 'attachment; filename="support.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    whole = next(row for row in rows if row["adapter"] == "trial" and row["by"] == "all")
    assert (whole["wins"], whole["picks"], whole["rate"]) == ("0", "5", "0.000000")
    assert [row["group"] for row in rows if row["by"] == "tag"] == ["退款"]
    assert "'=1+1" in (await site.get("/support.csv")).text


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


def decision(number: int, *, won: bool, verdict: str = "chosen", at: datetime | None = None) -> Decision:
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
        decided_at=at or START + timedelta(minutes=number),
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
