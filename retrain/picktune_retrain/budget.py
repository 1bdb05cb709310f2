"""How much time and how much of the disk a night may take."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import click

from picktune_retrain.errors import DiskFull

_UNITS = {"h": "hours", "m": "minutes", "s": "seconds"}
GIB = 1 << 30


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


def check_room(home: Path, min_free: float) -> None:
    """Raise ``DiskFull`` if the disk that holds ``home`` has less than ``min_free`` GiB to give."""
    free = shutil.disk_usage(home).free / GIB
    if free < min_free:
        raise DiskFull(
            f"the disk that holds {home} has {free:.2f} GiB left, and a night wants {min_free:g}; free space "
            "or lower --min-free, and run again"
        )
