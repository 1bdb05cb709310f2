"""What can go wrong at night; every message says what happened, to which id, and what to do next.

PicktuneError
└── NightError
    ├── DatasetNotFound (LookupError)
    ├── DatasetAmbiguous (LookupError)
    ├── DatasetCorrupt (ValueError)
    ├── NightRunning (RuntimeError)
    ├── NightStopped (RuntimeError)
    ├── HoldOutExists (ValueError)
    ├── HoldOutChanged (ValueError)
    ├── StateCorrupt (ValueError)
    ├── WrittenByNewer (RuntimeError)
    ├── BaseChanged (RuntimeError)
    ├── DiskFull (OSError)
    └── TrainingError
        ├── NothingToTrain (ValueError)
        ├── TrainingDiverged (ArithmeticError)
        ├── TrainingOutOfMemory (MemoryError)
        ├── TrainingInterrupted (RuntimeError)
        └── TrainingStateMismatch (ValueError)
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from picktune.errors import PicktuneError

if TYPE_CHECKING:
    from picktune_retrain.records import Answer


class NightError(PicktuneError):
    """A night cannot begin, go on or end."""

    code = "night_error"


class DatasetNotFound(NightError, LookupError):
    """No dataset version of that id is stored."""

    code = "dataset_not_found"

    def __init__(self, dataset_id: str, folder: Path) -> None:
        super().__init__(
            f"no dataset with id {dataset_id!r} in {folder}; picktune dataset list names those that are "
            f"there, "
            "and picktune dataset build makes one",
            field="dataset_id",
        )


class DatasetAmbiguous(NightError, LookupError):
    """Several stored dataset versions have ids that begin so."""

    code = "dataset_ambiguous"

    def __init__(self, beginning: str, ids: Sequence[str]) -> None:
        super().__init__(
            f"{beginning!r} is how {len(ids)} datasets begin ({', '.join(one[:12] for one in ids[:5])}); "
            f"write "
            "more of the id",
            field="dataset_id",
        )


class DatasetCorrupt(NightError, ValueError):
    """The rows of a stored dataset version are not what its id says."""

    code = "dataset_corrupt"


class NightRunning(NightError, RuntimeError):
    """Another nightly run holds the lock of this home folder."""

    code = "night_running"


class NightStopped(NightError, RuntimeError):
    """Somebody asked the run to stop; its state is saved and the next run goes on from there."""

    code = "night_stopped"


class StateCorrupt(NightError, ValueError):
    """A file that a night keeps its state in cannot be read."""

    code = "state_corrupt"

    def __init__(self, path: Path, why: str, remedy: str) -> None:
        super().__init__(f"{path} cannot be read ({why}); {remedy}")


class WrittenByNewer(NightError, RuntimeError):
    """A file has a format that only a newer Picktune knows."""

    code = "written_by_newer"

    def __init__(self, path: Path, found: int, known: int) -> None:
        super().__init__(
            f"{path} was written by a newer Picktune (format {found}; this one knows up to {known}); upgrade "
            "with: pip install --upgrade picktune. Nothing was changed"
        )


class HoldOutExists(NightError, ValueError):
    """A hold-out was frozen before, and there is one for good."""

    code = "hold_out_exists"

    def __init__(self, name: str, rows: int, at: datetime) -> None:
        super().__init__(
            f"the hold-out {name!r} ({rows} picks) was frozen on {at:%Y-%m-%d}, and is never frozen anew: "
            "nights are compared by it",
            field="name",
        )


class HoldOutChanged(NightError, ValueError):
    """A pick of the frozen hold-out says something else than it did when it was frozen."""

    code = "hold_out_changed"

    def __init__(self, name: str, slate_id: str) -> None:
        super().__init__(
            f"slate {slate_id!r} of the frozen hold-out {name!r} is not what it was when it was frozen; "
            f"check "
            "the log with picktune verify, and bring it back from a backup"
        )


class BaseChanged(NightError, RuntimeError):
    """The base model is not the one that the adapters in service were trained on."""

    code = "base_changed"


class DiskFull(NightError, OSError):
    """There was no room for what had to be written; nothing half-written was put in its place."""

    code = "disk_full"


class TrainingError(NightError):
    """A training run cannot begin, go on or end."""

    code = "training_error"


class NothingToTrain(TrainingError, ValueError):
    """There is not one choice set to learn from."""

    code = "nothing_to_train"


class TrainingDiverged(TrainingError, ArithmeticError):
    """The training ran away, also at a slower pace; no adapter was written. ``answers``: what was tried."""

    code = "training_diverged"

    def __init__(self, message: str, answers: Sequence[Answer] = ()) -> None:
        super().__init__(message)
        self.answers = tuple(answers)


class TrainingOutOfMemory(TrainingError, MemoryError):
    """There is not enough memory, also with less to do at once. ``answers`` are what was tried."""

    code = "training_out_of_memory"

    def __init__(self, message: str, answers: Sequence[Answer] = ()) -> None:
        super().__init__(message)
        self.answers = tuple(answers)


class TrainingInterrupted(TrainingError, RuntimeError):
    """Somebody asked the training to stop; what it had done is saved in its state folder, if it has one."""

    code = "training_interrupted"


class TrainingStateMismatch(TrainingError, ValueError):
    """The state folder holds another run: other choice sets, another base model or another recipe."""

    code = "training_state_mismatch"
