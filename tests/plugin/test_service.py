"""The service serves while its parts come and go, draws once a conversation, and follows the aliases."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from picktune.engines.local import LocalEngine
from picktune.errors import (
    Conflict,
    ConversationNotFound,
    EngineBusy,
    EngineDown,
    InvalidInput,
    LogUnavailable,
    SlateNotFound,
)
from picktune.late import LateLog
from picktune.log import SQLiteLog, SQLiteLogReader
from picktune.records import Message, Pick, Reaction, Sampling, Slate
from picktune.service import Service, create_service
from picktune.settings import Settings
from picktune_adapters import Aliases
from picktune_adapters.registry import Registry

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 24, tzinfo=UTC)
ASK = (Message(role="user", content="Where is my order?"),)


async def until(true: Callable[[], bool | Awaitable[bool]], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while True:
            found = true()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.01)


def pick(slate: Slate, viewer: str = "mei", key: str = "k") -> Pick:
    return Pick(
        key=key,
        slate_id=slate.id,
        verdict="chosen",
        candidate_id=slate.candidates[0].id,
        annotator=viewer,
        decided_at=NOW,
    )


# Drawing


async def test_a_slate_is_on_disk_when_it_is_answered(service: Service, settings: Settings) -> None:
    slate = await service.draw(ASK, conversation_id="c", user_ref="u", tags=("a",), locale="zh")
    with SQLiteLogReader(settings.log_path) as reader:
        assert reader.slate(slate.id) == slate
    assert (slate.policy, len(slate.candidates), slate.turn.user_ref) == ("2+2", 4, "u")
    assert [one.arm for one in sorted(slate.candidates, key=lambda one: one.arm)] == ["base"] * 2 + [
        "base-b"
    ] * 2


async def test_the_policy_may_be_chosen_a_slate(service: Service) -> None:
    assert len((await service.draw(ASK, policy="1+1")).candidates) == 2
    with pytest.raises(InvalidInput, match="no policy named"):
        await service.draw(ASK, policy="9+9")


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ((), "messages"),
        ((*ASK, Message(role="assistant", content="Here.")), "messages[1].role"),
        ((Message(role="system", content="Be kind."),), "messages[0].role"),
        ((Message(role="user", content=" \n"),), "messages[0].content"),
    ],
)
async def test_there_must_be_something_to_answer(
    service: Service, messages: tuple[Message, ...], field: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await service.draw(messages)
    assert caught.value.field == field


async def test_draws_run_at_once(service: Service, engine: Any) -> None:
    engine.gate = asyncio.Event()
    draws = [asyncio.create_task(service.draw(ASK)) for _ in range(5)]
    await until(lambda: engine.calls == 10)
    engine.gate.set()
    assert len({slate.id for slate in await asyncio.gather(*draws)}) == 5


async def test_chance_comes_from_the_system_unless_given(tmp_path: Path, engine: Any) -> None:
    service = create_service(Settings(home=str(tmp_path / "home")), engine=engine)
    assert isinstance(service.rng, random.SystemRandom)
    await service.close()


# One conversation


async def test_one_conversation_is_drawn_for_once(service: Service, engine: Any, conversation: Any) -> None:
    await service.add_conversations([conversation("c", "Where is my order?")])
    engine.gate = asyncio.Event()
    callers = [asyncio.create_task(service.slate_for("c", f"agent-{number}")) for number in range(6)]
    await until(lambda: engine.calls == 2)
    await asyncio.sleep(0.05)
    engine.gate.set()
    slates = await asyncio.gather(*callers)
    assert len({slate.id for slate in slates}) == 1
    assert engine.calls == 2
    assert (await service.slate_for("c", "agent-0")).id == slates[0].id


async def test_a_caller_that_gives_up_takes_nothing_from_the_others(
    service: Service, engine: Any, conversation: Any
) -> None:
    await service.add_conversations([conversation("c", "Hello?")])
    engine.gate = asyncio.Event()
    first, second = (asyncio.create_task(service.slate_for("c", name)) for name in ("mei", "tom"))
    await until(lambda: engine.calls == 2)
    await asyncio.sleep(0.05)
    first.cancel()
    engine.gate.set()
    assert len((await second).candidates) == 4
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_failed_draw_is_tried_afresh(service: Service, engine: Any, conversation: Any) -> None:
    await service.add_conversations([conversation("c", "Hello?")])
    engine.error = EngineBusy("full", retry_after=3.0)
    with pytest.raises(EngineBusy):
        await service.slate_for("c", "mei")
    engine.error = None
    assert await service.slate_for("c", "mei")


async def test_a_slate_shown_to_one_is_not_given_to_another(service: Service, conversation: Any) -> None:
    await service.add_conversations([conversation("c", "Hello?")])
    first = await service.slate_for("c", "mei")
    await service.expose(first.id, "mei")
    assert (await service.slate_for("c", "mei")).id == first.id
    assert (await service.slate_for("c", "tom")).id != first.id


async def test_the_picked_reply_is_the_next_turns_context(service: Service, conversation: Any) -> None:
    await service.add_conversations([conversation("c", "Hello?", pending=("And now?",))])
    slate = await service.slate_for("c", "mei")
    await service.expose(slate.id, "mei")
    await service.pick(pick(slate))
    following = await service.slate_for("c", "mei")
    assert [message.content for message in following.turn.messages[1:]] == [
        "Hello?",
        slate.candidates[0].text,
        "And now?",
    ]
    await service.expose(following.id, "mei")
    await service.pick(pick(following, key="k2"))
    with pytest.raises(Conflict, match="waits for no reply"):
        await service.slate_for("c", "mei")


async def test_an_unknown_conversation_is_named(service: Service) -> None:
    with pytest.raises(ConversationNotFound, match="nowhere"):
        await service.slate_for("nowhere", "mei")


# Without the engine


async def test_without_an_engine_it_starts_and_takes_picks(
    settings: Settings, engine: Any, conversation: Any
) -> None:
    first = create_service(settings, engine=engine)
    await first.until_ready(10)
    slate = await first.draw(ASK)
    await first.expose(slate.id, "mei")
    await first.close()

    engine.down = EngineDown("nobody is there")
    service = create_service(settings, engine=engine)
    await service.start()
    with pytest.raises(EngineDown):
        await service.draw(ASK)
    assert (await service.pick(pick(slate))).version == 1
    await until(lambda: _reason(service, "engine", "nobody is there"))
    with pytest.raises(EngineDown, match="nobody is there"):
        await service.until_ready(0.05)
    engine.down = None
    await service.until_ready(20)
    assert len((await service.draw(ASK)).candidates) == 4
    await service.close()
    assert engine.closed


async def _reason(service: Service, part: str, reason: str) -> bool:
    return reason in (getattr(await service.readiness(), part).reason or "")


async def test_an_engine_that_throws_anything_does_not_end_the_service(
    settings: Settings, engine: Any
) -> None:
    engine.down = RuntimeError("a bug")
    service = create_service(settings, engine=engine)
    await service.start()
    await until(lambda: _reason(service, "engine", "RuntimeError: a bug"))
    engine.down = None
    await service.until_ready(20)
    await service.close()


# Without the log


async def test_without_a_log_the_chat_goes_on_and_the_log_learns_of_it(tmp_path: Path, engine: Any) -> None:
    home = tmp_path / "home"
    home.write_bytes(b"a file where the folder should be")
    service = create_service(Settings(home=str(home), poll=0.02), engine=engine)
    assert isinstance(service.log, LateLog)
    await service.until_ready(10)
    slate = await service.draw(ASK)
    exposure = await service.expose(slate.id, "mei")
    assert (len(slate.candidates), len(exposure.order)) == (4, 4)
    assert not service.is_kept(slate.id)
    assert await service.slate(slate.id) == slate
    with pytest.raises(LogUnavailable):
        await service.pick(pick(slate))
    readiness = await service.readiness()
    assert (readiness.ready, readiness.log.ok, readiness.engine.ok, readiness.unkept) == (
        False,
        False,
        True,
        2,
    )

    home.unlink()
    await until(lambda: service.is_kept(slate.id))
    assert (await service.pick(pick(slate))).version == 1
    await service.close()
    with SQLiteLogReader(home / "picktune.db") as reader:
        assert reader.slate(slate.id) == slate
        assert [one.viewer for one in reader.exposures(slate.id)] == ["mei"]
        assert len(reader.picks(slate.id)) == 1


async def test_what_still_waits_is_kept_on_closing(tmp_path: Path, engine: Any) -> None:
    home = tmp_path / "home"
    home.write_bytes(b"")
    service = create_service(Settings(home=str(home), poll=60.0), engine=engine)
    await service.until_ready(10)
    slate = await service.draw(ASK)
    home.unlink()
    await service.close()
    with SQLiteLogReader(home / "picktune.db") as reader:
        assert reader.slate(slate.id) == slate


# Decisions


async def test_reactions_supports_and_pages(service: Service, conversation: Any) -> None:
    slate = await service.draw(ASK)
    reaction = Reaction(
        key="r", candidate_id=slate.candidates[0].id, value="up", annotator="u", reacted_at=NOW
    )
    assert await service.react(reaction) == reaction
    await service.expose(slate.id, "mei")
    await service.pick(pick(slate))
    supports = await service.supports()
    assert [(one.model, one.n) for one in supports] == [(None, 1)]
    await service.add_conversations([conversation(f"c{number}", "Hi") for number in range(3)])
    assert await service.count_conversations() == 3
    assert [one.id for one in await service.conversations(limit=2, offset=1)] == ["c1", "c2"]
    assert (await service.conversation("c2")).id == "c2"


async def test_undo_takes_back_unless_the_arms_were_revealed(service: Service, engine: Any) -> None:
    slate = await service.draw(ASK)
    await service.expose(slate.id, "mei")
    await service.pick(pick(slate))
    undone = await service.undo(slate.id, annotator="mei", role="agent", key="u")
    assert (undone.verdict, undone.version) == ("undone", 2)
    assert [one.verdict for one in await service.picks(slate.id, "mei")] == ["chosen", "undone"]


async def test_a_revealed_decision_stands(settings: Settings, engine: Any) -> None:
    revealing = Settings(home=settings.home, reveal=True)
    service = create_service(revealing, engine=engine)
    await service.until_ready(10)
    slate = await service.draw(ASK)
    await service.expose(slate.id, "mei")
    await service.pick(pick(slate))
    with pytest.raises(Conflict, match="revealed"):
        await service.undo(slate.id, annotator="mei", role="agent", key="u")
    await service.close()


async def test_an_unknown_slate_is_named(service: Service) -> None:
    with pytest.raises(SlateNotFound, match="nothing"):
        await service.expose("nothing", "mei")


# Adapters, with the embedded engine on a tiny model


@pytest.fixture
def registry(settings: Settings) -> Registry:
    return Registry(settings.registry_path)


def register(registry: Registry, folder: Path) -> str:
    registry.add(folder, name=folder.name, base_model="tiny", run_id="r", dataset_id="d", picks=1, now=NOW)
    return folder.name


async def test_a_running_service_follows_the_aliases(
    settings: Settings, registry: Registry, tiny_model: Path, tiny_adapter: Any
) -> None:
    quick = Settings(home=settings.home, poll=0.02, timeout=30.0, sampling=Sampling(max_tokens=8))
    service = create_service(quick, engine=LocalEngine(tiny_model, dtype="float32"))
    await service.until_ready(120)
    assert {one.model for one in (await service.draw(ASK)).candidates} == {None}

    first, second = (register(registry, tiny_adapter(f"v{n}", seed=n)) for n in (1, 2))
    registry.move("challenger", first, by="test", reason="admitted", now=NOW)
    await until(lambda: service.aliases == Aliases(challenger=first), 60)
    arms = {(one.arm, one.model) for one in (await service.draw(ASK)).candidates}
    assert arms == {("base", None), ("challenger", first)}

    registry.promote(first, by="test", reason="people chose it", now=NOW)
    await until(lambda: service.aliases == Aliases(champion=first), 60)
    registry.move("challenger", second, by="test", reason="admitted", now=NOW)
    await until(lambda: service.aliases == Aliases(champion=first, challenger=second), 60)
    assert await service.engine.loaded() == [first, second]

    registry.rollback(by="test", reason="complaints", now=NOW)
    await until(lambda: service.aliases == Aliases(challenger=second), 60)
    await service.close()
    with SQLiteLogReader(settings.log_path) as reader:
        counts = reader.counts()
    assert (counts["adapters"], counts["alias_changes"]) == (2, 5)


async def test_a_corrupt_adapter_is_reported_and_the_old_one_speaks_on(
    settings: Settings, registry: Registry, tiny_model: Path, tiny_adapter: Any
) -> None:
    service = create_service(settings, engine=LocalEngine(tiny_model, dtype="float32"))
    await service.until_ready(120)
    good, bad = (register(registry, tiny_adapter(name, seed=3)) for name in ("good", "bad"))
    registry.move("challenger", good, by="test", reason="admitted", now=NOW)
    await until(lambda: service.aliases == Aliases(challenger=good), 60)
    registry.move("challenger", bad, by="test", reason="admitted", now=NOW)
    weights = registry.folder(bad) / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    # The alias may have been followed before the damage; what is loaded anew is checked anew.
    fresh = create_service(settings, engine=LocalEngine(tiny_model, dtype="float32"))
    await fresh.until_ready(120)
    await until(lambda: _problem(fresh, bad), 60)
    readiness = await fresh.readiness()
    assert (readiness.ready, readiness.adapters) == (True, Aliases())
    assert "hash" in readiness.problems[bad]
    assert len((await fresh.draw(ASK)).candidates) >= 2
    await fresh.close()
    await service.close()


async def _problem(service: Service, name: str) -> bool:
    return name in (await service.readiness()).problems


async def _no_problems(service: Service) -> bool:
    return not (await service.readiness()).problems


# Adapters, with an engine that can be told to refuse


async def test_whoever_spoke_speaks_on_while_the_new_one_cannot(
    service: Service, engine: Any, registry: Registry, tiny_adapter: Any
) -> None:
    good, bad = (register(registry, tiny_adapter(name)) for name in ("good", "bad"))
    registry.move("challenger", good, by="test", reason="admitted", now=NOW)
    await until(lambda: service.aliases == Aliases(challenger=good))
    engine.refuses[bad] = EngineDown("out of slots")
    registry.move("challenger", bad, by="test", reason="admitted", now=NOW)
    await until(lambda: _problem(service, bad))
    assert service.aliases == Aliases(challenger=good)
    del engine.refuses[bad]
    await until(lambda: service.aliases == Aliases(challenger=bad))
    await until(lambda: _no_problems(service))


async def test_an_engine_that_forgot_its_adapters_is_given_them_again(
    service: Service, engine: Any, registry: Registry, tiny_adapter: Any
) -> None:
    name = register(registry, tiny_adapter("v1"))
    registry.move("challenger", name, by="test", reason="admitted", now=NOW)
    await until(lambda: service.aliases.challenger == name)
    engine.adapters.clear()
    await until(lambda: name in engine.adapters)
    assert service.aliases.challenger == name


async def test_an_adapter_that_speaks_no_more_is_dropped_late(
    settings: Settings, engine: Any, registry: Registry, tiny_adapter: Any
) -> None:
    brief = Settings(home=settings.home, poll=0.02, timeout=0.3)
    service = create_service(brief, engine=engine)
    await service.until_ready(10)
    name = register(registry, tiny_adapter("v1"))
    registry.move("challenger", name, by="test", reason="admitted", now=NOW)
    await until(lambda: service.aliases.challenger == name)
    registry.move("challenger", None, by="test", reason="withdrawn", now=NOW)
    await until(lambda: service.aliases == Aliases())
    assert name in engine.adapters
    await until(lambda: name not in engine.adapters)
    await service.close()


async def test_a_broken_registry_never_stops_serving(
    service: Service, engine: Any, registry: Registry, tiny_adapter: Any
) -> None:
    name = register(registry, tiny_adapter("v1"))
    registry.move("challenger", name, by="test", reason="admitted", now=NOW)
    await until(lambda: service.aliases.challenger == name)
    (registry.root / "registry.json").write_bytes(b'{"format": 99}')
    await until(lambda: _reason(service, "registry", "upgrade"))
    slate = await service.draw(ASK)
    assert {one.model for one in slate.candidates} == {None, name}
    shutil.rmtree(registry.root)
    await until(lambda: service.aliases == Aliases())


async def test_readiness_is_asked_for_at_most_once_a_second(service: Service, engine: Any) -> None:
    first = await service.readiness()
    engine.down = EngineDown("gone")
    assert await service.readiness() is first
    assert first.ready


async def test_the_log_opens_late_only_once(tmp_path: Path) -> None:
    opened: list[SQLiteLog] = []

    def open_log() -> SQLiteLog:
        opened.append(SQLiteLog.open(tmp_path / "log.db"))
        return opened[-1]

    late = LateLog(open_log)
    await asyncio.gather(*(late.check() for _ in range(5)))
    assert len(opened) == 1
    assert late.reader is opened[0].reader
    await late.close()
