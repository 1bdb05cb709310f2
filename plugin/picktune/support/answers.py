"""What is said of a comparison: its records, and the verdict."""

from __future__ import annotations

from typing import Literal

from picktune.records import Record

SupportVerdict = Literal["harmful", "no_progress", "weak", "success", "great", "undecided", "no_data"]

ABOUT_HALF = 0.02
"""A rate within two points of 50 % is about 50 %."""


class Share(Record, frozen=True, kw_only=True):
    """The support rate among some of the counted decisions, with an interval of the picks as they are."""

    name: str
    wins: int
    n: int
    rate: float
    low: float
    high: float


class PositionBias(Record, frozen=True, kw_only=True):
    """How often the reply at each shown position was picked (``counts``, from the first), and by chance.

    ``p_value`` is of a chi-square test that only chance decides the position; ``None`` with too few picks.
    """

    counts: tuple[int, ...]
    expected: tuple[float, ...]
    p_value: float | None


class Clustering(Record, frozen=True, kw_only=True):
    """How alike the picks of one conversation, and of one annotator, are, and what that takes from them.

    ``by_conversation`` and ``by_annotator`` are design effects: the variance of the rate with clusters over
    that of as many independent picks; ``None`` where it cannot be estimated, as with a single annotator.
    ``design_effect``, at least 1, is the one that widens the interval; the n picks speak as loudly as
    ``effective`` independent ones. ``low`` and ``high`` are the interval without it.
    """

    conversations: int = 0
    annotators: int = 0
    by_conversation: float | None = None
    by_annotator: float | None = None
    design_effect: float = 1.0
    effective: float = 0.0
    low: float = 0.0
    high: float = 1.0


class Forecast(Record, frozen=True, kw_only=True):
    """How many more counted picks it takes until the interval leaves 50 %, if the rate stays as it is.

    In half of all cases at most ``picks``; in eight of ten between ``low`` and ``high`` (``None``: beyond
    what is looked at).
    """

    picks: int
    low: int
    high: int | None


class Support(Record, frozen=True, kw_only=True):
    """The support rate of one adapter (``model``), or, with ``None``, of the base against itself.

    ``wins`` of ``n`` counted decisions fell on the tuned arm; ``low`` and ``high`` bound the rate with
    confidence 1 − ``alpha``, at whatever moments one looks, widened by ``clustering``. Every other decision
    of the comparison is in exactly one of ``ties``, ``none_good``, ``skipped``, ``shared`` (both arms said
    the picked words), ``incomplete`` (an arm was missing, or showed fewer), ``repeated`` (the slate had
    counted already) and ``capped`` (the annotator had reached the cap). ``forecast`` is there only while the
    verdict is ``undecided`` and the rate is not about 50 %. The groups are for looking, the whole decides.
    """

    model: str | None
    tuned: str | None
    wins: int
    n: int
    rate: float | None
    low: float
    high: float
    alpha: float
    verdict: SupportVerdict
    ties: int = 0
    none_good: int = 0
    skipped: int = 0
    shared: int = 0
    incomplete: int = 0
    repeated: int = 0
    capped: int = 0
    annotators: int = 0
    simulated: bool = False
    clustering: Clustering = Clustering()
    forecast: Forecast | None = None
    by_arms: tuple[Share, ...] = ()
    by_tag: tuple[Share, ...] = ()
    by_scenario: tuple[Share, ...] = ()
    by_locale: tuple[Share, ...] = ()
    by_annotator: tuple[Share, ...] = ()
    by_role: tuple[Share, ...] = ()
    by_week: tuple[Share, ...] = ()
    by_position: tuple[Share, ...] = ()
    position_bias: PositionBias


def verdict(rate: float | None, low: float, high: float) -> SupportVerdict:
    """What the rate means, once its interval has left 50 %."""
    if rate is None:
        return "no_data"
    if low <= 0.5 <= high:
        return "undecided"
    if abs(rate - 0.5) <= ABOUT_HALF:
        return "no_progress"
    if rate < 0.5:
        return "harmful"
    if rate < 0.7:
        return "weak"
    return "success" if rate <= 0.8 else "great"
