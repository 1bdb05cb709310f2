"""The contract of ``Log`` and ``LogReader``, for every implementation: nothing here knows how it is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from picktune.errors import (
    AlreadyDecided,
    CandidateNotFound,
    Conflict,
    ConversationNotFound,
    InvalidInput,
    KeyReused,
    LogUnavailable,
    NotShown,
    SlateNotFound,
)
from picktune.late import ReadableLog
from picktune.log import SQLiteLog
from picktune.log.news import Mark, Withdrawn
from picktune.records import DecidedSlate, Decision, Message, Selection
from picktune_adapters import Aliases

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Implementation:
    """Opens the log that is kept in a folder; the same folder again gives the same log."""

    open: Callable[[Path], ReadableLog]


# A second implementation is tested by a line here.
IMPLEMENTATIONS: Mapping[str, Implementation] = {
    "sqlite": Implementation(open=lambda folder: SQLiteLog.open(folder / "picktune.db")),
}


@pytest.fixture(params=IMPLEMENTATIONS)
def implementation(request: pytest.FixtureRequest) -> Implementation:
    return IMPLEMENTATIONS[request.param]


@pytest.fixture
async def kept(implementation: Implementation, tmp_path: Path) -> AsyncIterator[ReadableLog]:
    log = implementation.open(tmp_path)
    yield log
    await log.close()


async def test_what_was_written_is_there_after_it_is_opened_again(
    implementation: Implementation, tmp_path: Path, make: Any
) -> None:
    first = implementation.open(tmp_path)
    slate = await make.shown(first)
    pick = await first.record(make.pick(slate, chosen=1))
    reaction = await first.react(make.reaction(slate))
    await first.close()
    await first.close()
    with pytest.raises(LogUnavailable):
        await first.add_slate(make.slate())

    second = implementation.open(tmp_path)
    assert second.reader.slate(slate.id) == slate
    assert second.reader.picks(slate.id) == [pick]
    assert [one.reaction for one in second.reader.reacted_replies(Selection())] == [reaction]
    await second.check()
    await second.close()


async def test_the_same_again_changes_nothing(kept: ReadableLog, make: Any) -> None:
    conversation = make.conversation()
    assert await kept.add_conversations([conversation]) == 1
    assert await kept.add_conversations([conversation]) == 0
    slate = make.slate(conversation=conversation)
    await kept.add_slate(slate)
    await kept.add_slate(slate)
    exposure = make.exposure(slate, order=[3, 1, 0, 2])
    assert await kept.add_exposure(exposure) == exposure
    assert await kept.add_exposure(make.exposure(slate)) == exposure
    pick, reaction = make.pick(slate), make.reaction(slate)
    assert await kept.record(pick) == await kept.record(structs.replace(pick, decided_at=make.time())) == pick
    assert await kept.react(reaction) == await kept.react(reaction) == reaction
    counts = kept.reader.counts()
    assert (counts["slates"], counts["exposures"], counts["picks"], counts["reactions"]) == (1, 1, 1, 1)


async def test_the_same_name_for_something_else_is_refused(kept: ReadableLog, make: Any) -> None:
    slate = await make.shown(kept)
    with pytest.raises(Conflict):
        await kept.add_slate(structs.replace(slate, seed=slate.seed + 1))
    pick, reaction = make.pick(slate), make.reaction(slate)
    await kept.record(pick)
    await kept.react(reaction)
    with pytest.raises(KeyReused):
        await kept.record(structs.replace(pick, comment="other"))
    with pytest.raises(KeyReused):
        await kept.react(structs.replace(reaction, value="down"))


async def test_what_is_not_there(kept: ReadableLog, make: Any) -> None:
    slate = make.slate()
    with pytest.raises(SlateNotFound):
        kept.reader.slate(slate.id)
    with pytest.raises(CandidateNotFound):
        kept.reader.slate_of_candidate(slate.candidates[0].id)
    with pytest.raises(ConversationNotFound):
        kept.reader.conversation("nothing")
    with pytest.raises(SlateNotFound):
        await kept.record(make.pick(slate))
    with pytest.raises(SlateNotFound):
        await kept.add_exposure(make.exposure(slate))
    with pytest.raises(CandidateNotFound):
        await kept.react(make.reaction(slate))
    assert kept.reader.waiting_slate("nothing") is None
    assert kept.reader.picks(slate.id) == []
    assert kept.reader.exposures(slate.id) == []


async def test_only_who_saw_a_slate_decides_and_only_once(kept: ReadableLog, make: Any) -> None:
    slate, other = await make.shown(kept), await make.shown(kept)
    with pytest.raises(NotShown):
        await kept.record(make.pick(slate, annotator="bob"))
    with pytest.raises(CandidateNotFound):
        await kept.record(make.pick(slate, candidate_id=other.candidates[0].id))
    await kept.record(make.pick(slate))
    with pytest.raises(AlreadyDecided):
        await kept.record(make.pick(slate, chosen=1))


@pytest.mark.parametrize(
    "fields",
    [{"verdict": "chosen", "candidate_id": None}, {"verdict": "skip"}, {"key": ""}, {"dwell_ms": -1}],
)
async def test_a_decision_that_contradicts_itself(kept: ReadableLog, make: Any, fields: Any) -> None:
    pick = make.pick(await make.shown(kept))
    with pytest.raises(InvalidInput):
        await kept.record(structs.replace(pick, **fields))
    assert kept.reader.picks(pick.slate_id) == []


async def test_changing_ones_mind_writes_versions(kept: ReadableLog, make: Any) -> None:
    slate = await make.shown(kept)
    with pytest.raises(Conflict):
        await kept.record(make.pick(slate, "undone"))
    for number, (verdict, chosen) in enumerate([("chosen", 1), ("undone", None), ("tie", 2)], 1):
        assert (await kept.record(make.pick(slate, verdict, chosen))).version == number
    (decision,) = kept.reader.decisions()
    assert (decision.verdict, decision.picked) == ("tie", ())
    assert [one.verdict for one in kept.reader.picks(slate.id)] == ["chosen", "undone", "tie"]


async def test_a_reply_joins_its_conversation_and_can_be_taken_back(kept: ReadableLog, make: Any) -> None:
    conversation = make.conversation(pending=("And when?",))
    await kept.add_conversations([conversation])
    slate = await make.shown(kept, conversation=conversation)
    assert kept.reader.waiting_slate(conversation.id, viewer="ann") == slate
    await kept.record(make.pick(slate, chosen=1, edited_text="Tomorrow."))
    stands = kept.reader.conversation(conversation.id)
    assert stands.messages[1:] == (
        Message(role="assistant", content="Tomorrow."),
        Message(role="user", content="And when?"),
    )
    assert kept.reader.waiting_slate(conversation.id) is None
    await kept.record(make.pick(slate, "undone"))
    assert kept.reader.conversation(conversation.id).messages == conversation.messages
    last = make.conversation()
    await kept.add_conversations([last])
    await kept.record(make.pick(await make.shown(kept, conversation=last)))
    assert kept.reader.conversation(last.id).status == "closed"
    assert kept.reader.count_conversations() == 1
    assert [one.id for one in kept.reader.conversations(status="closed")] == [last.id]


async def test_decisions_come_by_time_and_are_selected(kept: ReadableLog, make: Any) -> None:
    picks = []
    for number in range(6):
        slate = await make.shown(kept)
        at = make.now - timedelta(hours=number)  # a clock that is set back
        picks.append(await kept.record(make.pick(slate, decided_at=at, role=("agent", "expert")[number % 2])))
    times = sorted(pick.decided_at for pick in picks)
    assert [one.decided_at for one in kept.reader.decisions()] == times
    assert [one.decided_at for one in kept.reader.decisions(since=times[2], until=times[4])] == times[2:4]
    assert {one.role for one in kept.reader.decisions(roles=["expert"])} == {"expert"}
    selection = Selection(since=times[1], roles=("agent",))
    decided = list(kept.reader.decided_slates(selection))
    assert kept.reader.count_selected(selection) == (len(decided), 0)
    assert len(list(kept.reader.preferences())) == 3 * len(list(kept.reader.choice_sets())) == 18


async def test_a_decision_from_elsewhere_reads_back(
    kept: ReadableLog, implementation: Implementation, tmp_path: Path, make: Any
) -> None:
    await kept.saw_aliases(Aliases(champion="2026-03-01-1"), make.time())
    slate = await make.shown(kept)
    await kept.record(make.pick(slate, edited_text="Better."))
    (decided,) = kept.reader.decided_slates(Selection())
    assert isinstance(decided, DecidedSlate)
    other = implementation.open(tmp_path / "other")
    assert await other.add_decided(decided)
    assert not await other.add_decided(decided)
    assert list(other.reader.decided_slates(Selection())) == [decided]
    await other.close()


async def test_news_keeps_a_copy_up_to_date(kept: ReadableLog, make: Any) -> None:
    copy: dict[tuple[str, str], Decision] = {}
    mark: Mark | None = None
    slates = [await make.shown(kept, viewers=("ann", "bob")) for _ in range(4)]
    steps = [
        (0, "chosen"),
        (1, "chosen"),
        (0, "undone"),
        (2, "tie"),
        (0, "chosen"),
        (2, "undone"),
        (3, "skip"),
    ]
    for place, verdict in steps:
        await kept.record(make.pick(slates[place], verdict))
        if place == 1:
            await kept.saw_aliases(Aliases(champion="another"), make.time())
        for one in kept.reader.news(mark):
            if isinstance(one, Mark):
                mark, copy = one, {} if one.fresh else copy
            elif isinstance(one, Withdrawn):
                copy.pop((one.slate_id, one.annotator), None)
            else:
                copy[one.slate_id, one.annotator] = one
        assert sorted(copy.values(), key=lambda one: one.decided_at) == list(kept.reader.decisions())
    assert mark is not None
    assert [type(one) for one in kept.reader.news(mark)] == [Mark]


async def test_one_bad_request_harms_no_other(kept: ReadableLog, make: Any) -> None:
    slates = [await make.shown(kept) for _ in range(30)]
    picks = [
        make.pick(slate, annotator="nobody" if number % 3 == 0 else "ann")
        for number, slate in enumerate(slates)
    ]
    outcomes = await asyncio.gather(*map(kept.record, picks), return_exceptions=True)
    assert [isinstance(one, NotShown) for one in outcomes] == [number % 3 == 0 for number in range(30)]
    assert len(list(kept.reader.decisions())) == 20


async def test_reading_sees_one_moment_while_others_write(kept: ReadableLog, make: Any) -> None:
    for _ in range(5):
        await kept.record(make.pick(await make.shown(kept)))
    reading = kept.reader.decisions()
    next(reading)
    await kept.record(make.pick(await make.shown(kept)))
    assert len(list(reading)) == 4
    assert len(list(kept.reader.decisions())) == 6
