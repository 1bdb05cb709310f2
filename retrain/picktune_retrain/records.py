"""What a night makes: dataset versions, training runs, evaluations and the decision."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, field
from picktune.records import ChoiceSet, Record

SplitName = Literal["train", "validation", "test"]


class Recipe(Record, frozen=True, kw_only=True):
    """Everything that decides what comes out of a training run besides the data and the base model.

    ``beta``, ``epsilon`` (label smoothing) and ``lam`` (weight of the chosen reply's own likelihood) are the
    β, ε and λ of the choice loss. ``max_prompt`` and ``max_reply`` are in tokens; prompts are cut from the
    left, replies from the right. ``batch`` is in choice sets an optimiser step. ``position_bias`` lets the
    offsets of places, fitted on the log, take part in the loss.
    """

    method: Literal["lora"] = "lora"
    rank: Annotated[int, Meta(ge=1, le=256)] = 16
    alpha: Annotated[int, Meta(ge=1)] = 32
    dropout: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.0
    learning_rate: Annotated[float, Meta(gt=0.0, le=1.0)] = 4e-4
    beta: Annotated[float, Meta(gt=0.0)] = 0.2
    lam: Annotated[float, Meta(ge=0.0)] = 0.05
    epsilon: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.0
    epochs: Annotated[int, Meta(ge=1, le=100)] = 2
    batch: Annotated[int, Meta(ge=1, le=1024)] = 4
    warmup: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.1
    max_grad_norm: Annotated[float, Meta(gt=0.0)] = 1.0
    max_prompt: Annotated[int, Meta(ge=16)] = 1024
    max_reply: Annotated[int, Meta(ge=1)] = 256
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    seed: int = 0
    position_bias: bool = False


class DatasetVersion(Record, frozen=True, kw_only=True):
    """A frozen selection of choice sets; ``id`` is the SHA-256 of its rows and its splits.

    ``counts`` are choice sets by split; ``dropped`` counts the rows that were left out, by reason.
    """

    id: str
    until: datetime
    counts: dict[str, int]
    conversations: dict[str, int]
    annotators: int
    dropped: dict[str, int]
    simulated: bool
    created_at: datetime


class Dataset(Record, frozen=True, kw_only=True):
    """A dataset version with its rows."""

    version: DatasetVersion
    train: tuple[ChoiceSet, ...]
    validation: tuple[ChoiceSet, ...]
    test: tuple[ChoiceSet, ...]


class Step(Record, frozen=True, kw_only=True):
    """One optimiser step, or, where ``split`` is ``validation``, one pass over the validation rows.

    ``loss`` is in nats a choice set; ``accuracy`` is the share of sets whose picked reply scored highest.
    """

    step: int
    steps: int
    epoch: float
    split: SplitName
    loss: float
    accuracy: float
    learning_rate: float = 0.0
    seconds: float = 0.0


class TrainingRun(Record, frozen=True, kw_only=True):
    """A finished training run; its adapter lies in the folder that was given to ``train``.

    ``offsets`` are those of places that took part in the loss, by the number of replies shown.
    """

    id: str
    dataset_id: str
    base_model: str
    recipe: Recipe
    steps: tuple[Step, ...]
    seconds: float
    truncated: int
    started_at: datetime
    offsets: dict[int, tuple[float, ...]] = field(default_factory=dict)


class Figures(Record, frozen=True, kw_only=True):
    """How well something predicts held-out choices; log-loss in nats a choice set."""

    accuracy: float
    log_loss: float


class Evaluation(Record, frozen=True, kw_only=True):
    """The adapter on the held-out choices, beside chance and beside the base model as a chooser.

    The base's choice is the reply that it finds likeliest a token. ``gain`` is the mean of (chance log-loss
    minus the adapter's log-loss) over the sets in nats. ``gain_low`` and ``accuracy_low`` are lower bounds of
    the adapter's gain and accuracy, one-sided 95 %.
    """

    sets: int
    adapter: Figures
    base: Figures
    chance: Figures
    gain: float
    gain_low: float
    accuracy_low: float = 0.0


class Decision(Record, frozen=True, kw_only=True):
    """Whether the adapter joins the slates, with the reasons in words."""

    admitted: bool
    reasons: tuple[str, ...]
