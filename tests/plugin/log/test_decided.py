"""Decisions with everything that led to them: read out as selected, and kept from elsewhere."""

from __future__ import annotations

import resource
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from picktune.errors import AlreadyDecided, Conflict, InvalidInput, KeyReused
from picktune.late import LateLog
from picktune.log import SQLiteLog
from picktune.records import AliasesSeen, Message, Selection
from picktune_adapters import AdapterVersion, Aliases

pytestmark = pytest.mark.anyio
EVERYTHING = Selection()
VERSION = AdapterVersion(
    name="v1", base_model="b", sha256="0" * 64, rank=8, run_id="r", dataset_id="d", picks=1,
    created_at=datetime(2026, 3, 1, tzinfo=UTC),
)  # fmt: skip


async def decided(log: SQLiteLog, make: Any, verdict: str = "chosen", **fields: Any) -> Any:
    """A decision in the log by ``ann``, who saw the slate in another order."""
    pick = {name: fields.pop(name) for name in ("role", "edited_text", "key") if name in fields}
    slate = make.slate(**fields)
    await log.add_slate(slate)
    order = range(len(slate.candidates))[::-1]
    await log.add_exposure(make.exposure(slate, order=order))
    return slate, await log.record(make.pick(slate, verdict, **pick))


async def test_a_decision_comes_with_its_slate_as_it_was_seen(log: SQLiteLog, make: Any) -> None:
    await log.saw_aliases(Aliases(champion="v1", challenger=None), make.time())
    slate, pick = await decided(log, make)
    await log.react(make.reaction(slate, 2, value="down"))
    await log.react(make.reaction(slate, 1, annotator="bob"))

    (one,) = log.reader.decided_slates(EVERYTHING)

    assert (one.slate, one.pick) == (slate, pick)
    assert one.shown == tuple(reversed(slate.candidates))
    assert one.picked == slate.candidates[0]
    assert one.aliases is not None
    assert (one.aliases.champion, one.aliases.challenger) == ("v1", None)
    assert one.reacted == (slate.candidates[2].id,)


async def test_only_what_stands(log: SQLiteLog, make: Any) -> None:
    slate, _ = await decided(log, make)
    await log.record(make.pick(slate, "undone"))
    assert list(log.reader.decided_slates(EVERYTHING)) == []
    again = await log.record(make.pick(slate, "tie"))
    assert [one.pick for one in log.reader.decided_slates(EVERYTHING)] == [again]


async def test_selecting(log: SQLiteLog, make: Any) -> None:
    times = []
    for role, tags, locale in (
        ("agent", ("billing", "order"), "en"),
        ("user", (), "zh"),
        ("model", ("order",), "zh-CN"),
        ("expert", ("ord",), "zho"),
    ):
        slate, pick = await decided(log, make, role=role, turn={"tags": tags, "locale": locale})
        await log.react(make.reaction(slate, role=role))
        times.append(pick.decided_at)

    def roles(**fields: Any) -> list[str]:
        selection = Selection(**fields)
        found = [one.pick.role for one in log.reader.decided_slates(selection)]
        reacted = [one.reaction.role for one in log.reader.reacted_replies(selection)]
        assert log.reader.count_selected(selection) == (len(found), len(reacted))
        assert "since" in fields or "until" in fields or found == reacted
        return found

    assert roles() == ["agent", "user", "model", "expert"]
    assert roles(roles=("user", "expert")) == ["user", "expert"]
    assert roles(tags=("order",)) == ["agent", "model"]
    assert roles(tags=("ord", "billing")) == ["agent", "expert"]
    assert roles(locales=("zh",)) == ["user", "model"]
    assert roles(locales=("zh-CN", "en")) == ["agent", "model"]
    assert roles(locales=("%",)) == roles(tags=("' OR 1 --",)) == roles(roles=()) == []
    assert roles(since=times[1], until=times[3]) == ["user", "model"]
    with pytest.raises(InvalidInput, match="time zone"):
        roles(since=datetime(2026, 1, 1))  # noqa: DTZ001


async def test_of_the_reactions_the_newest_of_each(log: SQLiteLog, make: Any) -> None:
    slate = await make.shown(log)
    for place, value, annotator in ((0, "up", "ann"), (0, "down", "ann"), (1, "up", "ann"), (0, "up", "bob")):
        await log.react(make.reaction(slate, place, value=value, annotator=annotator))

    found = list(log.reader.reacted_replies(EVERYTHING))

    assert [(one.candidate.position, one.reaction.value, one.reaction.annotator) for one in found] == [
        (0, "down", "ann"),
        (1, "up", "ann"),
        (0, "up", "bob"),
    ]
    assert found[0].slate == slate
    assert log.reader.count_selected(EVERYTHING) == (0, 3)


async def test_memory_stays_bounded(log: SQLiteLog, make: Any) -> None:
    # 30 MB of replies, of which a reader holds a handful at a time.
    for _ in range(100):
        slate = await make.shown(log, texts=["x" * 75_000] * 4)
        await log.record(make.pick(slate))
    for _ in zip(range(10), log.reader.decided_slates(EVERYTHING), strict=False):
        pass
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(1 for _ in log.reader.decided_slates(EVERYTHING)) == 100
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 12_000  # kilobytes


# From elsewhere


async def test_a_decision_from_elsewhere_is_kept_once(log: SQLiteLog, make: Any, tmp_path: Path) -> None:
    _, pick = await decided(log, make, edited_text="Mended.")
    (one,) = log.reader.decided_slates(EVERYTHING)
    async with SQLiteLog.open(tmp_path / "other.db") as other:
        assert await other.add_decided(one)
        assert not await other.add_decided(one)
        assert list(other.reader.decided_slates(EVERYTHING)) == [one]
        assert list(other.reader.decisions()) == list(log.reader.decisions())
        # Taken back here, it stays taken back.
        await other.record(make.pick(one.slate, "undone"))
        assert not await other.add_decided(one)
        assert list(other.reader.decided_slates(EVERYTHING)) == []
    assert not await log.add_decided(one)
    assert log.reader.picks(pick.slate_id) == [pick]


async def test_a_log_that_opens_late_takes_it_too(log: SQLiteLog, make: Any, tmp_path: Path) -> None:
    await decided(log, make)
    (one,) = log.reader.decided_slates(EVERYTHING)
    late = LateLog(lambda: SQLiteLog.open(tmp_path / "other.db"))
    assert await late.add_decided(one)
    assert list(late.reader.decided_slates(EVERYTHING)) == [one]
    await late.close()


async def test_it_sends_nothing(log: SQLiteLog, make: Any, tmp_path: Path) -> None:
    conversation = make.conversation()
    slate = make.slate(conversation=conversation)
    await log.add_slate(slate)
    await log.add_exposure(make.exposure(slate))
    await log.record(make.pick(slate))
    (one,) = log.reader.decided_slates(EVERYTHING)
    async with SQLiteLog.open(tmp_path / "other.db") as other:
        await other.add_conversations([conversation])
        await other.add_decided(one)
        assert other.reader.conversation(conversation.id) == conversation


async def test_what_contradicts_the_log_changes_nothing(log: SQLiteLog, make: Any) -> None:
    await decided(log, make)
    (one,) = log.reader.decided_slates(EVERYTHING)
    before = log.reader.counts()

    async def refused(error: type[Exception], match: str, **changed: Any) -> None:
        with pytest.raises(error, match=match):
            await log.add_decided(structs.replace(one, **changed))

    turn = structs.replace(one.slate.turn, messages=(Message(role="user", content="Another."),))
    await refused(Conflict, "different slate", slate=structs.replace(one.slate, turn=turn))
    order = one.exposure.order[::-1]
    await refused(Conflict, "another order", exposure=structs.replace(one.exposure, order=order))
    await refused(AlreadyDecided, "already", pick=structs.replace(one.pick, key="new"))
    await refused(KeyReused, "already used", pick=structs.replace(one.pick, verdict="tie"))
    await refused(InvalidInput, "undone", pick=structs.replace(one.pick, verdict="undone", candidate_id=None))
    await refused(InvalidInput, "annotator", pick=structs.replace(one.pick, annotator=""))
    slate = make.slate()
    strange = structs.replace(slate, candidates=one.slate.candidates)
    ours = make.exposure(strange)
    await refused(InvalidInput, "candidates.id", slate=strange, exposure=ours, pick=make.pick(strange, "tie"))
    assert log.reader.counts() == before


async def test_who_stood_for_the_aliases_comes_along(log: SQLiteLog, make: Any, tmp_path: Path) -> None:
    """Where the tuned arm said only what the base said, the aliases alone know which adapter it was."""
    await log.saw_aliases(Aliases(champion="v1", challenger=None), make.time())
    await decided(log, make, arms=("base", "base"), also={0: ("champion",), 1: ("champion",)})
    await log.saw_aliases(Aliases(champion="v2", challenger=None), make.time())
    await decided(log, make, arms=("base", "base"), also={0: ("champion",), 1: ("champion",)})
    found = list(log.reader.decided_slates(EVERYTHING))
    assert [one.model for one in log.reader.decisions()] == ["v1", "v2"]
    async with SQLiteLog.open(tmp_path / "other.db") as other:
        for one in reversed(found + found):
            await other.add_decided(one)
        assert [one.model for one in other.reader.decisions()] == ["v1", "v2"]
        assert other.reader.counts()["alias_changes"] == 2


async def test_a_history_of_its_own_is_left_alone(log: SQLiteLog, make: Any, tmp_path: Path) -> None:
    await decided(log, make)
    (one,) = log.reader.decided_slates(EVERYTHING)
    change = AliasesSeen(champion="v1", challenger=None, seen_at=make.time())
    async with SQLiteLog.open(tmp_path / "other.db") as other:
        await other.saw_adapter(VERSION, make.time())
        await other.add_decided(structs.replace(one, aliases=change))
        assert other.reader.counts()["alias_changes"] == 0
