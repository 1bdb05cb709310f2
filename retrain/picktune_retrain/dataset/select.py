"""Which of the log's choice sets are asked for, and what else the log knows of their quality."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from picktune.campaigns import TAG
from picktune.log.base import LogReader
from picktune.records import AnnotatorRole, ChoiceSet, Selection

from picktune_retrain.records import DataRecipe

Key = tuple[str, str]
"""A slate and an annotator."""


def unselected(row: ChoiceSet, recipe: DataRecipe) -> str | None:
    """Why the row is not asked for, besides when it was decided; ``None`` if it is."""
    if recipe.tags and not set(recipe.tags) & set(row.tags):
        return f"it has none of the tags {', '.join(recipe.tags)}"
    if recipe.campaigns and not {TAG + one for one in recipe.campaigns} & set(row.tags):
        return f"it is of none of the campaigns {', '.join(recipe.campaigns)}"
    if recipe.locales and not any(
        row.locale == one or row.locale.startswith(f"{one}-") for one in recipe.locales
    ):
        return f"its language is {row.locale}, and {', '.join(recipe.locales)} is asked for"
    return None


def extra_selection(recipe: DataRecipe, until: datetime, roles: Sequence[AnnotatorRole]) -> Selection:
    """The same for reactions, ties and edits. Where tags and campaigns are asked for, the campaigns count."""
    tags = tuple(TAG + one for one in recipe.campaigns) or recipe.tags
    return Selection(
        since=recipe.begins(until), until=until, roles=tuple(roles), tags=tags, locales=recipe.locales
    )


def poor_rows(
    reader: LogReader, recipe: DataRecipe, *, until: datetime, roles: Sequence[AnnotatorRole]
) -> dict[Key, tuple[str, str]]:
    """Rows of which the log knows that they were decided too fast or that experts score the pick low.

    Each with its rule and what that is about. Nothing is read unless the recipe asks.
    """
    if not recipe.min_dwell_ms and not recipe.min_score:
        return {}
    found: dict[Key, tuple[str, str]] = {}
    scores: dict[str, list[float]] = defaultdict(list)
    if recipe.min_score:
        for score in reader.scores(until=until):
            span = score.high - score.low
            scores[score.candidate_id].append((score.value - score.low) / span if span else 1.0)
    for one in reader.decided_slates(Selection(until=until, roles=tuple(roles))):
        key = (one.slate.id, one.pick.annotator)
        dwell = one.pick.dwell_ms
        if dwell is not None and dwell < recipe.min_dwell_ms:
            found[key] = "too_fast", f"{dwell} ms"
        given = scores.get(one.pick.candidate_id or "")
        if given and (mean := sum(given) / len(given)) < recipe.min_score:
            found.setdefault(key, ("poorly_scored", f"{mean:.2f} of 1"))
    return found
