"""Where an interrupted training goes on: the adapter, the optimiser and the steps so far, on disk.

    state/step-00000012/adapter.safetensors      the adapter's matrices
    state/step-00000012/optimizer.safetensors    AdamW's two moments of each
    state/step-00000012/state.json               the rest, with the fingerprint of the run that it belongs to
    state/mark-00000010/                         the same of where to go back to if the training runs away

A checkpoint is written beside the last one, synced and renamed, so that a kill at any moment leaves a whole
one. Nothing is pickled. There is no state of a random generator to keep: each step draws from its own seed.
"""

from __future__ import annotations

import os
import shutil
import time
from datetime import datetime
from pathlib import Path

import msgspec
import torch
from msgspec import structs
from picktune.records import Record
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim import Optimizer

from picktune_retrain.errors import StateCorrupt, TrainingStateMismatch
from picktune_retrain.records import Answer, Step

_REMEDY = "delete the state folder to train from the start"
_ADAPTER, _OPTIMIZER, _STATE = "adapter.safetensors", "optimizer.safetensors", "state.json"
_MOMENTS = "exp_avg", "exp_avg_sq"
_PATIENCE = 20.0


class Progress(Record, frozen=True, kw_only=True):
    """How far a run has come. ``reference`` are the base's log-probabilities, set by set, in nats.

    ``answers`` are how often, and from where, it went on at a slower pace.
    """

    run_id: str
    fingerprint: str
    step: int = 0
    steps: tuple[Step, ...] = ()
    reference: tuple[tuple[float, ...], ...]
    seconds: float
    started_at: datetime
    answers: tuple[Answer, ...] = ()


class Keeper:
    """Keeps the checkpoints of a run in ``folder``; without a folder it keeps none.

    Unless they are trained as a ``whole``, some of the weights may not have been stepped yet.
    """

    def __init__(
        self,
        folder: Path | None,
        weights: dict[str, nn.Parameter],
        optimizer: Optimizer,
        *,
        whole: bool = True,
    ) -> None:
        self.folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self.whole = whole
        self.weights = weights
        self.optimizer = optimizer
        self._saved = time.perf_counter()
        self._took = 0.0

    def due(self) -> bool:
        """Whether the last checkpoint is old enough: saving takes at most about a twentieth of the time."""
        return time.perf_counter() - self._saved >= _PATIENCE * self._took

    def save(self, progress: Progress) -> None:
        """Write a checkpoint, then drop the older ones. A failed one leaves the last one in place."""
        if self.folder is None:
            return
        began = time.perf_counter()
        # What went back has made fewer steps, and is newer all the same.
        again = f"s{len(progress.answers)}-" if progress.answers else ""
        self._put(progress, self.folder / f"step-{again}{progress.step:08d}")
        _sweep(self.folder)
        self._saved = time.perf_counter()
        self._took = self._saved - began

    def mark(self, progress: Progress) -> None:
        """Remember this place, and no earlier one, as the one to go back to; without a folder, none."""
        if self.folder is None:
            return
        # The reference stays with the newest checkpoint.
        self._put(structs.replace(progress, reference=()), self.folder / f"mark-{progress.step:08d}")
        for older in sorted(self.folder.glob("mark-*"))[:-1]:
            shutil.rmtree(older, ignore_errors=True)

    def go_back(self) -> Progress | None:
        """Put the marked place back into the weights and the optimiser; its reference is missing.

        ``None`` if there is no such place. Raises ``StateCorrupt`` if it cannot be read.
        """
        marks = sorted(self.folder.glob("mark-*")) if self.folder else []
        if not marks:
            return None
        try:
            progress = msgspec.json.decode((marks[-1] / _STATE).read_bytes(), type=Progress)
            self._read(progress, marks[-1])
        except (OSError, SafetensorError, msgspec.MsgspecError, KeyError, RuntimeError) as error:
            raise StateCorrupt(marks[-1], str(error) or type(error).__name__, _REMEDY) from error
        return progress

    def _put(self, progress: Progress, final: Path) -> None:
        temporary = final.with_name(f".tmp-{final.name}")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            self._write(progress, temporary)
            shutil.rmtree(final, ignore_errors=True)
            temporary.rename(final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        _sync(final.parent)

    def restore(self, fingerprint: str) -> Progress | None:
        """Put the newest checkpoint back into the weights and the optimiser; ``None`` if there is none.

        Raises ``TrainingStateMismatch`` if it belongs to another run, ``StateCorrupt`` if it cannot be read.
        """
        checkpoints = _checkpoints(self.folder) if self.folder else []
        if not checkpoints:
            return None
        newest = checkpoints[-1]
        try:
            progress = msgspec.json.decode((newest / "state.json").read_bytes(), type=Progress)
            if progress.fingerprint != fingerprint:
                raise TrainingStateMismatch(
                    f"{newest} belongs to run {progress.run_id!r}, which has other choice sets, another base "
                    f"model or another recipe; {_REMEDY}"
                )
            self._read(progress, newest)
        except (OSError, SafetensorError, msgspec.MsgspecError, KeyError, RuntimeError) as error:
            raise StateCorrupt(newest, str(error) or type(error).__name__, _REMEDY) from error
        # A run that was killed right after its last checkpoint may not have dropped the one before.
        _sweep(newest.parent)
        return progress

    def _write(self, progress: Progress, folder: Path) -> None:
        state = self.optimizer.state
        moments = {
            f"{m}.{name}": state[w][m] for name, w in self.weights.items() if w in state for m in _MOMENTS
        }
        # Of weights that were thawed later, AdamW has counted fewer steps.
        steps = {f"step.{name}": state[w]["step"].clone() for name, w in self.weights.items() if w in state}
        moments |= {key: step for key, step in steps.items() if float(step) != progress.step}
        save_file({name: w.detach() for name, w in self.weights.items()}, folder / _ADAPTER)
        save_file(moments, folder / _OPTIMIZER)
        (folder / _STATE).write_bytes(msgspec.json.encode(progress))
        for path in (folder / _ADAPTER, folder / _OPTIMIZER, folder / _STATE, folder):
            _sync(path)

    def _read(self, progress: Progress, folder: Path) -> None:
        weights, moments = load_file(folder / _ADAPTER), load_file(folder / _OPTIMIZER)
        self.optimizer.state.clear()
        for name, weight in self.weights.items():
            weight.data.copy_(weights[name])
            if progress.step and (self.whole or f"exp_avg.{name}" in moments):
                state = {m: moments[f"{m}.{name}"].to(weight.device) for m in _MOMENTS}
                step = moments.get(f"step.{name}", torch.tensor(float(progress.step)))
                self.optimizer.state[weight] = {"step": step, **state}


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))


def _sweep(folder: Path) -> None:
    for older in _checkpoints(folder)[:-1]:
        shutil.rmtree(older, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
