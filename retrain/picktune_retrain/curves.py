"""The curves of a training while it runs, for TensorBoard: a folder a night, to lay side by side.

    FOLDER/<night id>/events.out.tfevents.…

What is read by others, and may be on another disk, is never worth a night: if it cannot be written, that is
said, and the night goes on without.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from picktune.errors import InvalidInput, MissingExtra

from picktune_retrain.records import Step

FLUSH_SECONDS = 10


def check(folder: str | None) -> None:
    """Raise ``MissingExtra`` without TensorBoard, and ``InvalidInput`` if a file is in the folder's place."""
    if folder is None:
        return
    if importlib.util.find_spec("tensorboard") is None:
        raise MissingExtra("--tensorboard", "tensorboard")
    if Path(folder).exists() and not Path(folder).is_dir():
        raise InvalidInput(f"{folder} is a file; name a folder for TensorBoard", field="tensorboard")


class Curves:
    """Writes loss, accuracy, learning rate and gradient norm of each step to ``folder``; ``None`` is nowhere.

    Steps that are made again, after a kill or after going back, take the place of what they were before.
    ``note`` hears, once, if nothing can be written.
    """

    def __init__(self, folder: Path | None, note: Callable[[str], None]) -> None:
        self._folder = folder
        self._note = note
        self._writer: Any = None
        self._last = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._attempt(self._close)

    def step(self, step: Step) -> None:
        """One more point on each curve of its split."""
        self._attempt(lambda: self._write(step))

    def _write(self, step: Step) -> None:
        again = step.split == "train" and step.step <= self._last
        if self._writer is None or again:
            from torch.utils.tensorboard import SummaryWriter

            self._close()
            # Whoever reads drops what stood there from this step on.
            self._writer = SummaryWriter(str(self._folder), purge_step=step.step, flush_secs=FLUSH_SECONDS)
        self._last = step.step
        figures = {f"loss/{step.split}": step.loss, f"accuracy/{step.split}": step.accuracy}
        figures |= {f"loss/{step.split}/{name}": part for name, part in step.parts.items()}
        if step.split == "train":
            figures |= {"learning_rate": step.learning_rate, "gradient_norm": step.norm}
        for name, figure in figures.items():
            if figure is not None:
                self._writer.add_scalar(name, figure, step.step)

    def _close(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()

    def _attempt(self, do: Callable[[], None]) -> None:
        if self._folder is None:
            return
        try:
            do()
        except Exception as error:  # whatever its writer's own thread died of comes here
            folder, self._folder, self._writer = self._folder, None, None
            self._note(f"no more curves in {folder}: {error}; the night goes on without")
