"""Retention by kind: what is old and no evidence goes; picks, and what they rest on, stay."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from picktune.errors import ConversationNotFound, LogUnavailable
from picktune.log import SQLiteLog
from picktune.log.retention import KINDS, expire, expired
from picktune.log.verify import verify
from picktune_adapters import Aliases

pytestmark = pytest.mark.anyio

LATER = timedelta(days=1)


async def test_exposures_to_people_who_did_nothing(log: SQLiteLog, path: Path, make: Any) -> None:
    slate = await make.shown(log, viewers=("ann", "bob", "cai"))
    await log.record(make.pick(slate))
    await log.react(make.reaction(slate, annotator="bob"))
    await log.add_exposure(make.exposure(slate, "dan", shown_at=make.now + 2 * LATER))
    assert expired(path, make.now + LATER, ["exposures"]) == {"exposures": 1}
    assert expire(path, make.now + LATER, ["exposures"]) == {"exposures": 1}
    assert [one.viewer for one in log.reader.exposures(slate.id)] == ["ann", "bob", "dan"]
    assert verify(path).sound


async def test_closed_conversations_unless_a_decision_needs_their_scenario(
    log: SQLiteLog, path: Path, make: Any
) -> None:
    talks = [make.conversation(scenario=scenario) for scenario in (None, "refund", None)]
    await log.add_conversations([*talks, make.conversation(status="closed", scenario="refund")])
    for talk in talks[:2]:
        await log.record(make.pick(await make.shown(log, conversation=talk)))
    before = list(log.reader.decisions())
    assert log.reader.count_conversations(status="closed") == 3

    assert expire(path, make.now + LATER, ["conversations"]) == {"conversations": 2}

    with pytest.raises(ConversationNotFound):
        log.reader.conversation(talks[0].id)
    for talk in talks[1:]:
        assert log.reader.conversation(talk.id)
    assert list(log.reader.decisions()) == before
    assert verify(path).sound
    undone = before[0].slate_id  # whose conversation is gone
    await log.record(make.pick(log.reader.slate(undone), "undone"))


async def test_aliases_that_no_decision_needs(log: SQLiteLog, path: Path, make: Any) -> None:
    for number in range(5):
        await log.saw_aliases(Aliases(champion=f"v{number}"), make.time())
        if number == 2:
            slate = await make.shown(log, arms=("base", "base"), also={0: ("champion",)})
            await log.record(make.pick(slate))
    before = list(log.reader.decisions())
    assert before[0].model == "v2"
    assert expire(path, make.now + LATER, ["aliases"]) == {"aliases": 3}
    assert list(log.reader.decisions()) == before
    await log.saw_aliases(Aliases(champion="v4"), make.time())  # the newest is still known
    assert log.reader.counts()["alias_changes"] == 2


async def test_all_kinds_of_a_young_log(log: SQLiteLog, path: Path, make: Any) -> None:
    early = make.now - LATER
    await log.record(make.pick(await make.shown(log)))
    assert expired(path, early, KINDS) == dict.fromkeys(KINDS, 0)
    assert not any(expire(path, early, KINDS).values())


def test_no_log(path: Path, make: Any) -> None:
    with pytest.raises(LogUnavailable, match="there is no log"):
        expire(path, make.now, ["exposures"])
    assert not path.exists()
