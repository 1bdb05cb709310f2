"""The support rate as the JSON API gives it; apart, for it needs scipy, and a server should start without."""

from __future__ import annotations

from picktune.records import AnnotatorRole, Record
from picktune.support import Share, Support


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
