"""Which adapters were put into service, and what the aliases named."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import structs
from picktune.errors import InvalidInput
from picktune.log import SQLiteLog
from picktune_adapters import AdapterVersion, Aliases

pytestmark = pytest.mark.anyio

VERSION = AdapterVersion(
    name="2026-03-01-1",
    base_model="tiny",
    sha256="0" * 64,
    rank=8,
    run_id="r",
    dataset_id="d",
    picks=9,
    metrics={"accuracy": 0.5},
    created_at=datetime(2026, 3, 1, tzinfo=UTC),
)


async def test_an_adapter_is_seen_once(log: SQLiteLog, make: Any) -> None:
    await log.saw_adapter(VERSION, make.time())
    await log.saw_adapter(VERSION, make.time())
    await log.saw_adapter(structs.replace(VERSION, name="2026-03-02-1"), make.time())

    assert log.reader.counts()["adapters"] == 2


async def test_unchanged_aliases_add_nothing(log: SQLiteLog, make: Any) -> None:
    for champion in (None, None, "a", "a", "b", "a"):
        await log.saw_aliases(Aliases(champion=champion), make.time())

    assert log.reader.counts()["alias_changes"] == 4


async def test_times_need_a_zone(log: SQLiteLog) -> None:
    naive = datetime(2026, 3, 1)  # noqa: DTZ001
    with pytest.raises(InvalidInput):
        await log.saw_aliases(Aliases(), naive)
    with pytest.raises(InvalidInput):
        await log.saw_adapter(VERSION, naive)
