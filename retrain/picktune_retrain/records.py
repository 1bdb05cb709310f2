"""What a night makes: dataset versions, training runs, evaluations and the decision."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal

from msgspec import Meta, field
from picktune.records import AnnotatorRole, ChoiceSet, Message, Record

SplitName = Literal["train", "validation", "test"]


class Recipe(Record, frozen=True, kw_only=True):
    """Everything that decides what comes out of a training run besides the data and the base model.

    ``beta``, ``epsilon`` (label smoothing) and ``lam`` (weight of the chosen reply's own likelihood) are the
    β, ε and λ of the choice loss. ``max_prompt`` and ``max_reply`` are in tokens; prompts are cut from the
    left; rows with a longer reply are not trained on, for replies are never cut. ``batch`` is in choice sets
    an optimiser step. ``position_bias`` lets the offsets of places, fitted on the log, take part in the
    loss.

    ``objective`` names what is learned, or a mixture with weights, as ``choice=1,sft=0.1``: see ``mixture``.
    ``pairs`` are those of a choice set that DPO learns from; ``edits`` makes an edited or hand-written reply
    the best member of its choice set; ``ties`` learns from ties as sets, or as evenly split choices.
    ``length_normalised`` divides log-ratios by the tokens of a reply; ``length_penalty`` is how many nats of
    a preference a token explains. ``kto_weights`` are λ_D and λ_U; without them both labels weigh the same
    in sum. ``annotator_weights`` multiply the weights of rows by annotator; nought leaves an annotator out.
    ``balance`` draws equally often from each tag, or from each scenario.

    ``method`` is what is trained: see ``methods``. ``targets`` are the linear layers that LoRA adapts:
    ``all``, ``attention``, ``mlp``, or names, as ``q_proj,v_proj``; ``rslora`` scales by α/√r; ``quantised``
    is what QLoRA keeps the base in. ``thawed`` is what freeze trains: how many of the last layers, or names
    of modules. ``stages`` are those of progressive; ``virtual_tokens`` those before the prompt, with the
    prompt methods.

    ``row_tokens`` is how many tokens go through the model at once; a step whose sets have more of them takes
    several rows and adds up their gradients. A set alone may be longer. ``checkpointing`` keeps the inputs
    of the layers only, and computes them again on the way back: less memory, more time, the same gradient.
    ``attention`` is what computes packed attention; ``auto`` is the fastest that this machine has.
    ``max_steps`` ends the training after so many steps; an epoch has no more batches than that.
    """

    method: Literal["lora", "qlora", "full", "freeze", "progressive", "prompt", "p-tuning", "prefix"] = "lora"
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
    objective: Annotated[str, Meta(min_length=1, max_length=200)] = "choice"
    pairs: Literal["all", "one"] = "all"
    edits: bool = False
    ties: Literal["off", "set", "even"] = "off"
    length_normalised: bool = False
    length_penalty: Annotated[float, Meta(ge=0.0, le=10.0)] = 0.0
    kto_weights: tuple[float, float] | None = None
    annotator_weights: dict[str, Annotated[float, Meta(ge=0.0, le=1000.0)]] = field(default_factory=dict)
    balance: Literal["none", "tag", "scenario"] = "none"
    targets: Annotated[str, Meta(min_length=1, max_length=1000)] = "all"
    rslora: bool = False
    quantised: Literal["nf4", "int8"] = "nf4"
    thawed: Annotated[str, Meta(min_length=1, max_length=1000)] = "2"
    virtual_tokens: Annotated[int, Meta(ge=1, le=1024)] = 20
    stages: Annotated[int, Meta(ge=1, le=20)] = 3
    row_tokens: Annotated[int, Meta(ge=64, le=1_000_000)] = 2048
    checkpointing: bool = False
    attention: Literal["auto", "blocks", "sdpa", "flex"] = "auto"
    max_steps: Annotated[int, Meta(ge=1)] | None = None

    def told(self) -> str:
        """Its ``repr`` without what a recipe of before these fields could not say, for fingerprints."""
        plain = Recipe()
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        first = self.__struct_fields__.index("objective")
        kept = {
            name: value
            for i, (name, value) in enumerate(fields.items())
            if i < first or value != getattr(plain, name)
        }
        return f"Recipe({', '.join(f'{name}={value!r}' for name, value in kept.items())})"


class Labelled(Record, frozen=True, kw_only=True, tag="labelled"):
    """One reply that was liked or not: a thumb, or one of those shown when none was good."""

    slate_id: str
    conversation_id: str
    messages: tuple[Message, ...]
    reply: str
    desirable: bool
    source: Literal["thumb", "none_good"]
    annotator: str
    role: AnnotatorRole
    tags: tuple[str, ...] = ()
    locale: str = "en"
    decided_at: datetime
    weight: float = 1.0


class Written(Record, frozen=True, kw_only=True, tag="written"):
    """A reply as a person would have it, an edit or a hand-written one, with those that were shown."""

    slate_id: str
    conversation_id: str
    messages: tuple[Message, ...]
    completion: str
    shown: tuple[str, ...]
    annotator: str
    role: AnnotatorRole
    tags: tuple[str, ...] = ()
    locale: str = "en"
    decided_at: datetime
    weight: float = 1.0


class Tie(Record, frozen=True, kw_only=True, tag="tie"):
    """Replies of which an annotator said that none is better than another, in the order shown."""

    slate_id: str
    conversation_id: str
    messages: tuple[Message, ...]
    replies: tuple[str, ...]
    annotator: str
    role: AnnotatorRole
    tags: tuple[str, ...] = ()
    locale: str = "en"
    decided_at: datetime
    weight: float = 1.0


class Scenario(Record, frozen=True, kw_only=True, tag="scenario"):
    """Of which scenario the conversation of a slate is."""

    slate_id: str
    scenario: str


Extra = Labelled | Written | Tie | Scenario
ExtraKind = Literal["labelled", "written", "tie", "scenario"]


class DataRecipe(Record, frozen=True, kw_only=True):
    """Which picks are learned from, beside whose they are and until when; whatever is left out selects all.

    ``since`` is a moment and ``days`` a window that ends where the dataset does; of both the later counts.
    ``tags``: rows with at least one of them; ``campaigns``: rows of one of these; ``locales``: in one of
    them, ``zh`` being in ``zh-CN`` too. Of quality: ``min_agreement``, the share of those who decided on the
    same replies that picked the same one, ``min_dwell_ms``, for which they were looked at, and ``min_score``,
    the mean of the experts' scores of the picked reply from 0 to 1; what has no dwell time, no second opinion
    or no score is kept. ``replay`` is the share of older picks among
    those to train on, where ``since`` or ``days`` leaves some out.

    Cleaning: ``longest_reply`` and ``longest_prompt`` are in characters; ``most_a_minute`` are the picks that
    a person can give in a minute; ``one_place`` is from how many picks on an annotator who always picks the
    same place is left out. Nought turns each of them off.
    """

    since: datetime | None = None
    days: Annotated[float, Meta(gt=0.0, le=36_500.0)] | None = None
    tags: tuple[str, ...] = ()
    campaigns: tuple[str, ...] = ()
    locales: tuple[str, ...] = ()
    min_agreement: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.0
    min_dwell_ms: Annotated[int, Meta(ge=0)] = 0
    min_score: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.0
    replay: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.0
    longest_reply: Annotated[int, Meta(ge=0)] = 8_000
    longest_prompt: Annotated[int, Meta(ge=0)] = 200_000
    most_a_minute: Annotated[int, Meta(ge=0)] = 60
    one_place: Annotated[int, Meta(ge=0)] = 30

    def begins(self, until: datetime) -> datetime | None:
        """From when on picks count, in a dataset of those before ``until``."""
        window = None if self.days is None else until - timedelta(days=self.days)
        return max((one for one in (self.since, window) if one is not None), default=None)


class Dropped(Record, frozen=True, kw_only=True):
    """A row that a dataset leaves out, by which rule, and what it was about. It holds nobody's words."""

    slate_id: str
    decided_at: datetime
    rule: str
    detail: str = ""


class Quality(Record, frozen=True, kw_only=True):
    """What a dataset's picks say of themselves, for "quality before quantity".

    ``pairs`` are pairs of different people's picks on the same replies, ``agreeing`` those that picked the
    same, and ``by_chance`` how many would if they picked blindly. ``one_place`` is the share of picks at the
    place that is picked most, on slates of the commonest size ``shown``; ``one_person`` and ``one_reply`` are
    those of the most prolific annotator and of the words that are picked most. ``unusable`` is the share of
    the rows read that a rule left out, not counting second imports of the same ones.
    """

    picks: int = 0
    annotators: int = 0
    pairs: int = 0
    agreeing: int = 0
    by_chance: float = 0.0
    shown: int = 0
    one_place: float = 0.0
    one_person: float = 0.0
    one_reply: float = 0.0
    unusable: float = 0.0
    liked: int = 0
    disliked: int = 0


class DatasetVersion(Record, frozen=True, kw_only=True):
    """A frozen selection of choice sets; ``id`` is the SHA-256 of its rows and its splits.

    ``counts`` are choice sets by split; ``dropped`` counts the rows that were left out, by reason, and
    ``unselected`` those that were not asked for. ``extras`` counts what else it holds to train on, by kind.
    ``replayed`` are older picks among those to train on; ``frozen`` how many of the held-out ones belong to
    the frozen hold-out ``hold_out``.
    """

    format: int = 1
    id: str
    until: datetime
    counts: dict[str, int]
    conversations: dict[str, int]
    annotators: int
    dropped: dict[str, int]
    simulated: bool
    created_at: datetime
    extras: dict[ExtraKind, int] = field(default_factory=dict)
    roles: tuple[AnnotatorRole, ...] = ()
    recipe: DataRecipe = DataRecipe()
    quality: Quality | None = None
    unselected: int = 0
    replayed: int = 0
    hold_out: str | None = None
    frozen: int = 0


class Dataset(Record, frozen=True, kw_only=True):
    """A dataset version with its rows, which may lie on disk: take them one at a time where they may be many.

    ``extras``, by split, are what objectives other than choice want; ``dropped`` are the rows left out.
    """

    version: DatasetVersion
    train: Sequence[ChoiceSet]
    validation: Sequence[ChoiceSet]
    test: Sequence[ChoiceSet]
    extras: dict[SplitName, tuple[Extra, ...]] = field(default_factory=dict)
    dropped: tuple[Dropped, ...] = ()


class Answer(Record, frozen=True, kw_only=True):
    """What was done about a fault of the training: ``value`` is the new batch, or the new learning rate.

    ``step`` is the one that the training went back to; ``why`` is what was noticed.
    """

    fault: Literal["diverged", "out_of_memory", "killed"]
    did: Literal["slower", "smaller_batch", "qlora"]
    value: float
    step: int = 0
    why: str


class Step(Record, frozen=True, kw_only=True):
    """One optimiser step, or, where ``split`` is ``validation``, one pass over the validation rows.

    ``loss`` is in nats a choice set; ``accuracy`` is the share of sets whose picked reply scored highest.
    In a step of another objective, ``loss`` is the weighted sum of the losses ``parts``, and ``accuracy``
    counts liked and disliked replies that were told apart as well; with demonstrations alone it is ``None``.
    ``norm`` is that of the gradient before it is clipped.
    """

    step: int
    steps: int
    epoch: float
    split: SplitName
    loss: float
    accuracy: float | None
    learning_rate: float = 0.0
    seconds: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)
    norm: float = 0.0


class TrainingRun(Record, frozen=True, kw_only=True):
    """A finished training run; its adapter lies in the folder that was given to ``train``.

    ``truncated`` prompts lost their oldest messages; ``too_long`` rows were left out for the length of a
    reply. ``offsets`` are those of places that took part in the loss, by the number of replies shown.
    ``rows`` says how many rows each objective of a mixture learned from. ``answers`` are what was done about
    its faults.
    """

    id: str
    dataset_id: str
    base_model: str
    recipe: Recipe
    steps: tuple[Step, ...]
    seconds: float
    truncated: int
    too_long: int = 0
    started_at: datetime
    offsets: dict[int, tuple[float, ...]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    answers: tuple[Answer, ...] = ()


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
