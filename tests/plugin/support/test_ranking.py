"""The ranking: strengths from picks of one out of K, and how sure they are."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from picktune.cli import main
from picktune.errors import MissingExtra
from picktune.interchange import pandalm
from picktune.log import SQLiteLog
from picktune.records import Decision
from picktune.support import contestants, rank
from picktune.support.ranking import contests
from scipy.optimize import minimize
from scipy.special import expit

START = datetime(2026, 3, 1, tzinfo=UTC)


def pick(number: int, shown: Sequence[str | None], chosen: int, **fields: Any) -> Decision:
    """A pick among replies of these models, ``None`` being the base."""
    arms = tuple("base" if one is None else f"arm of {one}" for one in shown)
    tuned = next((arm for arm in arms if arm != "base"), None)
    values: dict[str, Any] = {
        "slate_id": f"slate {number}",
        "conversation_id": f"conversation {number // 2}",
        "annotator": f"agent {number % 7}",
        "role": "agent",
        "verdict": "chosen",
        "picked": (arms[chosen],),
        "picked_models": (shown[chosen],),
        "position": chosen,
        "arms": arms,
        "models": tuple(shown),
        "tuned": tuned,
        "model": next((one for one in shown if one is not None), None),
        "complete": True,
        "decided_at": START + timedelta(minutes=number),
    }
    return Decision(**values | fields)


def season(slates: int, strengths: dict[str | None, float], size: int, seed: int = 0) -> list[Decision]:
    """Slates of ``size`` of them, each of which is picked in proportion to its strength."""
    rng = np.random.default_rng(seed)
    names, found = list(strengths), []
    for number in range(slates):
        shown = [names[int(at)] for at in rng.permutation(len(names))[:size]]
        odds = np.array([strengths[one] for one in shown])
        found.append(pick(number, shown, int(rng.choice(size, p=odds / odds.sum()))))
    return found


def test_two_are_ranked_by_their_rate() -> None:
    picks = [pick(number, [None, "v1"], int(number < 90)) for number in range(120)]

    ranking = rank(picks)

    first, second = ranking.contestants
    assert (first.name, first.rank, first.wins, first.n) == ("v1", 1, 90, 120)
    assert (second.name, second.wins, second.chance) == ("base", 30, 0.5)
    assert first.chance == pytest.approx(90.5 / 121)  # with half a win each way
    assert first.low < first.chance < first.high
    assert (ranking.reference, ranking.slates, ranking.conversations) == ("base", 120, 60)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_choices_of_one_out_of_k_give_back_the_strengths(size: int) -> None:
    strengths: dict[str | None, float] = {None: 1.0, "v1": 1.5, "v2": 3.0, "v3": 6.0}
    ranking = rank(season(4000, strengths, size), annotator_cap=10_000)

    assert [one.name for one in ranking.contestants] == ["v3", "v2", "v1", "base"]
    for one in ranking.contestants:
        strength = strengths[None if one.name == "base" else one.name]
        assert one.chance == pytest.approx(strength / (strength + 1), abs=0.035)
        assert one.best <= one.rank <= one.worst
    assert sum(one.wins for one in ranking.contestants) == ranking.slates == 4000


def test_it_is_the_maximum_of_the_likelihood() -> None:
    picks = season(300, {None: 1.0, "v1": 2.0, "v2": 0.7}, 2, seed=3)
    ranking = rank(picks, resamples=20)
    names = ["base", "v1", "v2"]
    won = np.full((3, 3), 0.5)  # half a win each way
    for one in contests(picks):
        for loser, weight in one.losers.items():
            won[names.index(one.winner), names.index(loser)] += weight
    np.fill_diagonal(won, 0)

    def loss(free: Any) -> float:
        strengths = np.array([0.0, *free])
        return -float((won * np.log(expit(strengths[:, None] - strengths[None, :]))).sum())

    best = [0.0, *minimize(loss, [0.0, 0.0], tol=1e-10).x]
    for one in ranking.contestants:
        assert one.chance == pytest.approx(expit(best[names.index(one.name)]), abs=1e-4)


def test_a_slate_weighs_one_however_many_it_shows() -> None:
    (two,) = contests([pick(0, [None, "v1", None, "v1"], 1)])
    (three,) = contests([pick(0, [None, "v1", "v2"], 1)])

    assert two.losers == {"base": 1.0}
    assert three.losers == {"base": 0.5, "v2": 0.5}


@pytest.mark.parametrize(
    "fields",
    [
        {"verdict": "tie", "picked": (), "picked_models": ()},
        {"complete": False},
        {"picked": ("base", "arm of v1"), "picked_models": (None, "v1")},  # both said the same words
        {"models": (None, "v1", "v1"), "arms": ("base", "arm of v1", "arm of v1")},  # one showed more
        {"models": (None, None), "arms": ("base", "base-b"), "picked": ("base",), "picked_models": (None,)},
        {"models": (None, None)},  # an adapter of which nobody knows which
    ],
)
def test_what_does_not_count(fields: dict[str, Any]) -> None:
    assert contests([pick(0, [None, "v1"], 1, **fields)]) == []


def test_slates_count_once_and_annotators_up_to_the_cap() -> None:
    again = pick(0, [None, "v1"], 0, annotator="late", decided_at=START + timedelta(days=1))
    prolific = [pick(number, [None, "v1"], 1, annotator="ann") for number in range(10)]
    other = [pick(20 + number, [None, "v2"], 1, annotator="ann") for number in range(4)]

    found = contests([again, *prolific, *other], annotator_cap=6)

    assert [one.winner for one in found] == ["v1"] * 6 + ["v2"] * 4


def test_the_intervals_cover_with_conversations_that_agree_within() -> None:
    # Every conversation's two picks are the same: the bootstrap must not take them for two.
    strengths: dict[str | None, float] = {None: 1.0, "v1": 2.0, "v2": 4.0}
    inside = 0
    for seed in range(30):
        once = season(120, strengths, 2, seed)
        twice = [
            pick(2 * number + turn, one.models, one.position or 0)
            for number, one in enumerate(once)
            for turn in range(2)
        ]
        ranked = {one.name: one for one in rank(twice, resamples=60).contestants}
        inside += ranked["v2"].low <= 0.8 <= ranked["v2"].high

    assert inside >= 24  # 95 % of 30 are 28; three standard deviations and the percentile's bias are slack


def test_nobody_is_compared_without_a_chain_of_slates() -> None:
    near = [pick(number, [None, "v1"], number % 2) for number in range(10)]
    far = [pick(20 + number, ["x", "y"], number % 2) for number in range(10)]

    ranking = rank(near + far)

    assert [one.name for one in ranking.contestants] == ["base", "v1"]
    assert ranking.apart == ("x", "y")
    assert rank([]).contestants == ()


def test_without_wins_a_strength_stays_finite() -> None:
    ranking = rank([pick(number, [None, "v1"], 1) for number in range(30)])

    assert 0.9 < ranking.contestants[0].chance < 1.0
    assert ranking.contestants[1].wins == 0


def test_older_decisions_without_models_name_the_tuned_arm_alone() -> None:
    one = pick(0, [None, "v1"], 1, models=(), picked_models=())

    assert contestants(one) == ("base", "v1")
    assert contests([one])[0].winner == "v1"


def test_simulated_picks_say_so() -> None:
    assert rank([pick(0, [None, "v1"], 1, role="model")]).simulated


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "evalica", None)
    with pytest.raises(MissingExtra, match=r"pip install 'picktune\[rank\]'"):
        rank([])


# The command


def run(home: Path, *arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["support", "--home", str(home), "--rank", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_the_command_ranks_a_real_log(picked_home: Path) -> None:
    table = run(picked_home)
    assert table.index("v1") < table.index("v2") < table.index("base", table.index("v2"))
    assert "48 of 60" in table
    assert "92 slates of 31 conversations" in table
    ranked = json.loads(run(picked_home, "--json"))
    assert [one["name"] for one in ranked["contestants"]] == ["v1", "v2", "base"]
    assert "No slate has been decided" in run(picked_home, "--tag", "nowhere")
    assert "leave out --by and --csv" in run(picked_home, "--csv", code=2)


@pytest.mark.anyio
async def test_imported_votes_rank_models_that_were_never_arms_of_ours(tmp_path: Path) -> None:
    votes = [
        pandalm.Comparison(
            idx=number,
            motivation_app="Mail",
            instruction=f"Write {number}.",
            input="",
            response1="One.",
            response2="Two.",
            annotator1=2,
            annotator2=0,
            annotator3=2,
            cmp_key="llama_opt" if number % 2 else "bloom_llama",
        )
        for number in range(6)
    ]
    async with SQLiteLog.open(tmp_path / "picktune.db") as log:
        for vote in votes:
            for one in pandalm.to_decided(vote, now=START):
                await log.add_decided(one)
        ranking = rank(log.reader.decisions())

    assert [one.name for one in ranking.contestants] == ["opt", "llama", "bloom"]
    assert ranking.slates == 6


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
