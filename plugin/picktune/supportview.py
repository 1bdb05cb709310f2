"""The support rate and the ranking as the JSON API gives them; apart, for they need scipy."""

from __future__ import annotations

from picktune.log import LogReader
from picktune.records import AnnotatorRole, Record
from picktune.settings import Settings
from picktune.support import Ranking, Share, Support, compare, rank
from picktune.supportquery import SupportQuery, selected


class SupportAnswer(Record, frozen=True, kw_only=True):
    """The support rate of every adapter that stood beside the base, of the roles that count."""

    roles: tuple[AnnotatorRole, ...]
    supports: tuple[Support, ...]


class SharesAnswer(Record, frozen=True, kw_only=True):
    """The support rate of one adapter by groups, of the roles that count; each interval is for itself."""

    roles: tuple[AnnotatorRole, ...]
    model: str | None
    days: int
    by: str
    shares: tuple[Share, ...]


class RankingAnswer(Record, frozen=True, kw_only=True):
    """All that ever competed, ranked, of the roles that count."""

    roles: tuple[AnnotatorRole, ...]
    ranking: Ranking


def supports(reader: LogReader, settings: Settings, query: SupportQuery) -> SupportAnswer:
    """The support rates of the decisions that are asked for."""
    found = compare(
        selected(reader, settings, query), alpha=settings.alpha, annotator_cap=settings.annotator_cap
    )
    return SupportAnswer(roles=_roles(settings, query), supports=tuple(found))


def ranking(reader: LogReader, settings: Settings, query: SupportQuery) -> RankingAnswer:
    """The ranking by the decisions that are asked for; raises ``MissingExtra`` without evalica."""
    found = rank(
        selected(reader, settings, query), alpha=settings.alpha, annotator_cap=settings.annotator_cap
    )
    return RankingAnswer(roles=_roles(settings, query), ranking=found)


def _roles(settings: Settings, query: SupportQuery) -> tuple[AnnotatorRole, ...]:
    return settings.roles if query.role is None else (query.role,)
