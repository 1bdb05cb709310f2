"""Campaigns in the log: made once, closed once, and counted by what was really drawn under them."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from picktune.campaigns import Campaign, CampaignSelection, selects, status_of, takes_part
from picktune.errors import CampaignNotFound, Conflict, InvalidInput
from picktune.log import SQLiteLog, campaigns, schema
from picktune.log import conversations as stored
from picktune.log.prune import prune
from picktune.log.verify import verify

pytestmark = pytest.mark.anyio


def campaign(make: Any, name: str = "refunds", **fields: Any) -> Campaign:
    values: dict[str, Any] = {"wanted": 3, "created_at": make.time(), "created_by": "lin"}
    return Campaign(name=name, **values | fields)


async def test_it_is_made_once_and_closed_once(log: SQLiteLog, make: Any) -> None:
    made = campaign(make, selection=CampaignSelection(tags=("退款",)), until=make.time())
    at = make.time()

    assert await log.add_campaign(made) == made
    assert await log.add_campaign(structs.replace(made, created_at=make.time())) == made
    with pytest.raises(Conflict):
        await log.add_campaign(structs.replace(made, wanted=4))
    closed = await log.close_campaign("refunds", at=at, by="lin", why="enough")
    assert await log.close_campaign("refunds", at=make.time(), by="bob", why="again") == closed

    assert (closed.closed_at, closed.closed_by, closed.closed_why) == (at, "lin", "enough")
    assert log.reader.campaigns() == [closed]
    assert log.reader.campaigns(closed=False) == []
    with pytest.raises(CampaignNotFound):
        log.reader.campaign("none")
    with pytest.raises(CampaignNotFound):
        await log.close_campaign("none", at=at, by="lin", why="")


async def test_twenty_at_once_make_one(log: SQLiteLog, make: Any) -> None:
    made = campaign(make)

    await asyncio.gather(*(log.add_campaign(made) for _ in range(20)))

    assert log.reader.counts()["campaigns"] == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "No spaces"},
        {"name": ""},
        {"name": "a/b"},
        {"wanted": 0},
        {"per_annotator": 0},
        {"title": "\ud800"},
    ],
)
async def test_what_breaks_the_schema_is_refused(log: SQLiteLog, make: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        await log.add_campaign(structs.replace(campaign(make), **fields))


async def test_picks_that_stand_are_counted_by_annotator(log: SQLiteLog, make: Any) -> None:
    await log.add_campaign(campaign(make))
    tagged = {"tags": ("campaign:refunds",)}
    slates = [await make.shown(log, turn=tagged, viewers=("ann", "bob")) for _ in range(4)]
    await make.shown(log, turn={"tags": ("campaign:unknown",)})
    await log.record(make.pick(await make.shown(log)))  # under no campaign

    for slate, verdict in zip(slates, ("chosen", "tie", "none_good", "skip"), strict=True):
        await log.record(make.pick(slate, verdict))
    await log.record(make.pick(slates[0], annotator="bob", role="expert"))

    assert log.reader.campaign_counts("refunds") == {"ann": 3, "bob": 1}
    assert log.reader.campaign_counts("refunds", roles=("expert",)) == {"bob": 1}
    await log.record(make.pick(slates[0], "undone"))
    assert log.reader.campaign_counts("refunds") == {"ann": 2, "bob": 1}
    assert log.reader.counts()["campaign_slates"] == 4


async def test_a_slate_of_a_campaign_can_be_pruned(log: SQLiteLog, make: Any, path: Path) -> None:
    await log.add_campaign(campaign(make))
    await make.shown(log, turn={"tags": ("campaign:refunds",)})

    assert prune(path, make.time() + timedelta(days=1)).slates == 1
    assert log.reader.counts()["campaign_slates"] == 0
    assert verify(path).sound


async def test_the_file_itself_refuses_changes(log: SQLiteLog, make: Any, path: Path) -> None:
    await log.add_campaign(campaign(make))
    await log.close_campaign("refunds", at=make.time(), by="lin", why="enough")
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in (
        "UPDATE campaigns SET definition = '{}'",
        "DELETE FROM campaigns",
        "INSERT OR REPLACE INTO campaigns SELECT * FROM campaigns",
        "UPDATE campaign_closings SET why = ''",
    ):
        with pytest.raises(sqlite3.IntegrityError, match=r"campaign"):
            connection.execute(statement)
    connection.close()


SOME = st.lists(st.sampled_from(["a", "b", "zh", "zh-CN", "en"]), max_size=2).map(tuple)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.builds(CampaignSelection, tags=SOME, locales=SOME, scenarios=SOME, sources=SOME))
def test_the_log_selects_as_the_service_does(new_make: Any, selection: CampaignSelection) -> None:
    conversations = _conversations(new_make())
    wanted = {one.id for one in conversations if selects(selection, one)}
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.apply(connection)
    stored.add(connection, conversations)
    found = campaigns.waiting(connection, selection, 100)
    assert {one.id for one in found} == wanted
    assert campaigns.count_waiting(connection, selection) == len(wanted)
    connection.close()


def _conversations(make: Any) -> list[Any]:
    return [
        make.conversation(tags=tags, locale=locale, scenario=scenario, source=source)
        for tags in ((), ("a",), ("a", "b"))
        for locale in ("en", "zh", "zh-CN")
        for scenario in (None, "a")
        for source in ("api", "b")
    ]


def test_when_it_is_over_and_for_whom(make: Any) -> None:
    now = make.time()
    one = campaign(make, until=now, per_annotator=2, annotators=("ann", "bob"))

    assert status_of(one, 0, now - timedelta(seconds=1)) == "open"
    assert status_of(one, 0, now) == "over"
    assert status_of(one, 3, now) == "full"
    assert (
        status_of(structs.replace(one, closed_at=now, closed_by="lin", closed_why="full"), 0, now) == "closed"
    )
    assert takes_part(one, "ann", {"ann": 1})
    assert not takes_part(one, "ann", {"ann": 2})
    assert not takes_part(one, "eve", {})
