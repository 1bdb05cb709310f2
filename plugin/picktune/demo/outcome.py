"""What a demonstration found: a table for people and one line of JSON for programs."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from picktune.demo.night import ADMITTED, Night
from picktune.demo.plan import Plan
from picktune.records import Record
from picktune.support import Support


class Outcome(Record, frozen=True, kw_only=True):
    """The support rate before (base against base) and after (adapter against base), of a simulated picker.

    Rates and their intervals are shares from 0 to 1; ``slates`` are the fresh ones that counted after the
    training, ``training_picks`` the choice sets that were trained on. Times are in seconds; ``seconds`` is
    the whole loop, from the start of the server.
    """

    simulated: bool = True
    support_before: float | None
    interval_before: tuple[float, float]
    support_after: float | None
    interval: tuple[float, float]
    verdict: str
    slates: int
    slates_before: int
    adapter: str | None
    admitted: bool
    training_picks: int
    training_seconds: float | None
    seconds: float
    taste: str
    home: str


def outcome_of(plan: Plan, night: Night, before: Support, after: Support, *, seconds: float) -> Outcome:
    """The outcome, its figures rounded to what they can bear."""
    return Outcome(
        support_before=_share(before.rate),
        interval_before=(round(before.low, 4), round(before.high, 4)),
        support_after=_share(after.rate),
        interval=(round(after.low, 4), round(after.high, 4)),
        verdict=after.verdict,
        slates=after.n,
        slates_before=before.n,
        adapter=night.adapter.name if night.adapter else None,
        admitted=night.exit_code == ADMITTED,
        training_picks=night.adapter.picks if night.adapter else 0,
        training_seconds=None if night.training_seconds is None else round(night.training_seconds, 1),
        seconds=round(seconds, 1),
        taste=str(plan.taste),
        home=str(plan.home),
    )


def show(console: Console, outcome: Outcome, before: Support, after: Support) -> None:
    """Print the table."""
    table = Table(
        title="Support rate (simulated picks)",
        caption=f"Simulated: a rule picked, not people: {outcome.taste}.",
        title_style="bold",
        caption_justify="left",
    )
    for heading in ("", "tickets", "slates", "tuned picked", "support rate", "95 % interval", "verdict"):
        table.add_column(heading, justify="left" if heading in ("", "tickets", "verdict") else "right")
    table.add_row("before: base against base", "training", *_cells(before))
    table.add_row(f"after: {outcome.adapter} against base", "unseen", *_cells(after))
    console.print(table)


def _cells(support: Support) -> tuple[str, ...]:
    rate = "–" if support.rate is None else f"{support.rate:.1%}"
    between = f"{support.low:.1%} – {support.high:.1%}"
    return str(support.n), str(support.wins), rate, between, support.verdict.replace("_", " ")


def _share(rate: float | None) -> float | None:
    return None if rate is None else round(rate, 4)
