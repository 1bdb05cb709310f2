"""Which decisions a support rate or a ranking is asked of; without scipy, for a server starts without."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from picktune.log import LogReader
from picktune.records import AnnotatorRole, Decision, Record, ShortText
from picktune.settings import Settings


class SupportQuery(Record, frozen=True, kw_only=True):
    """Decisions at ``since`` or later, before ``until`` (UTC, unless they say); with this ``tag``, by this
    ``role``, in this language, of this scenario. Whatever is left out selects everything that counts.
    """

    since: datetime | None = None
    until: datetime | None = None
    tag: ShortText | None = None
    role: AnnotatorRole | None = None
    locale: ShortText | None = None
    scenario: ShortText | None = None


EVERYTHING = SupportQuery()


def selected(reader: LogReader, settings: Settings, query: SupportQuery = EVERYTHING) -> Iterator[Decision]:
    """The standing decisions that are asked for, of the roles that count unless one is named."""
    from picktune.support import only

    found = reader.decisions(
        since=_aware(query.since),
        until=_aware(query.until),
        roles=settings.roles if query.role is None else (query.role,),
    )
    return only(
        found,
        tags=() if query.tag is None else (query.tag,),
        locales=() if query.locale is None else (query.locale,),
        scenarios=() if query.scenario is None else (query.scenario,),
    )


def _aware(time: datetime | None) -> datetime | None:
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time
