"""A chat's answer does not wait for the disk, and yet nothing that comes after it misses its slate."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from msgspec import structs
from picktune.errors import LogUnavailable, SlateNotFound
from picktune.log import SQLiteLog, SQLiteLogReader
from picktune.log.verify import verify
from picktune.records import Message, Pick, Slate, new_id, utc_now
from picktune.service import Service
from picktune.settings import Settings
from picktune_adapters.registry import Registry

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
BODY = {"model": "picktune", "user": "mei", "messages": [{"role": "user", "content": "Where is my order?"}]}
ASK = (Message(role="user", content="Where is my order?"),)


@contextmanager
def writing_elsewhere(settings: Settings) -> Iterator[None]:
    """Another process is in the middle of a write: the log is locked."""
    other = sqlite3.connect(settings.log_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def pick_of(slate_id: str, candidate_id: str, viewer: str = "mei") -> Pick:
    return Pick(
        key=f"{slate_id}-{viewer}",
        slate_id=slate_id,
        verdict="chosen",
        candidate_id=candidate_id,
        annotator=viewer,
        decided_at=utc_now(),
    )


async def test_a_locked_log_holds_up_no_answer_and_no_later_decision_is_lost(
    api: Any, service: Service, settings: Settings
) -> None:
    with writing_elsewhere(settings):
        async with asyncio.timeout(2.0):  # the log would be waited for during five seconds
            note = (await api.post(CHAT, BODY)).json()["picktune"]
        assert "kept" not in note
        with SQLiteLogReader(settings.log_path) as reader, pytest.raises(SlateNotFound):
            reader.slate(note["slate_id"])
        deciding = asyncio.create_task(service.pick(pick_of(note["slate_id"], note["candidate_ids"][1])))
        await asyncio.sleep(0.05)
        assert not deciding.done()
    assert (await deciding).candidate_id == note["candidate_ids"][1]
    with SQLiteLogReader(settings.log_path) as reader:
        (shown,) = reader.exposures(note["slate_id"])
        assert (shown.viewer, list(shown.order)) == ("mei", note["candidate_ids"])


async def test_what_is_being_written_is_there_already(service: Service, settings: Settings) -> None:
    with writing_elsewhere(settings):
        slate = await service.draw(ASK, viewer="mei", beside=True)
        assert service.is_kept(slate.id)
        assert await service.slate(slate.id) == slate
    found = await service.slate_of_candidate(slate.candidates[0].id)
    assert found == slate


async def test_closing_waits_for_what_is_being_written(service: Service, settings: Settings) -> None:
    slates = [await service.draw(ASK, viewer="mei", beside=True) for _ in range(20)]
    await service.close()
    with SQLiteLogReader(settings.log_path) as reader:
        assert [reader.slate(one.id) for one in slates] == slates
        assert all(len(reader.exposures(one.id)) == 1 for one in slates)


async def test_a_log_that_goes_away_meanwhile_gets_the_slate_and_its_viewer_later(
    service: Service, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, away = SQLiteLog.add_slate, asyncio.Event()

    async def add_slate(self: SQLiteLog, slate: Slate, exposure: Any = None) -> None:
        if not away.is_set():
            await asyncio.sleep(0.01)
            raise LogUnavailable("the disk is full")
        await add(self, slate, exposure)

    monkeypatch.setattr(SQLiteLog, "add_slate", add_slate)
    slate = await service.draw(ASK, viewer="mei", beside=True)
    await service._keeper.settle()
    assert not service.is_kept(slate.id)
    away.set()
    await service.flush()
    assert service.is_kept(slate.id)
    with SQLiteLogReader(settings.log_path) as reader:
        assert [one.viewer for one in reader.exposures(slate.id)] == ["mei"]


async def test_a_slate_that_the_log_refuses_later_is_counted(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    slate = await service.draw(ASK, beside=True)
    other = structs.replace(slate, seed=slate.seed ^ 1)  # the same id, and another slate
    await service._keeper.beside(other, service._keep_slate(other, None))
    await service._keeper.settle()
    assert service.lost == 1
    assert slate.id in caplog.text


async def test_two_servers_on_one_log(service: Service, settings: Settings, engine: Any) -> None:
    """Slates are drawn at one and decided at the other at once, both ways; the chain stays whole."""
    other = Service(
        settings,
        log=SQLiteLog.open(settings.log_path),
        engine=engine,
        registry=Registry(settings.registry_path),
        rng=random.Random(2),
    )
    await other.until_ready(10)
    service.now = utc_now
    picks = []

    async def turn(here: Service, there: Service) -> None:
        slate = await here.draw(ASK, conversation_id=new_id(), viewer="mei", beside=True)
        picks.append(await there.pick(pick_of(slate.id, slate.candidates[0].id)))

    servers = [(service, other), (other, service)]
    await asyncio.gather(*(turn(*servers[number % 2]) for number in range(40)))
    await other.close()
    assert len({one.slate_id for one in picks}) == 40
    found = verify(settings.log_path)
    assert found.sound, found.findings
    assert len(list(service.log.reader.decisions())) == 40
    with pytest.raises(SlateNotFound):  # one that never was is not waited for twice
        await service.pick(pick_of("0" * 32, "x"))


async def test_whom_it_is_shown_to_is_known_at_once(service: Service, settings: Settings) -> None:
    with writing_elsewhere(settings):
        written = await service.draw(ASK, viewer="mei", beside=True)
        assert await service.viewers_of(written.id) == {"mei"}
    await service.flush()
    assert await service.viewers_of(written.id) == {"mei"}
    held = await service.draw(ASK, viewer="mei", beside=True, consent="none")
    assert await service.viewers_of(held.id) == {"mei"}
