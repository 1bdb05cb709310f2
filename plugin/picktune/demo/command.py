"""``picktune demo``: what is given on the command line, Ctrl-C, and the last line of JSON."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

T = TypeVar("T")

INTERRUPTED = 130


@click.command()
@click.option("--auto", is_flag=True, help="Without a person: a simulated picker runs the whole loop.")
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where everything is kept; var/demo, or with --auto a new folder in var/demo.",
)
@click.option("--model", help="The base model: a folder or an id; without it, the sample model.")
@click.option("--port", type=click.IntRange(1, 65535), help="Where to serve; without it, a free port.")
@click.option("--no-open", is_flag=True, help="Open no browser.")
@click.option(
    "--train-slates",
    type=click.IntRange(1),
    default=120,
    show_default=True,
    help="Slates of the base against itself that the picker decides on (--auto).",
)
@click.option(
    "--fresh-slates",
    type=click.IntRange(1),
    default=150,
    show_default=True,
    help="Slates of unseen tickets that have to count after the training (--auto).",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the picker (--auto).")
@click.option("--max-tokens", type=click.IntRange(1, 512), default=48, show_default=True)
@click.option("--temperature", type=click.FloatRange(0, 2), default=0.8, show_default=True)
@click.option(
    "--nightly",
    "nightly_options",
    default="",
    metavar="OPTIONS",
    help="More options of picktune nightly, in one string (--auto).",
)
@click.option(
    "--regardless", is_flag=True, help="Test the adapter even if the nightly does not admit it (--auto)."
)
def demo(
    auto: bool,
    home: Path | None,
    model: str | None,
    port: int | None,
    no_open: bool,
    train_slates: int,
    fresh_slates: int,
    seed: int,
    max_tokens: int,
    temperature: float,
    nightly_options: str,
    regardless: bool,
) -> None:
    """Show the loop: a workbench with sample tickets, or with --auto the whole of it on simulated picks.

    With --auto the last line is one object of JSON with support_before, support_after, interval, slates,
    training_seconds and seconds, all of them of a simulated picker.
    """
    import msgspec
    from rich.console import Console

    from picktune.demo.auto import auto as run_auto
    from picktune.demo.person import person
    from picktune.demo.plan import Plan
    from picktune.demo.processes import free_port

    # Away from a terminal nobody is there to fit the table to.
    console = Console() if sys.stdout.isatty() else Console(width=110)
    plan = Plan(
        home=home or _new_home(auto),
        model=model,
        port=port or free_port(),
        train_slates=train_slates,
        fresh_slates=fresh_slates,
        seed=seed,
        max_tokens=max_tokens,
        temperature=temperature,
        nightly=tuple(shlex.split(nightly_options)),
        regardless=regardless,
    )
    try:
        if auto:
            outcome = _run(run_auto(plan, console))
            click.echo(msgspec.json.encode(outcome))
        else:
            _run(person(plan, console, open_browser=not no_open))
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo(f"stopped; everything is in {plan.home}", err=True)
        sys.exit(INTERRUPTED if auto else 0)


def _new_home(auto: bool) -> Path:
    base = Path("var", "demo")
    if not auto:
        return base
    # A second run must not find the adapter of the first.
    now = datetime.now().astimezone()
    return base / f"auto-{now:%Y%m%d-%H%M%S}-{os.getpid()}"


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; Ctrl-C and SIGTERM cancel the work, so that it stops its processes."""

    async def cancellable() -> T:
        task = asyncio.ensure_future(work)
        with suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        try:
            return await task
        except BaseExceptionGroup as group:
            # Of the slates that were in flight, the first that failed says enough.
            raise _first(group) from group

    return asyncio.run(cancellable())


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
