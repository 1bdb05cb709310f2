"""What several commands are told: where everything lies, and who is acting why."""

from __future__ import annotations

import functools
import getpass
import os
import re
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from picktune.settings import load_settings

if TYPE_CHECKING:
    from rich.console import Console

F = TypeVar("F", bound=Callable[..., Any])

HOME = click.option(
    "--home", type=click.Path(path_type=Path, file_okay=False), help="Where everything is kept."
)
CONFIG = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The configuration file; otherwise PICKTUNE_CONFIG, or picktune.toml here.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
REASON = click.option("--reason", required=True, help="Why; it is kept in the history.")


_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def an_age(ctx: click.Context, parameter: click.Parameter, value: str | None) -> timedelta | None:
    """The callback of an option that takes an age."""
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]{1,5})([hdw])", value)
    if match is None or not int(match[1]):
        raise click.BadParameter(f"{value!r} is no age; give one such as 365d, 8w or 12h")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def configured(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``--home`` and ``--config``, and call it with the settings that they lead to."""

    @HOME
    @CONFIG
    @functools.wraps(command)
    def run(home: Path | None, config: Path | None, **arguments: Any) -> None:
        command(load_settings(config, home=home), **arguments)

    return run


def console() -> Console:
    """Where tables are printed; away from a terminal nobody is there to fit them to."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() or "COLUMNS" in os.environ else Console(width=140)


def by_option(command: F) -> F:
    """Give a command ``--by``: who acts."""
    return click.option("--by", default=user_name, show_default="the user's name", help="Who does it.")(
        command
    )


def user_name() -> str:
    """The name of the user of this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        return "unknown"
