"""What a night is asked to do, how it ended, and what watches it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal, Protocol

from msgspec import Meta
from picktune.records import Record
from picktune_adapters import AdapterVersion

from picktune_retrain.dataset import Standard
from picktune_retrain.gate import Gate
from picktune_retrain.records import Answer, DataRecipe, DatasetVersion, Decision, Evaluation, Recipe, Step


class Plan(Record, frozen=True, kw_only=True):
    """What is asked of a night beside the settings.

    ``min_picks`` is how many usable picks the log must hold; ``until`` leaves out those from that moment on.
    ``force`` trains even if nothing is new; ``fresh`` leaves an interrupted night behind; ``new_base``
    allows a base model other than the one under the adapters in service. ``locale`` is the language that the
    report opens in. ``stop_after`` is how long the run may take: then it saves and stops, and the next run
    goes on. ``min_free`` is in GiB: with less room on the disk it does not begin. ``replies`` is how many
    held-out prompts the models answer for the report. ``data`` says which picks are learned from,
    ``standard`` how good they must be, unless ``allow_poor``; at the first night with ``freeze_at`` held-out
    picks these become the frozen hold-out (nought: never).
    ``tensorboard`` is the folder for the training's curves, in which each night has one of its own.
    ``keep_checkpoints`` is how many checkpoints the registry keeps beside those that speak; without it, all.
    """

    recipe: Recipe = Recipe()
    gate: Gate = Gate()
    data: DataRecipe = DataRecipe()
    standard: Standard = Standard()
    allow_poor: bool = False
    freeze_at: Annotated[int, Meta(ge=0)] = 50
    min_picks: Annotated[int, Meta(ge=1)] = 50
    until: datetime | None = None
    force: bool = False
    fresh: bool = False
    new_base: bool = False
    dry_run: bool = False
    stop_after: timedelta | None = None
    min_free: Annotated[float, Meta(ge=0.0)] = 1.0
    keep_checkpoints: Annotated[int, Meta(ge=0)] | None = None
    replies: Annotated[int, Meta(ge=0, le=200)] = 20
    locale: Literal["en", "zh"] = "en"
    plots: bool = False
    tensorboard: str | None = None


class Summary(Record, frozen=True, kw_only=True):
    """How a night ended: the exit code and a sentence, and what there is to know of it.

    ``answers`` are what was done about faults of its training.
    """

    ADMITTED: ClassVar[int] = 0
    FAILED: ClassVar[int] = 1
    NOTHING_TO_DO: ClassVar[int] = 10
    NOT_ADMITTED: ClassVar[int] = 20

    exit_code: int
    message: str
    night: str | None = None
    dataset: DatasetVersion | None = None
    evaluation: Evaluation | None = None
    decision: Decision | None = None
    adapter: AdapterVersion | None = None
    replaced: str | None = None
    report: str | None = None
    training_seconds: float | None = None
    answers: tuple[Answer, ...] = ()


class Watch(Protocol):
    """Shows a person, or a log file, how the night is getting on."""

    def stage(self, name: str) -> None:
        """A stage begins."""
        ...

    def note(self, text: str) -> None:
        """Something worth knowing has come up."""
        ...

    def dataset(self, version: DatasetVersion) -> None:
        """This is what will be learned from."""
        ...

    def referenced(self, done: int, total: int) -> None:
        """The base's own log-probabilities are known for so many of the sets; then the steps begin."""
        ...

    def step(self, step: Step) -> None:
        """The training has made a step, or has passed over the validation rows."""
        ...

    def scored(self, done: int, total: int) -> None:
        """So many of the held-out sets have been scored."""
        ...


class Quiet:
    """A watch that shows nothing."""

    def stage(self, name: str) -> None:
        """See ``Watch``."""

    def note(self, text: str) -> None:
        """See ``Watch``."""

    def dataset(self, version: DatasetVersion) -> None:
        """See ``Watch``."""

    def referenced(self, done: int, total: int) -> None:
        """See ``Watch``."""

    def step(self, step: Step) -> None:
        """See ``Watch``."""

    def scored(self, done: int, total: int) -> None:
        """See ``Watch``."""
