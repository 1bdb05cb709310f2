"""The options of ``picktune nightly`` and ``dataset build`` that say which picks are learned from."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from picktune_retrain.dataset.quality import Standard
from picktune_retrain.records import DataRecipe

DATA, STANDARD = DataRecipe(), Standard()
F = TypeVar("F", bound=Callable[..., Any])


def moment(text: str) -> datetime:
    """A date or a moment in ISO 8601, made aware; without an offset it is UTC."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no moment; write it like 2026-11-24 or 2026-11-24T02:15+01:00"
        ) from None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


_OPTIONS = (
    click.option("--since", type=moment, metavar="MOMENT", help="Leave out picks before this moment (UTC)."),
    click.option(
        "--days",
        type=click.FloatRange(0, 36_500, min_open=True),
        help="Learn from the picks of the last so many days only.",
    ),
    click.option(
        "--tag", "tags", multiple=True, help="Only picks with this tag; may be given several times."
    ),
    click.option(
        "--campaign", "campaigns", multiple=True, help="Only picks of this campaign; several times, too."
    ),
    click.option(
        "--language", "locales", multiple=True, help="Only picks in this language; zh is in zh-CN too."
    ),
    click.option(
        "--min-agreement",
        type=click.FloatRange(0, 1),
        default=DATA.min_agreement,
        show_default=True,
        help="Leave out a pick that fewer of those agree with who decided on the same replies.",
    ),
    click.option(
        "--min-dwell",
        "min_dwell_ms",
        type=click.FloatRange(0),
        default=DATA.min_dwell_ms / 1000,
        show_default=True,
        metavar="SECONDS",
        callback=lambda context, option, value: round(1000 * value),
        help="Leave out picks that are known to have been decided sooner.",
    ),
    click.option(
        "--min-score",
        type=click.FloatRange(0, 1),
        default=DATA.min_score,
        show_default=True,
        help="Leave out picks whose reply the experts score lower, from 0 to 1.",
    ),
    click.option(
        "--replay",
        type=click.FloatRange(0, 1, max_open=True),
        default=DATA.replay,
        show_default=True,
        metavar="SHARE",
        help="With --since or --days: so much of what is trained on are older picks.",
    ),
    click.option(
        "--longest-reply",
        type=click.IntRange(0),
        default=DATA.longest_reply,
        show_default=True,
        metavar="CHARACTERS",
        help="Leave out picks among longer replies; 0 for no limit.",
    ),
    click.option(
        "--longest-prompt",
        type=click.IntRange(0),
        default=DATA.longest_prompt,
        show_default=True,
        metavar="CHARACTERS",
        help="Leave out longer conversations; 0 for no limit.",
    ),
    click.option(
        "--most-a-minute",
        type=click.IntRange(0),
        default=DATA.most_a_minute,
        show_default=True,
        help="Leave out what a person picked faster; 0 for no limit.",
    ),
    click.option(
        "--one-place",
        type=click.IntRange(0),
        default=DATA.one_place,
        show_default=True,
        metavar="PICKS",
        help="Leave out who always picks the same place, from so many picks on; 0 leaves nobody out.",
    ),
)

_STANDARD = (
    click.option(
        "--most-unusable",
        type=click.FloatRange(0, 1),
        default=STANDARD.most_unusable,
        show_default=True,
        metavar="SHARE",
        help="Do nothing if rules leave out more of the picks.",
    ),
    click.option(
        "--most-one-place",
        type=click.FloatRange(0, 1),
        default=STANDARD.most_one_place,
        show_default=True,
        metavar="SHARE",
        help="Do nothing if more of the picks are at one place.",
    ),
    click.option(
        "--most-one-person",
        type=click.FloatRange(0, 1),
        default=STANDARD.most_one_person,
        show_default=True,
        metavar="SHARE",
        help="Do nothing if one annotator gave more of the picks.",
    ),
    click.option(
        "--min-annotators",
        type=click.IntRange(1),
        default=STANDARD.min_annotators,
        show_default=True,
        help="Do nothing with picks of fewer annotators.",
    ),
    click.option(
        "--above-chance",
        type=click.FloatRange(0, 1),
        default=STANDARD.above_chance,
        show_default=True,
        metavar="SHARE",
        help="Do nothing if annotators surely agree less than so much more often than by chance.",
    ),
    click.option("--allow-poor", is_flag=True, help="Train even if the picks are too poor to learn from."),
)


def data_options(command: F) -> F:
    """Add the options that choose rows to a command, which gets them by the names of ``DataRecipe``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def standard_options(command: F) -> F:
    """Add the options of ``Standard``, and ``allow_poor``."""
    for option in reversed(_STANDARD):
        command = option(command)
    return command


def data_of(flags: dict[str, Any]) -> DataRecipe:
    """Take the fields of a ``DataRecipe`` out of a command's options."""
    return DataRecipe(
        **{name: flags.pop(name) for name in list(flags) if name in DataRecipe.__struct_fields__}
    )


def standard_of(flags: dict[str, Any]) -> Standard:
    """Take the fields of a ``Standard`` out of a command's options."""
    return Standard(**{name: flags.pop(name) for name in list(flags) if name in Standard.__struct_fields__})
