"""How champion and challenger stand, read from the registry and the log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from picktune_adapters import AliasChange, Aliases

from picktune.gate.records import Standing, TagStanding, View
from picktune.gate.rules import worse
from picktune.gate.since import named_since
from picktune.log.base import LogReader
from picktune.records import Decision
from picktune.settings import Settings
from picktune.support import counted, support_rate


def view_of(reader: LogReader, settings: Settings, aliases: Aliases, history: Sequence[AliasChange]) -> View:
    """Everything that the rules look at. Only decisions since an alias names the adapter count for it.

    So a champion is judged by what people say of it now, not by the trial that it has won, and an adapter
    that a person puts on trial again begins anew.
    """
    champion = named_since(history, "champion", aliases.champion) if aliases.champion else None
    challenger = named_since(history, "challenger", aliases.challenger) if aliases.challenger else None
    since = min((one for one in (champion, challenger) if one is not None), default=None)
    decisions = [] if since is None else list(reader.decisions(since=since, roles=settings.roles))
    frozen = reader.freeze()
    view = View(
        champion=_standing(decisions, settings, aliases.champion, champion),
        challenger=_standing(decisions, settings, aliases.challenger, challenger),
        frozen=None if frozen is None else f"{frozen.reason} ({frozen.by})",
    )
    if aliases.challenger is None or challenger is None:
        return view
    steps = tuple(reader.canary_steps(aliases.challenger, challenger))
    step = steps[-1].since if steps else challenger
    mine = counted(
        (one for one in decisions if one.decided_at >= step),
        model=aliases.challenger,
        annotator_cap=settings.annotator_cap,
    )
    return View(
        champion=view.champion,
        challenger=view.challenger,
        frozen=view.frozen,
        steps=steps,
        wins=sum(one.tuned in one.picked for one in mine),
        n=len(mine),
    )


def bare_view(aliases: Aliases, history: Sequence[AliasChange]) -> View:
    """The view before there is a log: who is named, and no pick."""
    champion = named_since(history, "champion", aliases.champion) if aliases.champion else None
    challenger = named_since(history, "challenger", aliases.challenger) if aliases.challenger else None
    return View(
        champion=Standing(adapter=aliases.champion, since=champion)
        if aliases.champion and champion
        else None,
        challenger=Standing(adapter=aliases.challenger, since=challenger)
        if aliases.challenger and challenger
        else None,
    )


def _standing(
    decisions: Sequence[Decision], settings: Settings, name: str | None, since: datetime | None
) -> Standing | None:
    if name is None or since is None:
        return None
    support = support_rate(
        (one for one in decisions if one.decided_at >= since),
        model=name,
        alpha=settings.alpha,
        annotator_cap=settings.annotator_cap,
    )
    return Standing(
        adapter=name,
        since=since,
        wins=support.wins,
        n=support.n,
        rate=support.rate,
        low=support.low,
        high=support.high,
        alpha=support.alpha,
        annotators=support.annotators,
        ties=support.ties,
        none_good=support.none_good,
        simulated=support.simulated,
        tags=tuple(
            TagStanding(
                tag=one.name,
                wins=one.wins,
                n=one.n,
                rate=one.rate,
                low=one.low,
                high=one.high,
                worse=worse(rate=one.rate, high=one.high, n=one.n, rules=settings.gate),
            )
            for one in support.by_tag
            if one.name in settings.gate.protected_tags
        ),
    )
