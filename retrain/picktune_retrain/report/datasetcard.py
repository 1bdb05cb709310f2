"""The card of a dataset version: one page that says what was learned from, and what was left out."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from picktune_adapters import disk

from picktune_retrain.dataset import RULES
from picktune_retrain.dataset.split import SPLITS
from picktune_retrain.records import Dataset
from picktune_retrain.report.bars import bars, histogram
from picktune_retrain.report.page import environment
from picktune_retrain.report.words import WORDS

MOST = 15
"""Tags and languages that are named; the others are counted together."""

Counts = list[tuple[str, int]]


class Tally:
    """What the rows of a dataset come to, taken one at a time."""

    def __init__(self, dataset: Dataset) -> None:
        self.weeks: Counter[str] = Counter()
        self.tags: Counter[str] = Counter()
        self.roles: Counter[str] = Counter()
        self.locales: Counter[str] = Counter()
        self.places: Counter[tuple[int, int]] = Counter()
        self.prompts: Counter[int] = Counter()
        self.replies: Counter[int] = Counter()
        for split in SPLITS:
            for row in getattr(dataset, split):
                monday = row.decided_at.date() - timedelta(days=row.decided_at.weekday())
                self.weeks[monday.isoformat()] += 1
                self.tags.update(set(row.tags))
                self.roles[row.role] += 1
                self.locales[row.locale] += 1
                self.places[len(row.replies), row.chosen] += 1
                self.prompts[sum(len(message.content) for message in row.messages)] += 1
                self.replies.update(map(len, row.replies))

    def by_week(self) -> Counts:
        """Picks by the Monday of their week, weeks without any among them too."""
        if not self.weeks:
            return []
        from datetime import date

        first, last = (date.fromisoformat(one) for one in (min(self.weeks), max(self.weeks)))
        every = [first + timedelta(weeks=i) for i in range((last - first).days // 7 + 1)]
        return [(one.isoformat(), self.weeks[one.isoformat()]) for one in every]

    def by_place(self) -> list[tuple[int, list[tuple[int, int, float]]]]:
        """For each number of replies shown: place, picks and share."""
        found = []
        for shown in sorted({shown for shown, _ in self.places}):
            counts = [self.places[shown, place] for place in range(shown)]
            found.append((shown, [(i + 1, n, n / sum(counts)) for i, n in enumerate(counts)]))
        return found


def write_card(dataset: Dataset, path: Path, *, locale: Literal["en", "zh"] = "en") -> Path:
    """Write the page, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    disk.replace(path, render_card(dataset, locale=locale).encode())
    return path


def render_card(dataset: Dataset, *, locale: Literal["en", "zh"] = "en") -> str:
    """The page as HTML; ``locale`` is the language that it opens in. It quotes nobody."""
    tally, version = Tally(dataset), dataset.version
    charts = {
        "by_week": tally.by_week(),
        "prompt_lengths": histogram(sorted(tally.prompts.items())),
        "reply_lengths": histogram(sorted(tally.replies.items())),
    }
    drawn = [(name, bars(values, label=WORDS[name][0])) for name, values in charts.items() if values]
    shares = {
        "by_tag": _largest(tally.tags),
        "by_role": [(f"role_{name}", count) for name, count in tally.roles.most_common()],
        "by_locale": _largest(tally.locales),
    }
    return (
        environment()
        .get_template("dataset.html")
        .render(
            locale=locale,
            dataset=version,
            quality=version.quality,
            picks=sum(version.counts.values()),
            charts=[{"title": name, "svg": svg} for name, svg in drawn],
            shares=[(name, values) for name, values in shares.items() if values],
            places=tally.by_place(),
            dropped=[(name, count, RULES.get(name)) for name, count in version.dropped.items()],
            asked=_asked(dataset),
        )
    )


def _largest(counts: Counter[str]) -> Counts:
    named = counts.most_common(MOST)
    rest = counts.total() - sum(count for _, count in named)
    return [*named, ("…", rest)] if rest else named


def _asked(dataset: Dataset) -> list[tuple[str, Any]]:
    """What of the recipe is not as it is by default."""
    recipe = dataset.version.recipe
    plain = type(recipe)()
    return [
        (name, getattr(recipe, name))
        for name in recipe.__struct_fields__
        if getattr(recipe, name) != getattr(plain, name)
    ]
