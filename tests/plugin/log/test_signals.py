"""Signals and scores: kept once, never changed, and only from whoever has seen the slate."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from picktune.edits import edit_distance
from picktune.errors import CandidateNotFound, Conflict, InvalidInput, KeyReused, NotShown, SlateNotFound
from picktune.log import SQLiteLog
from picktune.log.prune import prunable, prune
from picktune.log.verify import verify
from picktune.records import Slate, new_id
from picktune.signals import (
    PER_SLATE,
    Copied,
    Dwell,
    Regenerated,
    Score,
    SeenReply,
    Signal,
    Visible,
    parse_scale,
)

pytestmark = pytest.mark.anyio


def signal(make: Any, slate: Slate, detail: Any, **fields: Any) -> Signal:
    values = {"key": new_id(), "slate_id": slate.id, "annotator": "ann", "noted_at": make.time()}
    return Signal(detail=detail, **values | fields)


def score(make: Any, slate: Slate, value: int = 4, **fields: Any) -> Score:
    values: dict[str, Any] = {
        "key": new_id(),
        "candidate_id": slate.candidates[0].id,
        "scale": "quality",
        "value": value,
        "low": 1,
        "high": 5,
        "annotator": "ann",
        "scored_at": make.time(),
    }
    return Score(**values | fields)


def details(slate: Slate) -> list[Any]:
    first, second = slate.candidates[0].id, slate.candidates[1].id
    return [
        Copied(candidate_id=first, characters=12, whole=True),
        Visible(
            replies=(
                SeenReply(candidate_id=second, visible_ms=900),
                SeenReply(candidate_id=first, visible_ms=0),
            )
        ),
        Dwell(ms=4200, ended="left"),
    ]


async def test_every_kind_is_kept_and_read_back(log: SQLiteLog, make: Any) -> None:
    slate = await make.shown(log)
    sent = [signal(make, slate, detail) for detail in details(slate)]

    assert await log.note(sent) == sent
    assert list(log.reader.signals(slate.id)) == sent
    assert [one.kind for one in log.reader.signals(kind="visible")] == ["visible"]
    assert list(log.reader.signals(since=make.time())) == []


async def test_the_same_key_again_changes_nothing(log: SQLiteLog, make: Any) -> None:
    slate = await make.shown(log)
    sent = [signal(make, slate, detail) for detail in details(slate)]
    await log.note(sent)

    later = [structs.replace(one, noted_at=one.noted_at + timedelta(days=1)) for one in sent]
    assert await log.note(later) == sent
    with pytest.raises(KeyReused):
        await log.note([structs.replace(sent[2], detail=Dwell(ms=1, ended="left"))])

    assert log.reader.counts()["signals"] == 3


async def test_twenty_at_once_under_one_key_are_one(log: SQLiteLog, make: Any) -> None:
    slate = await make.shown(log)
    one = signal(make, slate, Dwell(ms=5, ended="left"))

    await asyncio.gather(*(log.note([one]) for _ in range(20)))

    assert log.reader.counts()["signals"] == 1


async def test_all_of_a_request_or_none(log: SQLiteLog, make: Any) -> None:
    slate, other = await make.shown(log), await make.shown(log)
    good = signal(make, slate, Dwell(ms=5, ended="left"))
    foreign = Copied(candidate_id=other.candidates[0].id, characters=3)

    with pytest.raises(CandidateNotFound):
        await log.note([good, signal(make, slate, foreign)])

    assert log.reader.counts()["signals"] == 0


async def test_only_whoever_has_seen_it(log: SQLiteLog, make: Any) -> None:
    slate = await make.shown(log)
    dwell = Dwell(ms=5, ended="left")

    with pytest.raises(NotShown):
        await log.note([signal(make, slate, dwell, annotator="bob")])
    with pytest.raises(SlateNotFound):
        await log.note([signal(make, slate, dwell, slate_id="none")])
    with pytest.raises(NotShown):
        await log.score(score(make, slate, annotator="bob"))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"key": ""}, "key"),
        ({"annotator": ""}, "annotator"),
        ({"key": "k" * 201}, "key"),
        ({"detail": Dwell(ms=-1, ended="left")}, "detail"),
        ({"detail": Dwell(ms=10**9, ended="left")}, "detail"),
        ({"detail": Copied(candidate_id="x", characters=0)}, "detail"),
        ({"detail": Visible(replies=())}, "detail"),
        ({"annotator": "\ud800"}, "annotator"),
    ],
)
async def test_what_breaks_the_schema_is_refused(
    log: SQLiteLog, make: Any, fields: dict[str, Any], field: str
) -> None:
    slate = await make.shown(log)

    with pytest.raises(InvalidInput) as caught:
        await log.note([structs.replace(signal(make, slate, Dwell(ms=5, ended="left")), **fields)])

    assert caught.value.field == field
    assert log.reader.counts()["signals"] == 0


async def test_one_reply_is_in_sight_once_a_signal(log: SQLiteLog, make: Any) -> None:
    slate = await make.shown(log)
    seen = SeenReply(candidate_id=slate.candidates[0].id, visible_ms=5)

    with pytest.raises(InvalidInput):
        await log.note([signal(make, slate, Visible(replies=(seen, seen)))])


async def test_one_annotator_cannot_fill_the_disk(log: SQLiteLog, make: Any) -> None:
    slate = await make.shown(log, viewers=("ann", "bob"))
    dwell = Dwell(ms=5, ended="left")
    await log.note([signal(make, slate, dwell) for _ in range(PER_SLATE)])

    with pytest.raises(Conflict):
        await log.note([signal(make, slate, dwell)])

    await log.note([signal(make, slate, dwell, annotator="bob")])


async def test_a_slate_that_was_redrawn_waits_for_nobody(log: SQLiteLog, make: Any) -> None:
    conversation = make.conversation()
    await log.add_conversations([conversation])
    old = await make.shown(log, conversation=conversation)
    new = await make.shown(log, conversation=conversation)
    first = signal(make, old, Regenerated(successor=new.id))

    assert await log.note([first]) == [first]
    third = make.slate(conversation=conversation)
    again = structs.replace(first, detail=Regenerated(successor=third.id))
    assert await log.note([again]) == [first]  # the first slate under the key stands

    await log.record(make.pick(new, "skip"))
    assert log.reader.waiting_slate(conversation.id, viewer="ann") is None
    assert next(iter(log.reader.decisions())).slate_id == new.id
    assert len(list(log.reader.decisions())) == 1  # redrawing is no decision


async def test_what_was_decided_is_not_redrawn(log: SQLiteLog, make: Any) -> None:
    old, new = await make.shown(log), await make.shown(log)
    await log.record(make.pick(old))

    with pytest.raises(Conflict):
        await log.note([signal(make, old, Regenerated(successor=new.id))])
    with pytest.raises(SlateNotFound):
        await log.note([signal(make, new, Regenerated(successor="none"))])


async def test_a_score_has_versions(log: SQLiteLog, make: Any) -> None:
    slate = await make.shown(log)
    first = score(make, slate, 2, comment="太短")

    assert await log.score(first) == first
    assert await log.score(structs.replace(first, scored_at=make.time())) == first
    with pytest.raises(KeyReused):
        await log.score(structs.replace(first, value=3))
    second = await log.score(score(make, slate, 5))

    assert second.version == 2
    assert [one.value for one in log.reader.scores()] == [5]
    assert [one.value for one in log.reader.scores(first.candidate_id, every_version=True)] == [2, 5]


async def test_a_score_is_an_experts_and_on_its_scale(log: SQLiteLog, make: Any) -> None:
    slate = await make.shown(log)

    for fields, field in (({"value": 6}, "value"), ({"role": "agent"}, "role"), ({"key": ""}, "key")):
        with pytest.raises(InvalidInput) as caught:
            await log.score(structs.replace(score(make, slate), **fields))
        assert caught.value.field == field
    with pytest.raises(CandidateNotFound):
        await log.score(score(make, slate, candidate_id="none"))


async def test_the_file_itself_refuses_changes(log: SQLiteLog, make: Any, path: Path) -> None:
    slate = await make.shown(log)
    await log.note([signal(make, slate, Dwell(ms=5, ended="left"))])
    await log.score(score(make, slate))
    connection = sqlite3.connect(path, isolation_level=None)

    for statement in (
        "UPDATE signals SET detail = '{}'",
        "UPDATE signals SET annotator = 'bob'",
        "DELETE FROM signals",
        "INSERT OR REPLACE INTO signals SELECT * FROM signals",
        "UPDATE scores SET value = 5",
        "DELETE FROM scores",
        "INSERT OR REPLACE INTO scores SELECT * FROM scores",
    ):
        with pytest.raises(sqlite3.IntegrityError, match=r"append only|stay"):
            connection.execute(statement)
    connection.execute("UPDATE signals SET annotator = 'erased-1', key = 'erased-1'")
    connection.close()

    assert verify(path).sound


async def test_signals_go_with_a_slate_that_nobody_decided_on(log: SQLiteLog, make: Any, path: Path) -> None:
    seen, scored = await make.shown(log), await make.shown(log)
    for slate in (seen, scored):
        await log.note([signal(make, slate, Dwell(ms=5, ended="left"))])
    await log.score(score(make, scored))
    later = make.time() + timedelta(days=1)

    assert prunable(path, later) == 1
    assert prune(path, later).slates == 1
    assert [one.slate_id for one in log.reader.signals()] == [scored.id]
    assert verify(path).sound


async def test_an_edit_is_a_preference_over_what_was_drawn(log: SQLiteLog, make: Any) -> None:
    slate = await make.shown(log, texts=("你好,请问订单号是多少?", "b", "c", "d"), turn={"tags": ("refund",)})
    other = await make.shown(log)
    await log.record(make.pick(slate, edited_text="您好,请问订单号是多少?"))
    await log.record(make.pick(other, edited_text="Reply 0 of base."))  # as it was: no edit
    await log.record(make.pick(await make.shown(log), "none_good", edited_text="By hand."))

    (edit,) = log.reader.edit_preferences()
    assert (edit.chosen, edit.rejected) == ("您好,请问订单号是多少?", "你好,请问订单号是多少?")
    assert (edit.edits, edit.distance) == (1, 1 / 12)
    assert (edit.arms, edit.model, edit.tags) == (("base",), None, ("refund",))
    assert list(log.reader.edit_preferences(roles=("user",))) == []

    await log.record(make.pick(slate, "undone"))
    assert list(log.reader.edit_preferences()) == []


@given(st.text(max_size=40), st.text(max_size=40))
def test_the_distance_is_a_share(one: str, other: str) -> None:
    edits, share = edit_distance(one, other)

    assert edit_distance(other, one) == (edits, share)
    assert 0 <= share <= 1
    assert (edits == 0) == (one == other)
    assert abs(len(one) - len(other)) <= edits <= max(len(one), len(other))


def test_a_scale_is_named_with_its_ends() -> None:
    assert str(parse_scale("tone:0-10")) == "tone:0-10"
    for text in ("", "tone", "tone:5-1", "Tone:1-5", "tone:1-1", "tone:1-5000"):
        with pytest.raises(InvalidInput):
            parse_scale(text)


async def test_what_it_all_comes_to(log: SQLiteLog, make: Any) -> None:
    looked, hasty = await make.shown(log), await make.shown(log)
    for slate, times in ((looked, (900, 800, 700, 600)), (hasty, (900, 0, 0, 0))):
        for half in (1, 2):  # times of several signals add up
            replies = tuple(
                SeenReply(candidate_id=one.id, visible_ms=ms // half)
                for one, ms in zip(slate.candidates, times, strict=True)
            )
            await log.note([signal(make, slate, Visible(replies=replies))])
        await log.record(make.pick(slate, edited_text="Reply 0 of bass."))
    tuned = looked.candidates[1].id
    await log.note([signal(make, looked, Copied(candidate_id=tuned, characters=3))])
    await log.score(score(make, looked, 2))
    await log.score(score(make, looked, 4))
    await log.score(score(make, looked, 5, candidate_id=tuned))
    before = make.time()

    found = log.reader.tallies()
    assert found.kinds == {"copied": 1, "visible": 4}
    assert found.copied == {"2026-03-01-1": 1}
    assert [(one.model, one.n, one.mean) for one in found.scores] == [("", 1, 4.0), ("2026-03-01-1", 1, 5.0)]
    assert [(one.model, one.n, one.median) for one in found.edits] == [("", 2, 1 / 16)]
    assert (found.seen, found.missed) == (2, 1)
    nothing = log.reader.tallies(since=before)
    assert (nothing.kinds, nothing.scores, nothing.edits, nothing.seen) == ({}, (), (), 0)
