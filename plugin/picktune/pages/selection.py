"""What the support page is asked of: the form above it, as the JSON API's query."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from urllib.parse import urlencode

import msgspec

from picktune.errors import InvalidInput
from picktune.records import Decision
from picktune.supportquery import SupportQuery

FIELDS = ("since", "until", "tag", "locale", "scenario", "role")
OFFERED = 200


def asked(parameters: Mapping[str, str]) -> SupportQuery:
    """The query of an address; what is empty selects everything, days are of UTC. Raises ``InvalidInput``."""
    said: dict[str, object] = {}
    for name in FIELDS:
        value = parameters.get(name, "").strip()
        if value:
            said[name] = _moment(name, value) if name in {"since", "until"} else value
    try:
        query = msgspec.convert(said, SupportQuery)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the selection: {error}; choose another one", field=None) from None
    if query.since is not None and query.until is not None and query.since >= query.until:
        raise InvalidInput("the selection ends before it begins; choose a later end", field="until")
    return query


def address(query: SupportQuery) -> str:
    """The query as the part of an address behind the question mark; empty for everything."""
    return urlencode(
        {
            name: _day(value) if isinstance(value, datetime) else value
            for name in FIELDS
            if (value := getattr(query, name)) is not None
        }
    )


def shown(query: SupportQuery) -> dict[str, str]:
    """What stands in the fields of the form."""
    times = {name: getattr(query, name) for name in ("since", "until")}
    words = {name: getattr(query, name) or "" for name in FIELDS[2:]}
    return {name: "" if at is None else f"{at:%Y-%m-%d}" for name, at in times.items()} | words


def offered(decisions: Iterable[Decision]) -> dict[str, list[str]]:
    """The tags, languages and scenarios that a reader can choose from, at most ``OFFERED`` of each."""
    found: dict[str, set[str]] = {"tag": set(), "locale": set(), "scenario": set()}
    for one in decisions:
        found["tag"].update(one.tags)
        found["locale"].add(one.locale)
        if one.scenario is not None:
            found["scenario"].add(one.scenario)
    return {name: sorted(names)[:OFFERED] for name, names in found.items()}


def _moment(name: str, value: str) -> datetime:
    try:
        at = datetime.fromisoformat(value)
        return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(
            f"{name} is {value[:40]!r}, which is no day; write it as {date(2026, 3, 1)}", field=name
        ) from None


def _day(at: datetime) -> str:
    return at.isoformat() if at.time() != datetime.min.time() else f"{at:%Y-%m-%d}"
