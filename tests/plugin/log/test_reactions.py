"""Thumbs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs
from picktune.errors import CandidateNotFound, InvalidInput, KeyReused
from picktune.log import SQLiteLog

pytestmark = pytest.mark.anyio


async def test_the_same_key_again_changes_nothing(log: SQLiteLog, make: Any) -> None:
    slate = await make.shown(log)
    reaction = make.reaction(slate, reasons=("kind",), comment="嗯\0")

    assert await log.react(reaction) == reaction
    later = structs.replace(reaction, reacted_at=reaction.reacted_at + timedelta(days=1))
    assert await log.react(later) == reaction
    with pytest.raises(KeyReused):
        await log.react(structs.replace(reaction, value="down"))
    with pytest.raises(KeyReused):
        await log.react(structs.replace(reaction, candidate_id=slate.candidates[1].id))

    assert log.reader.counts()["reactions"] == 1


async def test_people_may_change_their_mind(log: SQLiteLog, make: Any) -> None:
    slate = await make.shown(log)

    await log.react(make.reaction(slate))
    await log.react(make.reaction(slate, value="down"))
    await log.react(make.reaction(slate, annotator="bob"))

    assert log.reader.counts()["reactions"] == 3


async def test_a_reaction_needs_a_candidate_and_a_key(log: SQLiteLog, make: Any) -> None:
    slate = await make.shown(log)

    with pytest.raises(CandidateNotFound):
        await log.react(make.reaction(slate, candidate_id="none"))
    for fields in ({"key": ""}, {"value": "sideways"}, {"comment": "\ud800"}):
        with pytest.raises(InvalidInput) as caught:
            await log.react(make.reaction(slate, **fields))
        assert caught.value.field == next(iter(fields))

    assert log.reader.counts()["reactions"] == 0
