"""What people do beside deciding: what they copied and really saw, for how long, and what they had redrawn.

And scores: an expert's mark for one reply on a scale.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from picktune.errors import InvalidInput
from picktune.records import AnnotatorRole, Record, ShortText

SignalKind = Literal["copied", "visible", "dwell", "regenerated"]
KINDS: tuple[SignalKind, ...] = ("copied", "visible", "dwell", "regenerated")
PER_SLATE = 200  # signals of one annotator on one slate
Milliseconds = Annotated[int, Meta(ge=0, le=86_400_000)]  # a day
ScaleName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
Mark = Annotated[int, Meta(ge=-1000, le=1000)]


class Copied(Record, frozen=True, kw_only=True, tag_field="kind", tag="copied"):
    """Some of a reply went to the clipboard: so many characters; ``whole`` if it was all of it."""

    candidate_id: ShortText
    characters: Annotated[int, Meta(ge=1, le=1_000_000)]
    whole: bool = False


class SeenReply(Record, frozen=True, kw_only=True):
    """For how long at least half of a reply, or half a window of it, was in sight."""

    candidate_id: ShortText
    visible_ms: Milliseconds


class Visible(Record, frozen=True, kw_only=True, tag_field="kind", tag="visible"):
    """Which replies of the slate were really in sight, since the last such signal of this annotator."""

    replies: Annotated[tuple[SeenReply, ...], Meta(min_length=1, max_length=64)]


class Dwell(Record, frozen=True, kw_only=True, tag_field="kind", tag="dwell"):
    """How long the slate was looked at since the last such signal, and how that ended."""

    ms: Milliseconds
    ended: Literal["decided", "left", "replaced"]


class Regenerated(Record, frozen=True, kw_only=True, tag_field="kind", tag="regenerated"):
    """The annotator asked for other replies to the same turn; ``successor`` is the slate that was drawn."""

    successor: ShortText


Noticed = Copied | Visible | Dwell
Detail = Copied | Visible | Dwell | Regenerated


class Signal(Record, frozen=True, kw_only=True):
    """One thing that an annotator did with a slate. ``key`` is the client's: sent twice, it is kept once."""

    key: str
    slate_id: str
    detail: Detail
    annotator: str
    role: AnnotatorRole = "user"
    noted_at: datetime

    @property
    def kind(self) -> SignalKind:
        """What was done."""
        return kind_of(self.detail)


def kind_of(detail: Detail) -> SignalKind:
    """The name of a kind of signal."""
    names: dict[type, SignalKind] = {Copied: "copied", Visible: "visible", Dwell: "dwell"}
    return names.get(type(detail), "regenerated")


class Scale(Record, frozen=True, kw_only=True):
    """A scale of whole numbers from ``low`` to ``high``; ``rubric`` says what they mean."""

    name: ScaleName
    low: Mark = 1
    high: Mark = 5
    rubric: Annotated[str, Meta(max_length=2000)] = ""

    def __post_init__(self) -> None:
        if self.low >= self.high:
            raise InvalidInput(
                f"scale {self.name!r} goes from {self.low} to {self.high}; its end must be above its start",
                field="scale",
            )

    def __str__(self) -> str:
        return f"{self.name}:{self.low}-{self.high}"


class Score(Record, frozen=True, kw_only=True):
    """An expert's mark for one reply. ``version`` counts this annotator's marks of it on this scale from 1.

    ``low`` and ``high`` are the scale's ends at that time, so that a mark keeps its meaning.
    """

    key: str
    candidate_id: str
    scale: str
    value: int
    low: int
    high: int
    comment: str | None = None
    annotator: str
    role: AnnotatorRole = "expert"
    scored_at: datetime
    version: int = 1


class ScoreTally(Record, frozen=True, kw_only=True):
    """The mean of the standing scores of one adapter's replies on one scale; ``''`` is the base."""

    scale: str
    model: str
    n: int
    mean: float


class EditTally(Record, frozen=True, kw_only=True):
    """How far one adapter's replies were edited where they were: the median share; ``''`` is the base."""

    model: str
    n: int
    median: float


class SignalTallies(Record, frozen=True, kw_only=True):
    """What the signals say in all. ``copied`` counts by adapter.

    Of ``seen`` choices it is known which replies had been in sight; ``missed`` were made without a look at
    every one.
    """

    kinds: dict[str, int]
    copied: dict[str, int]
    scores: tuple[ScoreTally, ...]
    edits: tuple[EditTally, ...]
    seen: int
    missed: int


def parse_scale(text: str) -> Scale:
    """A scale as settings and commands name it, such as ``quality:1-5``; raises ``InvalidInput``."""
    match = re.fullmatch(r"([a-z0-9][a-z0-9_-]{0,39}):(\d{1,3})-(\d{1,3})", text.strip())
    if match is None:
        raise InvalidInput(
            f"{text!r} is no scale; give its name and its ends, as in quality:1-5", field="scale"
        )
    return Scale(name=match[1], low=int(match[2]), high=int(match[3]))
