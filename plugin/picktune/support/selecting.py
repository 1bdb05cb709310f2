"""Which decisions one wants the rate of, beside their time and role, which the log selects by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from picktune.records import Decision


def only(
    decisions: Iterable[Decision],
    *,
    tags: Sequence[str] = (),
    locales: Sequence[str] = (),
    scenarios: Sequence[str] = (),
) -> Iterator[Decision]:
    """The decisions with one of the tags, in one of the languages, of one of the scenarios.

    ``zh`` is in ``zh-CN`` too. What is empty selects everything. A selection made after looking at the
    groups is a look at a group: its interval is not that of the whole.
    """
    wanted = frozenset(tags)
    for one in decisions:
        if wanted and wanted.isdisjoint(one.tags):
            continue
        if locales and not any(
            one.locale == locale or one.locale.startswith(f"{locale}-") for locale in locales
        ):
            continue
        if scenarios and one.scenario not in scenarios:
            continue
        yield one
