"""The ranking as a table in a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from picktune.commands.supporttable import drawing
from picktune.support import Ranking


def show(out: Console, ranking: Ranking) -> None:
    """Print who stands where, how sure that is, and who cannot be compared."""
    if not ranking.contestants:
        out.print("No slate has been decided yet between two that could be ranked.")
        return
    over = escape(str(ranking.reference))
    table = Table("Rank", "Contestant", f"Picked over {over}", "Interval", "0 %" + " " * 16 + "50 %")
    table.add_column("Ranks", justify="right")
    table.add_column("Slates", justify="right")
    for one in ranking.contestants:
        itself = one.name == ranking.reference
        table.add_row(
            str(one.rank),
            escape(one.name),
            "–" if itself else f"{one.chance:.1%}",
            "" if itself else f"{one.low:.0%} – {one.high:.0%}",
            "" if itself else drawing(one.chance, one.low, one.high),
            str(one.best) if one.best == one.worst else f"{one.best} – {one.worst}",
            f"{one.wins} of {one.n}",
        )
    out.print(table)
    said = f"{ranking.slates:,} slates of {ranking.conversations:,} conversations"
    if ranking.simulated:
        said += ", [yellow]simulated picks among them[/]"
    out.print(f"{said}. The intervals are for one look; promotion rests on the support rate.")
    if ranking.apart:
        names = ", ".join(map(escape, ranking.apart))
        out.print(f"Not compared, for no chain of slates connects them with {over}: {names}")
