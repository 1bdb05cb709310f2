"""The canary in a running service: how often the challenger speaks, to whom, and with which propensity."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec import structs
from picktune.gate.canary import share_at, spot
from picktune.gate.keeper import Gate
from picktune.gate.records import GateSettings, Step
from picktune.log import SQLiteLog
from picktune.records import Message, Pick
from picktune.service import Service
from picktune.settings import Settings
from picktune_adapters.registry import Registry

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 24, tzinfo=UTC)
SAID = (Message(role="user", content="Where is my order?"),)


def test_a_share_of_conversations_is_near_the_nominal_one_and_only_grows() -> None:
    ids = [f"conversation {number}" for number in range(20_000)]
    before: set[str] = set()
    for share in (0.05, 0.2, 0.5, 1.0):
        inside = {one for one in ids if spot("v1", one) < share}
        assert abs(len(inside) / len(ids) - share) < 4 * (share * (1 - share) / len(ids)) ** 0.5 + 1e-9
        assert before <= inside
        before = inside
    # Another challenger meets other conversations first.
    first = {one for one in ids if spot("v1", one) < 0.05}
    second = {one for one in ids if spot("v2", one) < 0.05}
    assert len(first & second) < 0.2 * len(first)


def test_the_share_at_a_moment() -> None:
    steps = [Step(share=0.05, since=NOW), Step(share=0.2, since=NOW + timedelta(days=1))]
    at = [share_at(steps, NOW + timedelta(days=days)) for days in (-1, 0, 0.5, 1, 9)]
    assert at == [0.05, 0.05, 0.05, 0.2, 0.2]


@pytest.fixture
async def served(
    home: Path, engine: Any, clock: Any, register: Any, registry: Registry
) -> AsyncIterator[Service]:
    """A service with the challenger v1 on trial, the gate being automatic."""
    register("v1")
    registry.move("challenger", "v1", by="nightly", reason="passed", now=clock())
    settings = Settings(home=str(home), poll=0.02, policy="2+2", gate=GateSettings(automatic=True))
    service = Service(
        settings,
        log=SQLiteLog.open(settings.log_path),
        engine=engine,
        registry=registry,
        rng=random.Random(3),
        now=clock,
    )
    await service.until_ready(10)
    await until(lambda: service.aliases.challenger == "v1")
    yield service
    await service.close()


async def until(done: Any) -> None:
    with anyio.fail_after(5):
        while not done():  # noqa: ASYNC110 - a server is looked at from outside
            await anyio.sleep(0.01)


async def arms(service: Service, number: int, prefix: str = "c") -> list[Counter[str]]:
    drawn = []
    for one in range(number):
        slate = await service.draw(SAID, conversation_id=f"{prefix}{one}")
        assert sum(candidate.propensity for candidate in slate.candidates) == pytest.approx(
            2 * 0.5 + 2 * 0.5 * chance(service, slate)
        )
        drawn.append(Counter(candidate.arm for candidate in slate.candidates))
    return drawn


def chance(service: Service, slate: Any) -> float:
    share = service.canary.share("v1")
    inside = any(candidate.arm == "challenger" for candidate in slate.candidates)
    return share if inside else 1 - share


@pytest.mark.parametrize("champion", [None, "v0"])
async def test_the_challenger_takes_the_tuned_place_in_its_share_of_conversations(
    served: Service, register: Any, registry: Registry, champion: str | None, clock: Any
) -> None:
    other = "base-b"
    if champion is not None:
        register(champion)
        registry.promote(champion, by="ann", reason="by hand", now=clock())
        await until(lambda: served.aliases.champion == champion)
        other = "champion"
    assert served.canary.share("v1") == 0.05
    drawn = await arms(served, 200)
    expected = [spot("v1", f"c{number}") < 0.05 for number in range(200)]
    assert [bool(one["challenger"]) for one in drawn] == expected
    assert 2 <= sum(expected) <= 20
    assert {tuple(sorted(one.items())) for one in drawn} == {
        (("base", 2), ("challenger", 2)),
        tuple(sorted((("base", 2), (other, 2)))),
    }
    # Sticky: the same conversations, another turn.
    assert await arms(served, 40) == drawn[:40]


async def test_a_step_is_obeyed_by_new_conversations_and_leaves_the_old_ones(
    served: Service, clock: Any
) -> None:
    gate = Gate(served.settings, registry=served.registry, now=clock)
    assert gate.run().action == "begin"
    old = await arms(served, 60, "old")
    # As if 20 picks had shown no harm.
    view = structs.replace(gate.view(), wins=15, n=20)
    challenger = view.challenger
    assert challenger is not None
    view = structs.replace(view, challenger=structs.replace(challenger, rate=0.75, wins=15, n=20))
    from picktune.gate.rules import propose

    aliases = served.registry.aliases()
    for _ in range(2):
        proposal = propose(view, served.settings.gate)
        assert proposal.action == "step"
        gate._act(proposal, "gate", aliases, view)
        view = structs.replace(view, steps=gate.view().steps)
    clock.now += timedelta(seconds=1)
    await until(lambda: served.canary.share("v1") == 0.5)
    fresh = await arms(served, 60, "new")
    assert [bool(one["challenger"]) for one in fresh] == [spot("v1", f"new{i}") < 0.5 for i in range(60)]
    again = [await served.draw(SAID, conversation_id=f"old{number}") for number in range(60)]
    assert [Counter(candidate.arm for candidate in slate.candidates) for slate in again] == old
    for slate in again:
        tuned = [one for one in slate.candidates if one.arm != "base"]
        inside = tuned[0].arm == "challenger"
        assert tuned[0].propensity == pytest.approx(0.5 * (0.05 if inside else 0.95))


async def test_without_the_gate_the_challenger_takes_the_tuned_place_everywhere(
    service: Service, register: Any, clock: Any
) -> None:
    register("v1")
    service.registry.move("challenger", "v1", by="nightly", reason="passed", now=clock())
    await until(lambda: service.aliases.challenger == "v1")
    assert service.canary.share("v1") == 1.0
    assert all(one == {"base": 2, "challenger": 2} for one in await arms(service, 20))


async def test_a_running_server_looks_by_itself(
    home: Path, engine: Any, clock: Any, register: Any, registry: Registry
) -> None:
    register("v1")
    registry.move("challenger", "v1", by="nightly", reason="passed", now=clock())
    rules = GateSettings(automatic=True, every=0.05 / 60)
    settings = Settings(home=str(home), poll=0.02, gate=rules)
    service = Service(
        settings, log=SQLiteLog.open(settings.log_path), engine=engine, registry=registry, now=clock
    )
    await service.start()
    try:
        await until(lambda: [one.action for one in service.log.reader.gate_decisions()] == ["begin"])
    finally:
        await service.close()


@pytest.mark.parametrize(("taste", "champion"), [(0.9, "v1"), (0.1, None)])
async def test_simulated_picks_over_a_running_service_crown_a_good_adapter_and_withdraw_a_bad_one(
    home: Path, engine: Any, clock: Any, register: Any, registry: Registry, taste: float, champion: str | None
) -> None:
    register("v1")
    registry.move("challenger", "v1", by="nightly", reason="passed", now=clock())
    rules = GateSettings(automatic=True, steps=(0.5,), every=0.1 / 60)
    settings = Settings(home=str(home), poll=0.02, policy="1+1", roles=("model",), gate=rules)
    service = Service(
        settings,
        log=SQLiteLog.open(settings.log_path),
        engine=engine,
        registry=registry,
        rng=random.Random(3),
        now=clock,
    )
    await service.until_ready(10)
    rng = random.Random(5)
    try:
        await until(lambda: service.aliases.challenger == "v1")
        for number in range(400):
            if registry.aliases().challenger is None:
                break
            slate = await service.draw(SAID, conversation_id=f"c{number}")
            who, tuned = f"picker {number % 10}", slate.candidates[0].arm != "base"
            await service.expose(slate.id, who)
            chosen = slate.candidates[tuned != (rng.random() < taste)]
            pick = Pick(
                key="k",
                slate_id=slate.id,
                verdict="chosen",
                candidate_id=chosen.id,
                annotator=who,
                role="model",
                decided_at=clock(),
            )
            await service.pick(pick)
        await until(lambda: registry.aliases().challenger is None)
        await until(lambda: (service.aliases.champion, service.aliases.challenger) == (champion, None))
        actions = [one.action for one in service.log.reader.gate_decisions()]
        assert actions == ["promote" if champion else "withdraw", "begin"]
        standing = service.log.reader.gate_decisions()[0].figures.view.challenger
        assert standing is not None
        assert standing.simulated
    finally:
        await service.close()
