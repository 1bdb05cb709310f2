"""One fine-tuning at a platform, from the picks to a version in the registry, that outlives being killed."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import field, structs
from picktune.records import Record
from picktune_adapters import AdapterVersion, disk
from picktune_adapters.check_remote import REMOTE, RemoteModel
from picktune_adapters.registry import Registry

from picktune_retrain.errors import NothingToTrain
from picktune_retrain.platform.client import Job, Platform, PlatformError
from picktune_retrain.platform.rows import Method, rows_of
from picktune_retrain.records import Dataset

LEAST = 10
"""Rows below which OpenAI refuses a file."""
_MARK = "picktune"
_LONGEST = 60.0


class Wanted(Record, frozen=True, kw_only=True):
    """What is asked of a platform: its base model, what is learned from, and hyperparameters."""

    model: str
    method: Method = "dpo"
    epochs: int | None = None
    beta: float | None = None
    suffix: str | None = None
    seed: int | None = None

    def body(self, files: dict[str, str], mark: str) -> dict[str, Any]:
        """The request that creates the job."""
        kind = "dpo" if self.method == "dpo" else "supervised"
        values = {"n_epochs": self.epochs, "beta": self.beta if kind == "dpo" else None}
        hyper = {name: value for name, value in values.items() if value is not None}
        more = {"suffix": self.suffix, "seed": self.seed, "validation_file": files.get("validation")}
        return {
            "model": self.model,
            "training_file": files["train"],
            "method": {"type": kind, kind: {"hyperparameters": hyper} if hyper else {}},
            "metadata": {_MARK: mark},
            **{name: value for name, value in more.items() if value is not None},
        }


class State(Record, frozen=True, kw_only=True):
    """How far it is: kept in ``platform/MARK.json`` after every step."""

    files: dict[str, str] = field(default_factory=dict)
    job: str | None = None
    status: str = ""
    adapter: str | None = None


def finetune(
    platform: Platform,
    wanted: Wanted,
    dataset: Dataset,
    home: Path,
    registry: Registry,
    *,
    now: Callable[[], datetime],
    hear: Callable[[str], object] = lambda text: None,
) -> AdapterVersion:
    """Upload, create the job, wait for it, and register its model; what was done already is not done again.

    The same picks at the same platform for the same ``wanted`` are one fine-tuning: run again after it was
    killed, it goes on, and finds the job that it created but could not note by its metadata. A job that
    failed or was cancelled is begun anew by the next run. Raises ``PlatformError`` and ``NothingToTrain``.
    """
    lines = {name: list(rows_of(getattr(dataset, name), wanted.method)) for name in ("train", "validation")}
    if len(lines["train"]) < LEAST:
        raise NothingToTrain(
            f"the picks give {len(lines['train'])} rows, and platforms want {LEAST} at least; collect more"
        )
    told = msgspec.json.encode((platform.url, wanted, dataset.version.id))
    mark = hashlib.sha256(told).hexdigest()[:24]
    folder = home / "platform"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = folder / f"{mark}.json"
    state = msgspec.json.decode(kept.read_bytes(), type=State) if kept.exists() else State()

    def keep(**fields: Any) -> None:
        nonlocal state
        state = structs.replace(state, **fields)
        disk.replace(kept, msgspec.json.encode(state))

    if state.status in ("failed", "cancelled"):
        keep(files={}, job=None, status="")
    elif state.job is None and state.files:
        found = (one for one in platform.jobs() if (one.metadata or {}).get(_MARK) == mark)
        running = next((one for one in found if one.status not in ("failed", "cancelled")), None)
        if running is not None:
            keep(job=running.id)
    if state.job is None:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            for name, some in lines.items():
                if some and name not in state.files:
                    path = Path(place) / f"{name}.jsonl"
                    path.write_bytes(b"".join(some))
                    hear(f"uploading {len(some)} rows ({name})")
                    keep(files={**state.files, name: platform.upload(path)})
        keep(job=platform.create(wanted.body(state.files, mark)).id)
    assert state.job is not None  # noqa: S101 - it was just kept
    job = _wait(platform, state.job, hear)
    keep(status=job.status)
    if job.status != "succeeded" or not job.fine_tuned_model:
        why = (job.error.message if job.error else None) or "no reason given"
        raise PlatformError(f"job {job.id} at {platform.url} ended as {job.status}: {why}")
    version = next((one for one in registry.versions() if one.run_id == job.id), None)
    if version is None:
        version = _register(registry, platform, wanted, dataset, job, now())
    keep(adapter=version.name)
    return version


def _wait(platform: Platform, id: str, hear: Callable[[str], object]) -> Job:
    seen: set[str] = set()
    pause, status = 1.0, ""
    while True:
        job = platform.job(id)
        if job.status != status:
            status, pause = job.status, 1.0
            hear(f"job {id}: {status}")
        for event in platform.events(id):
            if event.id not in seen:
                seen.add(event.id)
                hear(event.message)
        if status in ("succeeded", "failed", "cancelled"):
            return job
        platform.sleep(pause)
        pause = min(pause * 1.5, _LONGEST)


def _register(
    registry: Registry, platform: Platform, wanted: Wanted, dataset: Dataset, job: Job, now: datetime
) -> AdapterVersion:
    remote = RemoteModel(url=platform.url, model=str(job.fine_tuned_model), job=job.id)
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / REMOTE).write_bytes(msgspec.json.format(msgspec.json.encode(remote)))
        return registry.add(
            Path(place),
            name=registry.next_name(now),
            base_model=wanted.model,
            run_id=job.id,
            method=wanted.method,
            dataset_id=dataset.version.id,
            picks=len(dataset.train),
            picks_until=dataset.version.until,
            simulated=dataset.version.simulated,
            metrics={} if job.trained_tokens is None else {"trained_tokens": float(job.trained_tokens)},
            now=now,
        )
