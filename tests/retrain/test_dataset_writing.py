"""What a killed writer of datasets leaves is swept away, and what a living one has begun is not."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from picktune.log import SQLiteLogReader
from picktune_retrain import nights
from picktune_retrain.dataset import build_dataset, freeze, load_dataset, save_dataset, save_splits
from picktune_retrain.dataset.writing import writing
from picktune_retrain.errors import HoldOutExists
from picktune_retrain.records import Dataset

NOW = datetime(2026, 11, 24, 2, 15, tzinfo=UTC)
# Dies for real, where everything is written and nothing has its name yet.
KILLED = """
import os, signal, sys
from pathlib import Path
from picktune_adapters import disk
from picktune_retrain.dataset import load_dataset, save_dataset
name, source, target = sys.argv[1:]
dataset = load_dataset(name, Path(source))
disk.sync_folder = lambda folder: os.kill(os.getpid(), signal.SIGKILL)
save_dataset(dataset, Path(target))
"""


@pytest.fixture
def dataset(tmp_path: Path, fill_log: Callable[..., Path]) -> Dataset:
    home = fill_log(tmp_path / "home", 30)
    with SQLiteLogReader(home / "picktune.db") as reader:
        return build_dataset(reader, until=NOW, roles=("agent",), now=NOW)


def left_in(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".tmp-*")]


def test_what_a_killed_writer_left_is_gone_with_the_next_one(dataset: Dataset, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    save_dataset(dataset, source)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, dataset.version.id, str(source), str(target)], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    (half,) = left_in(target)
    assert half.startswith(f".tmp-{dataset.version.id}-")
    save_splits(dataset, target)
    assert left_in(target) == []
    (target / half).mkdir()
    assert load_dataset(save_dataset(dataset, target).name, target) == dataset
    assert left_in(target) == []
    # The same inside a version that is brought up to date, and where another one is refused.
    (target / dataset.version.id / ".tmp-dropped.jsonl-0123456789ab").touch()
    (target / half).mkdir()
    save_dataset(dataset, target)
    assert left_in(target) == []
    freeze(dataset.test, target, name="first", dataset_id=dataset.version.id, now=NOW)
    with pytest.raises(HoldOutExists):
        freeze(dataset.test, target, name="second", dataset_id=dataset.version.id, now=NOW)


def test_what_a_living_writer_has_begun_is_waited_for(dataset: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "datasets"
    saved = threading.Event()

    def save() -> None:
        save_dataset(dataset, folder)
        saved.set()

    with writing(folder):
        half = folder / ".tmp-splits.json-0123456789ab"
        half.touch()
        other = threading.Thread(target=save)
        other.start()
        assert not saved.wait(0.3)
        assert half.exists()
        assert [path.name for path in folder.iterdir()] == [half.name]
    other.join(60)
    assert saved.is_set()
    assert left_in(folder) == []


def test_a_night_sweeps_what_it_alone_writes_in_the_home(tmp_path: Path) -> None:
    ours, others = tmp_path / ".tmp-references.txt-0123456789ab", tmp_path / ".tmp-keys.json-0123456789ab"
    for path in (ours, others):
        path.touch()
    with nights.exclusive(tmp_path, NOW):
        assert not ours.exists()
    assert others.exists()
