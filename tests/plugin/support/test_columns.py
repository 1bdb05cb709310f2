"""The breakdowns from columns are those of ``support_rate``, whatever happens in the log."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from picktune.errors import InvalidInput
from picktune.log import SQLiteLog
from picktune.records import Candidate, Conversation, Decision, Exposure, Message, Pick, Slate, Turn
from picktune.support import GROUPS, support_rate
from picktune.support.columns import Columns
from picktune.supportfeed import SupportFeed
from picktune_adapters import Aliases

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
ARMS = [("base", "champion"), ("base", "base-b"), ("base", "champion", "champion")]


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    arms = draw(st.sampled_from(ARMS))
    tuned = arms[1]
    verdict = draw(st.sampled_from(["chosen", "chosen", "chosen", "tie", "none_good", "skip"]))
    picked = draw(st.sampled_from([("base",), (tuned,), ("base", tuned)])) if verdict == "chosen" else ()
    return Decision(
        slate_id=draw(st.sampled_from(["s1", "s2", "s3", "s4", "s10"])),
        conversation_id="c",
        annotator=draw(st.sampled_from(["ann", "bob", "cai"])),
        role=draw(st.sampled_from(["agent", "user", "model"])),
        verdict=verdict,  # type: ignore[arg-type]
        picked=picked,
        position=draw(st.integers(0, 1)) if picked else None,
        arms=arms,
        tuned=tuned,
        model=draw(st.sampled_from(["v1", "v2"])) if tuned == "champion" else None,
        complete=draw(st.booleans()) or draw(st.booleans()),
        tags=draw(st.sampled_from([(), ("a",), ("a", "b"), ("b", "b")])),
        scenario=draw(st.sampled_from([None, "refund", "delay"])),
        locale=draw(st.sampled_from(["en", "zh"])),
        decided_at=START + timedelta(days=draw(st.integers(0, 9)), hours=draw(st.sampled_from([0, 12]))),
    )


@given(
    st.lists(decisions(), max_size=40, unique_by=lambda one: (one.slate_id, one.annotator)),
    st.sampled_from(["v1", None]),
    st.integers(1, 4),
    st.sampled_from([None, ("agent", "user")]),
    st.integers(0, 5),
    st.sets(st.integers(0, 39)),
)
def test_the_same_as_the_definition(
    found: list[Decision], model: str | None, cap: int, roles: Any, days: int, withdrawn: set[int]
) -> None:
    columns = Columns()
    for one in found:
        columns.add(one)
    for place, one in enumerate(found):
        if place in withdrawn:
            columns.withdraw(one.slate_id, one.annotator)
    since, until = START + timedelta(days=days), START + timedelta(days=8)
    mine = [
        one
        for place, one in enumerate(found)
        if place not in withdrawn and since <= one.decided_at < until and (not roles or one.role in roles)
    ]
    support = support_rate(mine, model=model, annotator_cap=cap)
    assert len(columns) == len(found) - len([place for place in withdrawn if place < len(found)])
    for by in GROUPS:
        assert columns.shares(
            by, model=model, since=since, until=until, roles=roles, annotator_cap=cap
        ) == getattr(support, f"by_{by}")


def test_an_unknown_breakdown() -> None:
    with pytest.raises(InvalidInput, match="no breakdown by 'weather'; choose one of arms"):
        Columns().shares("weather", model=None)


def slate_of(number: int) -> Slate:
    at = START + timedelta(hours=number)
    return Slate(
        id=f"slate {number}",
        turn=Turn(
            id=f"turn {number}",
            conversation_id=f"talk {number % 3}",
            messages=(Message(role="user", content="Hello?"),),
            tags=("a",) if number % 2 else ("a", "b"),
            created_at=at,
        ),
        candidates=tuple(
            Candidate(
                id=f"reply {number} {arm}",
                arm=arm,
                kind="base",
                model=None,
                text=f"Reply of {arm}.",
                position=place,
                propensity=0.5,
                tokens=3,
                latency=0.1,
                # Which adapter that was, only the aliases of the time can tell.
                also=("champion",) if arm == "base" and number % 4 == 0 else (),
            )
            for place, arm in enumerate(("base", "base-b"))
        ),
        policy="1+1",
        seed=1,
        complete=True,
        created_at=at,
    )


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["pick", "pick", "pick", "undo", "undo", "aliases", "conversation", "earlier"]),
        st.integers(0, 7),
        st.sampled_from(["ann", "bob"]),
    ),
    max_size=30,
)


@settings(max_examples=30, deadline=None)
@given(STEPS)
def test_the_same_whatever_happens_in_the_log(steps: list[tuple[str, int, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_follow(Path(folder) / "picktune.db", steps))


async def _follow(path: Path, steps: list[tuple[str, int, str]]) -> None:
    feed, since = SupportFeed(), START
    async with SQLiteLog.open(path) as log:
        for number in range(8):
            slate = slate_of(number)
            await log.add_slate(slate)
            order = tuple(one.id for one in slate.candidates)
            for viewer in ("ann", "bob"):
                await log.add_exposure(
                    Exposure(slate_id=slate.id, viewer=viewer, order=order, shown_at=START)
                )
        for at, (what, number, who) in enumerate(steps):
            now, slate = START + timedelta(minutes=at), slate_of(number)
            if what == "aliases":
                await log.saw_aliases(Aliases(champion=f"v{number}"), START - timedelta(hours=number))
            elif what == "conversation":
                await log.add_conversations([_conversation(f"talk {number % 3}")])
            elif what == "earlier":
                since = START - timedelta(hours=number)
            else:
                standing = [p for p in log.reader.picks(slate.id, who) if p.verdict != "undone"]
                stands = len(log.reader.picks(slate.id, who)) % 2 == 1
                if stands != (what == "undo"):
                    continue
                chosen = slate.candidates[(number + len(standing)) % 2].id
                pick = Pick(
                    key=f"{at}",
                    slate_id=slate.id,
                    verdict="chosen",
                    candidate_id=chosen,
                    annotator=who,
                    decided_at=now - timedelta(hours=number % 3),
                )
                if what == "undo":
                    pick = structs.replace(pick, verdict="undone", candidate_id=None)
                await log.record(pick)
            for model in (None, *(f"v{one}" for one in range(8))):
                support = support_rate(log.reader.decisions(since=since), model=model)
                for by in ("tag", "scenario", "annotator"):
                    assert feed.shares(log.reader, by, model=model, since=since) == getattr(
                        support, f"by_{by}"
                    )


def _conversation(name: str) -> Conversation:
    return Conversation(id=name, title="", scenario="refund", created_at=START, updated_at=START)
