"""What the gate goes by, what it sees, what it proposes, and what it has decided."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from picktune.records import Record, ShortText

Action = Literal[
    "begin", "step", "promote", "rollback", "withdraw", "block", "challenge", "freeze", "unfreeze", "hold"
]
Outcome = Literal["done", "failed", "abandoned"]

MOVES: frozenset[Action] = frozenset({"promote", "rollback", "withdraw", "challenge"})
"""The actions that move an alias; ``hold`` is never kept, and the others change only what the gate knows."""

CanaryShare = Annotated[float, Meta(gt=0, le=1)]


class GateSettings(Record, frozen=True, kw_only=True):
    """The rules of the gate, and whether it acts by itself.

    With ``automatic``, every server looks each ``every`` minutes (0: only ``picktune gate run`` looks), and
    a challenger begins with the first of ``steps``, the shares of conversations in which it takes the tuned
    place; ``step_picks`` counted picks without harm take it to the next. ``promote_at`` is the least rate of
    a champion. A protected tag is worse if its interval lies below 50 %, or its rate does after
    ``tag_picks`` picks.
    """

    automatic: bool = False
    every: Annotated[float, Meta(ge=0)] = 10.0
    promote_at: Annotated[float, Meta(ge=0.5, le=1)] = 0.7
    steps: tuple[CanaryShare, ...] = (0.05, 0.2, 0.5)
    step_picks: Annotated[int, Meta(ge=1)] = 20
    protected_tags: tuple[ShortText, ...] = ()
    tag_picks: Annotated[int, Meta(ge=1)] = 20

    @property
    def canary(self) -> tuple[float, ...]:
        """The steps that a challenger goes through, from the smallest; none if nobody tends them."""
        return tuple(sorted(set(self.steps))) if self.automatic else ()


class TagStanding(Record, frozen=True, kw_only=True):
    """The support rate of a protected tag, and whether it is worse than the base."""

    tag: str
    wins: int
    n: int
    rate: float
    low: float
    high: float
    worse: bool


class Standing(Record, frozen=True, kw_only=True):
    """How an adapter stands since an alias names it: the counted picks, their rate and its interval."""

    adapter: str
    since: datetime
    wins: int = 0
    n: int = 0
    rate: float | None = None
    low: float = 0.0
    high: float = 1.0
    alpha: float = 0.05
    annotators: int = 0
    ties: int = 0
    none_good: int = 0
    simulated: bool = False
    tags: tuple[TagStanding, ...] = ()

    @property
    def worse_tags(self) -> tuple[str, ...]:
        """The protected tags that got worse."""
        return tuple(one.tag for one in self.tags if one.worse)


class Step(Record, frozen=True, kw_only=True):
    """From ``since`` on, the challenger takes the tuned place in this share of new conversations."""

    share: float
    since: datetime


class View(Record, frozen=True, kw_only=True):
    """All that the gate's rules look at. ``wins`` of ``n`` picks were counted at the present step."""

    champion: Standing | None = None
    challenger: Standing | None = None
    frozen: str | None = None
    steps: tuple[Step, ...] = ()
    wins: int = 0
    n: int = 0

    @property
    def share(self) -> float | None:
        """The canary share that was decided last, if there is one."""
        return self.steps[-1].share if self.steps else None


class Proposal(Record, frozen=True, kw_only=True):
    """What the rules say should happen now, to which adapter, and why. ``hold`` is nothing."""

    action: Action
    adapter: str | None = None
    reason: str
    share: float | None = None


class Figures(Record, frozen=True, kw_only=True):
    """What a decision rested on: the view of that moment and the rules that were in force."""

    view: View = View()
    rules: GateSettings = GateSettings()


class GateDecision(Record, frozen=True, kw_only=True):
    """One decision, by the gate or by a person: written before anything moves.

    ``champion`` and ``challenger`` are the aliases that it was decided on. ``outcome`` is ``None`` while it
    is being carried out, or if that was cut off.
    """

    id: int
    action: Action
    adapter: str | None
    by: str
    reason: str
    champion: str | None
    challenger: str | None
    share: float | None
    figures: Figures
    decided_at: datetime
    outcome: Outcome | None = None
    note: str = ""
    settled_at: datetime | None = None
