"""Every method from the log to the slate: picks, a night, the registry, and a slate that the server draws."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec import structs
from picktune.engines.limits import VLLMLimits
from picktune.engines.local import LocalEngine
from picktune.errors import InvalidInput
from picktune.records import Message, Sampling, Slate
from picktune.service import create_service
from picktune.settings import Settings
from picktune_adapters.probes import read_probes
from picktune_adapters.registry import Registry
from picktune_retrain import budget, nights
from picktune_retrain.drift import measure_drift
from picktune_retrain.errors import DiskFull
from picktune_retrain.gate import Gate
from picktune_retrain.nightly import nightly
from picktune_retrain.plan import Plan, Quiet, Summary
from picktune_retrain.records import Recipe
from picktune_retrain.retention import drop_checkpoints

from .test_methods import bitsandbytes, choice_sets

NOW = datetime(2026, 11, 24, tzinfo=UTC)
ASK = (Message(role="user", content="Where is parcel 7?"),)
SHORT = Sampling(temperature=0.0, max_tokens=8)
# So fast a training of so small a model goes far, and what counts here is that it comes out and is served.
GATE = Gate(max_kl=1000.0)
OWN, TOKENS = 2e-3, 5e-2
METHODS: dict[str, tuple[str, float]] = {
    "full": ("checkpoint", OWN),
    "freeze": ("checkpoint", OWN),
    "progressive": ("checkpoint", OWN),
    "prompt": ("prompt", TOKENS),
    "p-tuning": ("prompt", 1e-2),
    "prefix": ("prompt", TOKENS),
    "lora": ("lora", 5e-3),
    "qlora": ("lora", 5e-3),
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def picked(tmp_path_factory: pytest.TempPathFactory, fill_log: Callable[..., Path]) -> Path:
    """A home with picks in its log."""
    return fill_log(tmp_path_factory.mktemp("picked") / "home", 50)


@pytest.fixture
def home(picked: Path, tmp_path: Path) -> Path:
    return shutil.copytree(picked, tmp_path / "home", ignore=shutil.ignore_patterns("*-shm"))


class Notes(Quiet):
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def settings_of(home: Path, model: Path) -> Settings:
    return Settings(
        home=str(home), model=str(model), roles=("agent",), poll=0.05, policy="1+1", sampling=SHORT
    )


def plan_of(method: str, **options: Any) -> Plan:
    rate = METHODS[method][1]
    recipe = Recipe(
        method=method,  # type: ignore[arg-type]
        learning_rate=rate,
        batch=8,
        epochs=3,
        lam=0.0,
        stages=2,
        thawed="1",
        virtual_tokens=6,
        max_prompt=64,
    )
    return Plan(**{"recipe": recipe, "gate": GATE, "replies": 2} | options)


async def draw(settings: Settings, name: str) -> Slate:
    """A slate that the service draws once the version speaks."""
    engine = LocalEngine(str(settings.model), dtype="float32")
    service = create_service(settings, engine=engine)
    try:
        await service.start()
        async with asyncio.timeout(60):
            while service.aliases.challenger != name:
                assert not (await service.readiness()).problems, (await service.readiness()).problems
                await asyncio.sleep(0.05)
        return await service.draw(ASK, conversation_id="c")
    finally:
        await service.close()


@pytest.mark.parametrize(
    "method",
    [pytest.param(one, marks=[bitsandbytes] if one == "qlora" else []) for one in METHODS],
)
def test_a_method_is_trained_judged_registered_and_served(method: str, home: Path, tiny_model: Path) -> None:
    settings = settings_of(home, tiny_model)
    ended = nightly(settings, plan_of(method))
    assert ended.exit_code == Summary.ADMITTED, ended.message
    assert ended.adapter is not None
    assert ended.report is not None
    assert Path(ended.report).is_file()
    registry = Registry(settings.registry_path)
    version = registry.verify(ended.adapter.name, base=tiny_model)
    assert (version.method, version.kind) == (method, METHODS[method][0])
    assert registry.aliases().challenger == version.name
    probes = read_probes(registry.folder(version.name), version.sha256)
    assert probes
    assert any(one.base != one.tuned for one in probes)
    # Nothing of the size of the model stays beside the registry.
    (night,) = nights.all_nights(home)
    assert not list(night.folder.glob("**/*.safetensors"))

    slate = asyncio.run(draw(settings, version.name))
    assert slate.complete
    base, tuned = sorted(slate.candidates, key=lambda one: one.model or "")
    assert (base.kind, base.model) == ("base", None)
    assert (tuned.kind, tuned.model) == ("challenger", version.name)
    assert tuned.text != base.text


def test_the_drift_of_a_prompt_adapter_and_of_a_checkpoint_is_measured_as_they_are_served(
    tiny_model: Path, tmp_path: Path
) -> None:
    from picktune_retrain import methods, models

    sets = choice_sets(3)
    for method in ("prompt", "full"):
        recipe = plan_of(method).recipe
        model = models.load(tiny_model, recipe)
        methods.prepare(model, recipe)
        methods.save(model, recipe, tmp_path / method)
        drift = measure_drift(sets, base_model=tiny_model, adapter=tmp_path / method, recipe=recipe)
        # Nothing was trained: a checkpoint is the base, and virtual tokens are words before the prompt.
        assert (abs(drift.kl) < 1e-6) is (method == "full")
        assert (drift.general_adapter == drift.general_base) is (method == "full")


def test_a_night_that_would_fill_the_disk_says_so_before_it_begins(
    home: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(home, tiny_model)
    need = budget.disk_need(tiny_model, plan_of("full").recipe)
    weights = (tiny_model / "model.safetensors").stat().st_size
    assert need == pytest.approx(8 * weights, rel=0.05)
    assert budget.disk_need(tiny_model, plan_of("lora").recipe) == 0
    assert budget.disk_need(tiny_model, plan_of("prefix").recipe) == 0
    frozen = plan_of("freeze").recipe
    assert 2 * weights < budget.disk_need(tiny_model, frozen) < need
    named = budget.disk_need(tiny_model, structs.replace(frozen, thawed="layers.1"))
    assert named == budget.disk_need(tiny_model, frozen)
    free = shutil.disk_usage(home)._replace(free=2 * (1 << 30) + need // 2)
    monkeypatch.setattr(budget.shutil, "disk_usage", lambda path: free)
    with pytest.raises(DiskFull, match=r"for a checkpoint of the whole model .* picktune adapters prune"):
        nightly(settings, plan_of("full", min_free=2.0))
    assert nights.all_nights(home) == []

    watch = Notes()
    nightly(settings, plan_of("full", dry_run=True), watch=watch)
    assert any("GiB of the disk" in note for note in watch.notes)


def test_old_checkpoints_leave_after_a_night(tiny_model: Path, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    notes: list[str] = []
    for number in range(1, 5):
        at = NOW + timedelta(days=number)
        fields: dict[str, Any] = {"base_model": "m", "run_id": "r", "dataset_id": "d", "picks": 1}
        registry.add(tiny_model, name=f"c{number}", method="full", now=at, **fields)
    registry.promote("c1", by="lead", reason="better", now=NOW)
    gone = drop_checkpoints(registry, 1, by="nightly", note=notes.append, now=NOW)
    assert gone == ["c2", "c3"]
    assert [one.name for one in registry.versions()] == ["c1", "c4"]
    assert len(notes) == 2
    assert drop_checkpoints(registry, 1, by="nightly", note=notes.append, now=NOW) == []


def test_a_night_says_beforehand_what_vllm_cannot_serve(home: Path, tiny_model: Path) -> None:
    settings = structs.replace(settings_of(home, tiny_model), engine="vllm")
    with pytest.raises(InvalidInput, match="prefix makes a prompt adapter, which only the local engine"):
        nightly(settings, plan_of("prefix"))
    assert nights.all_nights(home) == []
    watch = Notes()
    nightly(settings, plan_of("full", dry_run=True), watch=watch)
    assert any("by a server of its own: start one on it" in note for note in watch.notes)
    there = structs.replace(settings, vllm=VLLMLimits(checkpoints=("http://127.0.0.1:8001",)))
    watch = Notes()
    nightly(there, plan_of("full", dry_run=True), watch=watch)
    assert not any("server of its own" in note for note in watch.notes)
