"""Whole nights on a real log, a tiny random model and a real registry; nothing in them is replaced."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from picktune.errors import EngineDown, LogUnavailable
from picktune.settings import Settings
from picktune_adapters import Aliases
from picktune_adapters.errors import AdapterCorrupt, RegistryCorrupt, RegistryTooNew
from picktune_adapters.registry import Registry
from picktune_retrain import nights
from picktune_retrain.dataset import load_dataset
from picktune_retrain.errors import BaseChanged, DatasetCorrupt, NightRunning, NightStopped, StateCorrupt
from picktune_retrain.gate import Gate
from picktune_retrain.nightly import nightly
from picktune_retrain.nights import Manifest
from picktune_retrain.plan import Plan, Quiet, Summary
from picktune_retrain.records import Recipe

RECIPE = Recipe(learning_rate=3e-3, epochs=1)
GATE = Gate(max_kl=9.0)  # so fast a training of so small a model goes far
OPTIONS = ("--learning-rate", "0.003", "--epochs", "1", "--role", "agent", "--max-kl", "9")
COMMAND = (sys.executable, "-c", "from picktune_retrain.cli import nightly; nightly()", *OPTIONS)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    # On a busy machine the threads of a tiny model wait for each other far longer than they work.
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(
    tiny_model: Path, tmp_path_factory: pytest.TempPathFactory, fill_log: Callable[..., Path]
) -> Path:
    """A home after one admitted night; tests copy it."""
    home = fill_log(tmp_path_factory.mktemp("trained") / "home")
    ended = run(home, tiny_model)
    assert ended.exit_code == Summary.ADMITTED, ended
    return home


@pytest.fixture
def home(trained: Path, tmp_path: Path) -> Path:
    """A copy of that home of the test's own."""
    return shutil.copytree(trained, tmp_path / "home", ignore=shutil.ignore_patterns(".lock", "*-shm"))


class Notes(Quiet):
    """Keeps what is noted, and may interfere when a stage begins."""

    def __init__(self, at: dict[str, Callable[[], object]] | None = None) -> None:
        self.notes: list[str] = []
        self.stages: list[str] = []
        self._at = at or {}

    def stage(self, name: str) -> None:
        self.stages.append(name)
        self._at.get(name, lambda: None)()

    def note(self, text: str) -> None:
        self.notes.append(text)


class Killed(BaseException):
    """Ends a night as a kill does: nothing in the house catches it."""


def die() -> None:
    raise Killed


def run(home: Path, model: Path, *, roles: tuple[Any, ...] = ("agent",), **options: Any) -> Summary:
    plan = {"recipe": RECIPE, "gate": GATE} | {
        name: options.pop(name) for name in list(options) if name in Plan.__struct_fields__
    }
    return nightly(Settings(home=str(home), model=str(model), roles=roles), Plan(**plan), **options)


def registry(home: Path) -> Registry:
    return Registry(home / "registry")


def change_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def only_night(home: Path) -> nights.Night:
    (night,) = nights.all_nights(home)
    return night


def change_manifest(home: Path, **changes: object) -> None:
    only_night(home).update(**changes)


@pytest.fixture
def command() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the command in a process of its own, which does not outlive the test."""
    with contextlib.ExitStack() as started:

        def start(home: Path, model: Path, **options: Any) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                (*COMMAND, "--home", str(home), "--model", str(model)),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                **options,
            )
            started.enter_context(process)
            started.callback(process.kill)
            return process

        yield start


def wait_for_checkpoint(home: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 240
    while not [path for path in home.glob("nights/*/state/step-*") if not path.name.endswith("-00000000")]:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "no checkpoint after four minutes"
        time.sleep(0.01)


def test_a_taste_that_can_be_learned_is_admitted(trained: Path, tiny_model: Path) -> None:
    (version,) = registry(trained).versions()
    night = only_night(trained).manifest
    assert registry(trained).aliases() == Aliases(challenger=version.name)
    assert registry(trained).verify(version.name, base=tiny_model, base_model=str(tiny_model)) == version
    assert (version.run_id, version.dataset_id, version.picks) == (night.id, night.dataset_id, 48)
    assert version.picks_until == night.until
    assert not version.simulated
    assert version.metrics["accuracy"] > version.metrics["chance_accuracy"] == 0.25
    assert version.metrics["gain_low"] > 0
    assert (night.result, night.adapter, night.failure) == ("admitted", version.name, None)
    assert night.done == nights.STAGES

    # The lineage leads from the adapter to the very picks.
    dataset = load_dataset(version.dataset_id, trained / "datasets")
    assert dataset.version.counts == {"train": 48, "validation": 6, "test": 6}
    assert {row.slate_id for row in dataset.train} <= {f"slate-{i:04}" for i in range(60)}

    folder = trained / "nights" / night.id
    assert version.name in (folder / "report.html").read_text("utf-8")
    assert not (folder / "state").exists()
    assert list(trained.rglob(".tmp-*")) == []


def test_nothing_new_is_nothing_to_do(home: Path, tiny_model: Path) -> None:
    ended = run(home, tiny_model)
    assert ended.exit_code == Summary.NOTHING_TO_DO
    assert "nothing new" in ended.message
    assert len(nights.all_nights(home)) == 1
    # Asked to judge by more than before, the same picks are worth another look; but here are not enough.
    assert "too little to judge by" in run(home, tiny_model, gate=Gate(min_sets=7)).message


def test_the_next_night_keeps_what_was_held_out_and_replaces_the_challenger(
    home: Path, tiny_model: Path, fill_log: Callable[..., Path]
) -> None:
    first = only_night(home).manifest
    fill_log(home, 20, start=60)
    watch = Notes()
    ended = run(home, tiny_model, watch=watch)
    assert ended.exit_code == Summary.ADMITTED
    assert ended.adapter is not None
    assert ended.adapter.name != first.adapter
    assert registry(home).aliases() == Aliases(challenger=ended.adapter.name)
    assert ended.replaced == first.adapter
    assert any(f"takes the place of the challenger {first.adapter}" in note for note in watch.notes)
    assert first.adapter in Path(ended.report or "").read_text("utf-8")

    before = load_dataset(first.dataset_id, home / "datasets")
    after = load_dataset(ended.adapter.dataset_id, home / "datasets")
    for split in ("train", "validation", "test"):
        kept = {row.slate_id for row in getattr(before, split)}
        assert kept < {row.slate_id for row in getattr(after, split)}


def test_picks_without_any_taste_are_not_admitted(
    home: Path, tiny_model: Path, fill_log: Callable[..., Path]
) -> None:
    name = registry(home).versions()[0].name
    registry(home).promote(name, by="ann", reason="people like it", now=datetime.now(UTC))
    shutil.rmtree(home / "datasets")
    for path in home.glob("picktune.db*"):
        path.unlink()
    fill_log(home, 60, taste=False)
    ended = run(home, tiny_model)
    assert ended.exit_code == Summary.NOT_ADMITTED
    assert "not above" in ended.message
    assert ended.adapter is not None
    # It is kept for whoever wants to look, but nobody is shown its replies.
    assert [version.name for version in registry(home).versions()] == [name, ended.adapter.name]
    assert registry(home).aliases() == Aliases(champion=name)
    assert "Champion and challenger stay as they were" in Path(ended.report or "").read_text("utf-8")
    assert run(home, tiny_model).exit_code == Summary.NOTHING_TO_DO


def test_killed_while_training_it_ends_with_the_same_adapter(
    trained: Path,
    tiny_model: Path,
    tmp_path: Path,
    fill_log: Callable[..., Path],
    command: Callable[..., Any],
) -> None:
    home = fill_log(tmp_path / "home")
    process = command(home, tiny_model)
    wait_for_checkpoint(home, process)
    process.kill()
    process.communicate()
    assert only_night(home).stage == "train"
    assert registry(home).versions() == []

    watch = Notes()
    ended = run(home, tiny_model, watch=watch)
    assert ended.exit_code == Summary.ADMITTED
    assert "read the log" not in watch.stages
    assert any("going on with night" in note for note in watch.notes)
    (control,), (resumed,) = registry(trained).versions(), registry(home).versions()
    assert resumed.sha256 == control.sha256
    assert resumed.metrics == control.metrics


def test_sigterm_saves_and_meanwhile_a_second_run_is_refused(
    trained: Path,
    tiny_model: Path,
    tmp_path: Path,
    fill_log: Callable[..., Path],
    command: Callable[..., Any],
) -> None:
    home = fill_log(tmp_path / "home")
    process = command(home, tiny_model)
    wait_for_checkpoint(home, process)
    process.send_signal(signal.SIGSTOP)  # so that it is still at work, however slow the second one is
    with pytest.raises(NightRunning, match=f"process {process.pid} on .* since"):
        run(home, tiny_model)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == Summary.FAILED
    assert errors.startswith("failed: ")
    assert "step" in errors
    assert "Traceback" not in errors
    assert only_night(home).manifest.failures == 0

    assert run(home, tiny_model).exit_code == Summary.ADMITTED
    assert registry(home).versions()[0].sha256 == registry(trained).versions()[0].sha256


def test_killed_in_any_stage_it_goes_on_in_that_stage(
    trained: Path, tiny_model: Path, tmp_path: Path, fill_log: Callable[..., Path]
) -> None:
    home = fill_log(tmp_path / "home")
    for stage in nights.STAGES:
        watch = Notes({stage: die})
        with pytest.raises(Killed):
            run(home, tiny_model, watch=watch)
        assert only_night(home).stage == stage
        assert [made for made in watch.stages if made != "read the log"][-1] == stage
    assert run(home, tiny_model).exit_code == Summary.ADMITTED
    assert [one.sha256 for one in registry(home).versions()] == [
        one.sha256 for one in registry(trained).versions()
    ]


def test_killed_right_after_registering_it_registers_nothing_twice(home: Path, tiny_model: Path) -> None:
    (version,) = registry(home).versions()
    change_manifest(home, done=("train", "evaluate", "compare", "decide"), result=None, adapter=None)
    ended = run(home, tiny_model)
    assert ended.adapter == version
    assert registry(home).versions() == [version]


def test_a_night_that_keeps_failing_makes_room_for_a_new_one(home: Path, tiny_model: Path) -> None:
    change_manifest(home, done=("train", "evaluate", "compare", "decide"), result=None, adapter=None)
    registry(home).move("challenger", None, by="ann", reason="clean up", now=datetime.now(UTC))
    shutil.rmtree(home / "registry" / "adapters")
    for _ in range(nights.MOST_FAILURES):
        with pytest.raises(AdapterCorrupt):  # the files to register were dropped when the night ended
            run(home, tiny_model)
        assert registry(home).aliases() == Aliases()
    watch = Notes()
    assert run(home, tiny_model, watch=watch).exit_code == Summary.ADMITTED
    assert any("failed 3 times at stage 'register'" in note for note in watch.notes)
    assert [night.manifest.result for night in nights.all_nights(home)] == ["abandoned", "admitted"]


def test_a_full_disk_leaves_nothing_half_written(
    trained: Path,
    tiny_model: Path,
    tmp_path: Path,
    fill_log: Callable[..., Path],
    command: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = fill_log(tmp_path / "home")
    # Coverage would run into the same limit with its own file, and complain.
    for variable in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
        monkeypatch.delenv(variable, raising=False)

    def small_files() -> None:
        # A real refusal by the kernel (EFBIG), at about the size of the adapter.
        resource.setrlimit(resource.RLIMIT_FSIZE, (96 << 10, 96 << 10))

    process = command(home, tiny_model, preexec_fn=small_files)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == Summary.FAILED, errors
    assert "is full" in errors
    assert "free space and run again" in errors
    assert "Traceback" not in errors
    assert registry(home).versions() == []
    assert registry(home).aliases() == Aliases()
    assert list(home.glob("nights/*/adapter")) == []

    assert run(home, tiny_model).exit_code == Summary.ADMITTED
    assert registry(home).versions()[0].sha256 == registry(trained).versions()[0].sha256


@pytest.mark.parametrize(
    ("picks", "conversations", "words"),
    [
        (0, None, "0 usable picks in the log, and 50 are needed"),
        (49, None, "49 usable picks in the log, and 50 are needed"),
        (60, 1, "too little to judge by: 0 held-out choice sets, and 30 are needed"),
        (60, 3, "from 3 conversations"),
    ],
)
def test_too_little_data_is_nothing_to_do(
    tiny_model: Path,
    tmp_path: Path,
    fill_log: Callable[..., Path],
    picks: int,
    conversations: int | None,
    words: str,
) -> None:
    home = fill_log(tmp_path / "home", picks, conversations=conversations)
    ended = run(home, tiny_model, min_picks=50 if conversations is None else 20, gate=Gate(min_sets=30))
    assert ended.exit_code == Summary.NOTHING_TO_DO
    assert words in ended.message
    assert nights.all_nights(home) == []
    assert not (home / "registry" / "adapters").exists()


def test_simulated_picks_count_only_if_asked_for_and_are_called_so(
    tiny_model: Path, tmp_path: Path, fill_log: Callable[..., Path]
) -> None:
    home = fill_log(tmp_path / "home", role="model")
    assert "0 usable picks" in run(home, tiny_model).message
    ended = run(home, tiny_model, roles=("agent", "model"))
    assert ended.exit_code == Summary.ADMITTED
    assert ended.adapter is not None
    assert ended.adapter.simulated
    report = Path(ended.report or "").read_text("utf-8")
    assert "Simulated:" in report
    assert "模拟" in report


def test_picks_from_the_given_moment_on_are_left_out(
    home: Path, tiny_model: Path, fill_log: Callable[..., Path]
) -> None:
    ended = run(home, tiny_model, until=datetime(2026, 11, 23, 20, 0, 30, tzinfo=UTC))
    assert "30 usable picks" in ended.message


def test_a_rehearsal_writes_nothing(tiny_model: Path, tmp_path: Path, fill_log: Callable[..., Path]) -> None:
    home = fill_log(tmp_path / "home")
    ended = run(home, tiny_model, dry_run=True)
    assert ended.exit_code == Summary.ADMITTED
    assert "would train on 48 picks" in ended.message
    assert {path.name.split("-")[0] for path in home.iterdir()} == {"picktune.db"}
    assert run(home, tiny_model, dry_run=True, min_picks=61).exit_code == Summary.NOTHING_TO_DO


def test_another_base_under_the_adapters_in_service_is_refused(
    home: Path, tiny_model: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(tiny_model, tmp_path / "other")
    before = registry(home).aliases()
    # A copy under another name is the same model; one with a changed byte in its weights is not.
    assert "nothing new" in run(home, other).message
    change_a_byte(other / "model.safetensors")
    with pytest.raises(BaseChanged, match=r"challenger .* was trained on .*tiny-llama.*tonight's is .*other"):
        run(home, other, force=True)
    assert registry(home).aliases() == before
    assert run(home, other, new_base=True, dry_run=True, force=True).exit_code == Summary.ADMITTED


def test_a_base_that_changed_while_the_night_was_interrupted_starts_afresh(
    tiny_model: Path, tmp_path: Path, fill_log: Callable[..., Path]
) -> None:
    model = shutil.copytree(tiny_model, tmp_path / "model")
    home = fill_log(tmp_path / "home")
    with pytest.raises(Killed):
        run(home, model, watch=Notes({"evaluate": die}))
    change_a_byte(model / "model.safetensors")
    watch = Notes({"train": die})
    with pytest.raises(Killed):
        run(home, model, watch=watch)
    assert any("the base model has changed since it began" in note for note in watch.notes)
    assert [night.manifest.result for night in nights.all_nights(home)] == ["abandoned", None]


@pytest.mark.parametrize("options", [{"fresh": True}, {"recipe": Recipe(learning_rate=1e-3, epochs=1)}])
def test_an_interrupted_night_that_is_not_wanted_any_more_is_left_behind(
    home: Path, tiny_model: Path, options: dict[str, Any]
) -> None:
    change_manifest(home, done=(), result=None)
    watch = Notes({"train": die})
    with pytest.raises(Killed):
        run(home, tiny_model, watch=watch, **options)
    assert [night.manifest.result for night in nights.all_nights(home)] == ["abandoned", None]
    assert any("leaving the unfinished night" in note for note in watch.notes)


def test_asked_to_stop_between_stages(
    tiny_model: Path, tmp_path: Path, fill_log: Callable[..., Path]
) -> None:
    home = fill_log(tmp_path / "home")
    with pytest.raises(NightStopped, match="run again"):
        run(home, tiny_model, should_stop=lambda: True)
    assert only_night(home).stage == "train"


@pytest.mark.parametrize(
    ("file", "content", "error", "words"),
    [
        ("registry/aliases.json", "{half", RegistryCorrupt, "delete it"),
        ("registry/registry.json", '{"format": 99}', RegistryTooNew, "upgrade"),
        ("nights/*/manifest.json", "{half", StateCorrupt, "delete the folder"),
        ("datasets/splits.json", "[]", StateCorrupt, "delete it"),
        ("picktune.db", "no database at all", LogUnavailable, "picktune.db"),
    ],
)
def test_damaged_files_are_named_and_left_as_they_are(
    home: Path,
    tiny_model: Path,
    file: str,
    content: str,
    error: type[Exception],
    words: str,
) -> None:
    (path,) = home.glob(file)
    if path.suffix == ".db":
        for rest in home.glob("picktune.db-*"):
            rest.unlink()
    aliases = registry(home).aliases()
    path.write_text(content)
    with pytest.raises(error, match=words):
        run(home, tiny_model, force=True)
    assert path.read_text() == content
    if "registry" not in file:
        assert registry(home).aliases() == aliases


@pytest.mark.parametrize(
    ("file", "error", "words"),
    [
        ("nights/*/evaluate.json", StateCorrupt, "delete the folder"),
        ("datasets/*/test.jsonl", DatasetCorrupt, "--fresh"),
    ],
)
def test_what_an_interrupted_night_left_is_verified(
    home: Path, tiny_model: Path, file: str, error: type[Exception], words: str
) -> None:
    change_manifest(home, done=("train", "evaluate"), result=None)
    (path,) = home.glob(file)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(error, match=words):
        run(home, tiny_model)


def test_a_missing_log_and_a_missing_model_say_what_to_do(
    tiny_model: Path, tmp_path: Path, fill_log: Callable[..., Path]
) -> None:
    with pytest.raises(LogUnavailable):
        run(tmp_path / "nowhere", tiny_model)
    assert not (tmp_path / "nowhere").exists()
    home = fill_log(tmp_path / "home", 1)
    with pytest.raises(EngineDown, match="--model"):
        run(home, Path("no-such/model"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(EngineDown, match=r"no \*\.safetensors"):
        run(home, tmp_path / "empty")


def test_the_manifest_is_readable_by_programs(trained: Path) -> None:
    (path,) = trained.glob("nights/*/manifest.json")
    manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    assert manifest.format == 1
    assert manifest.recipe == RECIPE
