"""The support rates as tables in a terminal, with what is to be said below them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from picktune.support import Share, Support, about

WIDTH = 41
VERDICTS = {
    "harmful": "red",
    "no_progress": "yellow",
    "weak": "yellow",
    "success": "green",
    "great": "bold green",
    "undecided": "cyan",
    "no_data": "dim",
}


def show(out: Console, found: Sequence[Support], by: Iterable[str]) -> None:
    """Print the comparisons, what is to be said of them, and their breakdowns."""
    table = Table("Adapter", "Rate", "Interval", "0 %" + " " * 16 + "50 %" + " " * 13 + "100 %", "Verdict")
    table.add_column("Picks", justify="right")
    table.add_column("Beside them")
    for one in found:
        table.add_row(
            _name(one),
            "–" if one.rate is None else f"{one.rate:.1%}",
            f"{one.low:.0%} – {one.high:.0%}",
            drawing(one.rate, one.low, one.high),
            f"[{VERDICTS[one.verdict]}]{one.verdict.replace('_', ' ')}[/]",
            f"{one.wins} of {one.n}",
            _beside(one),
        )
    out.print(table)
    for one in found:
        for line in (outlook(one), alike(one)):
            if line:
                out.print(f"{escape(one.model or 'base against base')}: {line}")
    shown = False
    for name in dict.fromkeys(by):
        for one in found:
            shares: Sequence[Share] = getattr(one, f"by_{name}")
            if shares:
                out.print(_breakdown(one, name, shares))
                shown = True
    if shown:
        out.print(
            "Groups are for looking: among twenty, one may be off 50 % by chance. Only the whole decides.",
            style="dim",
        )


def outlook(one: Support) -> str:
    """How many more picks an undecided comparison takes, in words; nothing if there is nothing to say."""
    if one.verdict != "undecided" or one.model is None:
        return ""
    if one.forecast is None:
        return "the rate is about 50 %, so that no number of picks can be named that would decide it"
    most = "many more" if one.forecast.high is None else f"{about(one.forecast.high):,}"
    picks = about(one.forecast.picks)
    return (
        f"about {picks:,} more pick{'' if picks == 1 else 's'} until this is decided, if the rate stays as "
        f"it is (in eight of ten cases {about(one.forecast.low):,} to {most})"
    )


def alike(one: Support) -> str:
    """What the clusters take from the picks, in words; nothing if it is less than a tenth."""
    clusters = one.clustering
    if clusters.design_effect < 1.1:
        return ""
    return (
        f"{one.n:,} picks in {clusters.conversations:,} conversations by {_people(clusters.annotators)} "
        f"speak as loudly as {clusters.effective:,.0f} independent ones; without that, {clusters.low:.0%} – "
        f"{clusters.high:.0%}"
    )


def drawing(rate: float | None, low: float, high: float, width: int = WIDTH) -> str:
    """The interval on a line from 0 to 100 %, the rate as a dot, and 50 % as a stroke."""
    last = width - 1
    line = ["·"] * width
    for place in range(round(low * last), round(high * last) + 1):
        line[place] = "━"
    line[last // 2] = "┃" if line[last // 2] == "━" else "│"
    if rate is not None:
        line[round(rate * last)] = "●"
    return "".join(line)


def _breakdown(one: Support, by: str, shares: Sequence[Share]) -> Table:
    table = Table(
        by.capitalize(), "Rate", "Interval", "", title=f"{_name(one)} by {by}", title_justify="left"
    )
    table.add_column("Picks", justify="right")
    for share in shares:
        table.add_row(
            escape(share.name),
            f"{share.rate:.1%}",
            f"{share.low:.0%} – {share.high:.0%}",
            drawing(share.rate, share.low, share.high),
            f"{share.wins} of {share.n}",
        )
    return table


def _name(one: Support) -> str:
    name = escape(one.model or "base against base")
    return f"{name} [yellow](simulated)[/]" if one.simulated else name


def _people(count: int) -> str:
    return "one annotator" if count == 1 else f"{count:,} annotators"


def _beside(one: Support) -> str:
    named = {
        "ties": one.ties,
        "none good": one.none_good,
        "skipped": one.skipped,
        "same words": one.shared,
        "incomplete": one.incomplete,
        "repeated": one.repeated,
        "capped": one.capped,
    }
    return ", ".join(f"{count} {name}" for name, count in named.items() if count)
