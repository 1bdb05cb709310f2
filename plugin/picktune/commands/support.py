"""``picktune support``: how often the tuned reply is picked over the base's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, get_args

import click
import msgspec

from picktune.commands.options import JSON, configured, console
from picktune.records import AnnotatorRole
from picktune.settings import Settings

if TYPE_CHECKING:
    from picktune.support import Share, Support

WIDTH = 41
BREAKDOWNS = ("tag", "annotator", "position")
VERDICTS = {
    "harmful": "red",
    "no_progress": "yellow",
    "weak": "yellow",
    "success": "green",
    "great": "bold green",
    "undecided": "cyan",
    "no_data": "dim",
}


@click.command()
@JSON
@click.option("--by", "by", type=click.Choice(BREAKDOWNS), help="Also break the rates down.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(get_args(AnnotatorRole)),
    help="Whose decisions count, instead of the configured ones; may be given several times.",
)
@click.option("--since", type=click.DateTime(), help="Leave out decisions before this moment (UTC).")
@configured
def support(
    settings: Settings,
    as_json: bool,
    by: str | None,
    roles: tuple[AnnotatorRole, ...],
    since: datetime | None,
) -> None:
    """Show how often each adapter was picked over the base.

    The last row is the base against itself: the floor of noise. Of the decided, complete slates, the rate is
    the share on which the tuned reply was picked; the interval holds at whatever moment one looks.
    """
    from datetime import UTC

    from picktune.log import SQLiteLogReader
    from picktune.support import compare

    with SQLiteLogReader(settings.log_path) as reader:
        found = compare(
            reader.decisions(
                since=since.replace(tzinfo=UTC) if since else None, roles=roles or settings.roles
            ),
            alpha=settings.alpha,
            annotator_cap=settings.annotator_cap,
        )
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        _print(found, by)


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


def _print(found: Sequence[Support], by: str | None) -> None:
    from rich.table import Table

    out = console()
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
    if by:
        for one in found:
            shares: Sequence[Share] = getattr(one, f"by_{by}")
            if shares:
                out.print(_breakdown(one, by, shares))


def _breakdown(one: Support, by: str, shares: Sequence[Share]) -> object:
    from rich.markup import escape
    from rich.table import Table

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
    name = one.model or "base against base"
    return f"{name} [yellow](simulated)[/]" if one.simulated else name


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
