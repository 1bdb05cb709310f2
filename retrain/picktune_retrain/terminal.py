"""Watches for the terminal: progress bars for a person, plain lines for cron and its log."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from picktune_retrain.records import DatasetVersion, Step

WORDS = {
    "read the log": "reading the log",
    "train": "training",
    "evaluate": "scoring the held-out picks",
    "compare": "comparing with base and champion",
    "decide": "deciding",
    "register": "registering the adapter",
    "challenge": "moving the alias",
    "report": "writing the report",
}


_EXTRAS = {
    "labelled": ("reply that was liked or not", "replies that were liked or not"),
    "written": ("written reply", "written replies"),
    "tie": ("tie", "ties"),
    "scenario": ("slate of a scenario", "slates of scenarios"),
}


def card(version: DatasetVersion) -> str:
    """A dataset version in a line."""
    counts = version.counts
    dropped = ", ".join(f"{reason} {count}" for reason, count in version.dropped.items())
    extras = ", ".join(f"{count} {_EXTRAS[kind][count != 1]}" for kind, count in version.extras.items())
    simulated = "; with simulated picks" if version.simulated else ""
    return (
        f"dataset {version.id[:12]}: {counts['train']} picks to train on, {counts['validation']} to validate "
        f"and {counts['test']} held out; {sum(version.conversations.values())} conversations, "
        f"{version.annotators} annotator{'' if version.annotators == 1 else 's'}"
        f"{f'; also {extras}' if extras else ''}{f'; left out: {dropped}' if dropped else ''}{simulated}"
    )


class Lines:
    """One line for each thing that happens, at most one every ``every`` seconds while it trains."""

    def __init__(
        self, stream: TextIO, *, every: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._every = every
        self._clock = clock
        self._last = clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.flush()

    def stage(self, name: str) -> None:
        """See ``Watch``."""
        self._say(f"{WORDS.get(name, name)} …")

    def note(self, text: str) -> None:
        """See ``Watch``."""
        self._say(f"note: {text}")

    def dataset(self, version: DatasetVersion) -> None:
        """See ``Watch``."""
        self._say(card(version))

    def step(self, step: Step) -> None:
        """See ``Watch``."""
        if step.split == "validation":
            self._say(f"  validation after step {step.step}: {_figures(step)}")
        elif step.step == step.steps or self._clock() - self._last >= self._every:
            self._say(f"  step {step.step}/{step.steps}: {_figures(step)}")

    def referenced(self, done: int, total: int) -> None:
        """See ``Watch``."""
        self._count("reference values", done, total)

    def scored(self, done: int, total: int) -> None:
        """See ``Watch``."""
        self._count("scored", done, total)

    def _count(self, what: str, done: int, total: int) -> None:
        if done < total and self._clock() - self._last >= self._every:
            self._say(f"  {what} {done}/{total}")

    def _say(self, text: str) -> None:
        self._last = self._clock()
        print(text, file=self._stream, flush=True)


class Bars:
    """A bar for the training and one for the scoring, and a line for everything else."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=console,
        )
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def stage(self, name: str) -> None:
        """See ``Watch``."""
        self._console.print(f"[bold]{WORDS.get(name, name)}[/bold]")

    def note(self, text: str) -> None:
        """See ``Watch``."""
        self._console.print(f"note: {text}", style="yellow", markup=False, highlight=False)

    def dataset(self, version: DatasetVersion) -> None:
        """See ``Watch``."""
        self._console.print(card(version), markup=False, highlight=False)

    def step(self, step: Step) -> None:
        """See ``Watch``."""
        if step.split == "validation":
            self._console.print(f"  validation after step {step.step}: {_figures(step)}", highlight=False)
        else:
            self._move("train", step.step, step.steps, _figures(step))

    def referenced(self, done: int, total: int) -> None:
        """See ``Watch``."""
        self._move("reference", done, total, "")

    def scored(self, done: int, total: int) -> None:
        """See ``Watch``."""
        self._move("score", done, total, "")

    def _move(self, name: str, done: int, total: int, figures: str) -> None:
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(f"  {name}", total=total, figures=figures)
        self._progress.update(self._bars[name], completed=done, total=total, figures=figures)


def _figures(step: Step) -> str:
    parts = f" ({', '.join(f'{name} {part:.3f}' for name, part in step.parts.items())})" if step.parts else ""
    right = "" if step.accuracy is None else f", accuracy {step.accuracy:.0%}"
    return f"loss {step.loss:.3f}{parts}{right}"
