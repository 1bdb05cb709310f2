"""A service goes on answering with yesterday's champion, whatever becomes of the night beside it."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from picktune.engines.local import LocalEngine
from picktune.errors import EngineDown
from picktune.records import Message, Sampling
from picktune.service import Service, create_service
from picktune.settings import Settings
from picktune_adapters import Aliases
from picktune_adapters.registry import Registry
from picktune_retrain.basemodel import base_model
from picktune_retrain.nightly import nightly
from picktune_retrain.nights import all_nights
from picktune_retrain.plan import Plan

NOW = datetime(2026, 11, 23, tzinfo=UTC)
pytestmark = pytest.mark.anyio
ASK = (Message(role="user", content="Where is my parcel?"),)
NIGHT = (
    sys.executable,
    "-c",
    "from picktune_retrain.cli import nightly; nightly()",
    *("--role", "agent", "--epochs", "40", "--replies", "0", "--min-free", "0", "--new-base"),
)


@pytest.fixture
def home(tiny_model: Path, tiny_adapter: Any, tmp_path: Path, fill_log: Callable[..., Path]) -> Path:
    """A home with a champion, whose log has picks to train on."""
    home = fill_log(tmp_path / "home")
    registry = Registry(home / "registry")
    registry.add(
        tiny_adapter("yesterday", seed=1),
        name="yesterday",
        base_model=base_model(str(tiny_model)).name,
        base=tiny_model,
        run_id="yesterday",
        dataset_id="yesterday",
        picks=50,
        now=NOW,
    )
    registry.move("champion", "yesterday", by="ann", reason="people like it", now=NOW)
    return home


@pytest.fixture
async def service(home: Path, tiny_model: Path) -> AsyncIterator[Service]:
    """A service of that home, in which the champion speaks."""
    settings = Settings(home=str(home), model=str(tiny_model), poll=0.05, sampling=Sampling(max_tokens=4))
    running = create_service(settings, engine=LocalEngine(tiny_model, dtype="float32"))
    await running.until_ready(120)
    for _ in range(3000):
        if running.aliases == Aliases(champion="yesterday"):
            break
        await asyncio.sleep(0.02)
    yield running
    await running.close()


def small_files() -> None:
    # The kernel's own refusal (EFBIG), at less than the size of an adapter.
    resource.setrlimit(resource.RLIMIT_FSIZE, (96 << 10, 96 << 10))


async def begin(home: Path, model: Path, **options: Any) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    command = (*NIGHT, "--home", str(home), "--model", str(model))
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS")}
    return await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, env=env, **options)


async def test_nights_fail_and_the_champion_speaks_on(
    service: Service, home: Path, tiny_model: Path, tmp_path: Path
) -> None:
    registry = Registry(home / "registry")
    history = registry.history()
    drawn = 0

    async def check() -> None:
        nonlocal drawn
        slate = await service.draw(ASK)
        assert {(one.arm, one.model) for one in slate.candidates} == {
            ("base", None),
            ("champion", "yesterday"),
        }
        assert all(one.finish_reason in ("stop", "length") for one in slate.candidates)
        drawn += 1
        await asyncio.sleep(0.2)  # leaves the processor to the night

    async def until(night: asyncio.subprocess.Process, happened: Callable[[], bool]) -> str:
        """Draw slates beside the night until something has happened; what it said last."""
        said = asyncio.create_task(night.communicate())
        try:
            while not said.done() and not happened():
                await check()
            if not said.done():
                night.send_signal(signal.SIGKILL)
            return (await said)[1].decode()
        finally:
            with suppress(ProcessLookupError):
                night.kill()

    # A base whose weights were cut off.
    broken = shutil.copytree(tiny_model, tmp_path / "broken")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    settings = Settings(home=str(home), model=str(broken), roles=("agent",))
    failing = asyncio.create_task(
        asyncio.to_thread(nightly, settings, Plan(replies=0, min_free=0.0, new_base=True))
    )
    while not failing.done():
        await check()
    with pytest.raises(EngineDown, match="broken"):
        await failing

    # A full disk.
    night = await begin(home, tiny_model, preexec_fn=small_files)
    assert "free space and run again" in await until(night, lambda: False)
    assert night.returncode == 1

    # A kill while it trains.
    def trains() -> bool:
        return any(not path.name.endswith("-00000000") for path in home.glob("nights/*/state/step-*"))

    night = await begin(home, tiny_model)
    await until(night, trains)
    assert night.returncode == -signal.SIGKILL
    assert all_nights(home)[-1].stage == "train"

    await check()
    assert drawn > 3
    assert service.aliases == registry.aliases() == Aliases(champion="yesterday")
    assert registry.history() == history
    assert [version.name for version in registry.versions()] == ["yesterday"]
    assert registry.faults() == []
    assert (await service.readiness()).ready
