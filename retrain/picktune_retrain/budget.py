"""How much time and how much of the disk a night may take."""

from __future__ import annotations

import math
import re
import shutil
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import click
from picktune_adapters.base import tensor_shapes

from picktune_retrain.errors import DiskFull
from picktune_retrain.mixture import OWN_WEIGHTS
from picktune_retrain.records import Recipe

_UNITS = {"h": "hours", "m": "minutes", "s": "seconds"}
GIB = 1 << 30
_FP32 = 4
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")


def duration(text: str) -> timedelta:
    """A length of time written like ``3h``, ``90m`` or ``1h30m``."""
    parts = re.findall(r"(\d+)([hms])", text)
    try:
        length = timedelta(**{_UNITS[unit]: int(number) for number, unit in parts})
    except OverflowError:
        length = timedelta()
    if not length or "".join(number + unit for number, unit in parts) != text:
        raise click.BadParameter(f"{text!r} is no length of time; write it like 3h, 90m or 1h30m")
    return length


class Deadline:
    """Whether the night has to stop: somebody asked for it, or its time is used up.

    ``clock`` counts in seconds. ``note`` hears once that the time is used up.
    """

    def __init__(
        self,
        length: timedelta | None,
        asked: Callable[[], bool],
        note: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._asked = asked
        self._note = note
        self._clock = clock
        self._length = length
        self._ends = None if length is None else clock() + length.total_seconds()
        self._said = False

    def __call__(self) -> bool:
        """Whether to stop now."""
        if self._asked():
            return True
        if self._ends is None or self._clock() < self._ends:
            return False
        if not self._said:
            self._said = True
            self._note(f"the time of {self._length} is used up (--stop-after): saving")
        return True


def disk_need(base: Path, recipe: Recipe) -> int:
    """How many bytes a night writes that grow with the model: none to speak of, unless it trains its weights.

    ``base`` is the base model's folder. The checkpoint lies there twice, in fp32, while it is registered; the
    state of the training, weights and two moments of what is trained, twice while a newer one is written.
    """
    if recipe.method not in OWN_WEIGHTS:
        return 0
    sizes = {name: math.prod(shape) for name, shape in tensor_shapes(base).items()}
    trained = set(sizes)
    if recipe.method == "freeze":
        wanted = recipe.thawed.strip()
        layers = {name: int(found[1]) for name in sizes if (found := _LAYER.search(name))}
        first = 1 + max(layers.values(), default=-1) - (int(wanted) if wanted.isdecimal() else 0)
        parts = [f".{part.strip()}." for part in wanted.split(",")]
        trained = {
            name
            for name in sizes
            if (layers.get(name, -1) >= first if wanted.isdecimal() else any(p in f".{name}." for p in parts))
        }
    state = 3 * sum(sizes[name] for name in trained)
    return _FP32 * (2 * sum(sizes.values()) + 2 * state)


def check_room(home: Path, min_free: float, need: int = 0) -> None:
    """Raise ``DiskFull`` if the disk of ``home`` has less than ``min_free`` GiB beyond ``need`` bytes."""
    free = shutil.disk_usage(home).free / GIB
    if free < min_free + need / GIB:
        wants = f"{min_free:g}"
        if need:
            wants = (
                f"{need / GIB:.2f} for a checkpoint of the whole model and the state of its training, and "
                f"{min_free:g} beyond that (--min-free)"
            )
        raise DiskFull(
            f"the disk that holds {home} has {free:.2f} GiB left, and a night wants {wants}; free space "
            + ("with picktune adapters prune, train with lora, " if need else "")
            + "or lower --min-free, and run again"
        )
