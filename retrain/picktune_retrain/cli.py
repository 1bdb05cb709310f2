"""``picktune nightly``: one night from the command line, made for a person's terminal and for cron."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
import msgspec
from picktune.errors import PicktuneError
from picktune.records import AnnotatorRole
from picktune.settings import load_settings

from picktune_retrain.budget import duration
from picktune_retrain.dataoptions import data_of, data_options, moment, standard_of, standard_options
from picktune_retrain.errors import TrainingDiverged, TrainingOutOfMemory
from picktune_retrain.gate import Gate
from picktune_retrain.plan import Plan, Summary
from picktune_retrain.recipes import recipe_of, recipe_options
from picktune_retrain.telling import tell_webhooks

if TYPE_CHECKING:
    from picktune.settings import Settings

    from picktune_retrain.terminal import Bars, Lines

GATE, PLAN = Gate(), Plan()
WORDS = {
    Summary.ADMITTED: "done",
    Summary.FAILED: "failed",
    Summary.NOTHING_TO_DO: "nothing to do",
    Summary.NOT_ADMITTED: "not admitted",
}


@click.command()
@click.option("--home", type=click.Path(path_type=Path), help="Where the log and the adapters lie.")
@click.option("--config", type=click.Path(path_type=Path), help="The configuration file (picktune.toml).")
@click.option("--model", help="The base model: a folder, or an id in Hugging Face's cache.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(get_args(AnnotatorRole)),
    help="Whose picks count; may be given several times. 'model' is a simulated picker.",
)
@click.option(
    "--until", type=moment, metavar="MOMENT", help="Leave out picks from this moment on (ISO 8601; UTC)."
)
@click.option(
    "--min-picks",
    type=click.IntRange(1),
    default=PLAN.min_picks,
    show_default=True,
    help="Do nothing with fewer usable picks.",
)
@click.option(
    "--min-held-out",
    type=click.IntRange(1),
    default=GATE.min_sets,
    show_default=True,
    help="Do not judge an adapter by fewer held-out picks.",
)
@click.option(
    "--max-kl",
    type=click.FloatRange(0),
    default=GATE.max_kl,
    show_default=True,
    metavar="NATS",
    help="Do not admit an adapter that is farther from the base, a token.",
)
@click.option(
    "--freeze-at",
    type=click.IntRange(0),
    default=PLAN.freeze_at,
    show_default=True,
    metavar="PICKS",
    help="Freeze the hold-out at the first night with so many held-out picks; 0 never does.",
)
@data_options
@standard_options
@recipe_options
@click.option("--force", is_flag=True, help="Train even if nothing is new since the last night.")
@click.option("--fresh", is_flag=True, help="Leave an interrupted night behind and begin a new one.")
@click.option(
    "--new-base", is_flag=True, help="Allow a base model other than the one under today's adapters."
)
@click.option(
    "--stop-after",
    type=duration,
    metavar="DURATION",
    help="Save and stop after so long (90m, 3h); the next run goes on.",
)
@click.option(
    "--min-free",
    type=click.FloatRange(0),
    default=PLAN.min_free,
    show_default=True,
    metavar="GIB",
    help="Do not begin with less room on the disk.",
)
@click.option(
    "--replies",
    type=click.IntRange(0, 200),
    default=PLAN.replies,
    show_default=True,
    help="Let base, champion and challenger answer so many held-out prompts, for the report and the checks.",
)
@click.option(
    "--keep-checkpoints",
    type=click.IntRange(0),
    metavar="N",
    help="Afterwards delete older checkpoints than the newest N, but none that speaks or is rolled back to.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done; write nothing.")
@click.option("--locale", type=click.Choice(["en", "zh"]), default="en", help="The report's first language.")
@click.option("--plots", is_flag=True, help="Put interactive curves into the report (extra 'plots', 5 MB).")
@click.option(
    "--tensorboard",
    type=click.Path(),
    metavar="FOLDER",
    help="Write the training's curves there while it runs, for TensorBoard (extra 'tensorboard').",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one line of JSON, last.")
@click.option("--debug", is_flag=True, help="Show the traceback of an unexpected failure.")
def nightly(
    home: Path | None,
    config: Path | None,
    model: str | None,
    roles: tuple[AnnotatorRole, ...],
    until: datetime | None,
    min_picks: int,
    min_held_out: int,
    max_kl: float,
    as_json: bool,
    debug: bool,
    **flags: Any,
) -> None:
    """Train an adapter on the picks in the log; if it passes, it joins the slates as challenger.

    An interrupted night (killed, SIGTERM, disk full) goes on where it stopped when it is run again.

    Exit codes: 0 admitted, 10 nothing to do, 20 trained but not admitted, 1 failed.
    """
    settings: Settings | None = None
    try:
        settings = load_settings(config, home=home, model=model, roles=roles or None)
        plan = Plan(
            recipe=recipe_of(flags),
            data=data_of(flags),
            standard=standard_of(flags),
            gate=Gate(min_sets=min_held_out, max_kl=max_kl),
            min_picks=min_picks,
            until=until,
            **flags,
        )
        with _stop_flag() as stop, _watch() as watch:
            from picktune_retrain.nightly import nightly as run

            ended = run(settings, plan, watch=watch, should_stop=stop.is_set)
    except PicktuneError as error:
        tried = error.answers if isinstance(error, TrainingDiverged | TrainingOutOfMemory) else ()
        ended = Summary(exit_code=Summary.FAILED, message=error.message, answers=tried)
    except KeyboardInterrupt:
        ended = Summary(
            exit_code=Summary.FAILED, message="interrupted; run again to go on from the last checkpoint"
        )
    except Exception as error:
        if debug:
            traceback.print_exc()
        message = f"unexpected {type(error).__name__}: {error} (--debug shows where)"
        ended = Summary(exit_code=Summary.FAILED, message=message)
    _tell(ended, as_json)
    if settings is not None and not flags["dry_run"]:
        for problem in tell_webhooks(settings, ended):
            click.echo(f"note: {problem}", err=True)
    sys.exit(ended.exit_code)


def _tell(ended: Summary, as_json: bool) -> None:
    if ended.decision and ended.dataset:
        for line in ended.decision.reasons:
            click.echo(f"  {line}")
        if ended.dataset.simulated:
            click.echo("  simulated: these figures rest on picks of a simulated picker, not of people")
    click.echo(f"{WORDS[ended.exit_code]}: {ended.message}", err=ended.exit_code == Summary.FAILED)
    if ended.report:
        click.echo(f"report: {ended.report}")
    if as_json:
        click.echo(msgspec.json.encode(ended))


def _watch() -> Bars | Lines:
    from rich.console import Console

    from picktune_retrain.terminal import Bars, Lines

    console = Console()
    if console.is_terminal and os.environ.get("TERM") != "dumb":
        return Bars(console)
    return Lines(sys.stdout)


@contextlib.contextmanager
def _stop_flag() -> Iterator[threading.Event]:
    """Set by SIGTERM and by the first Ctrl-C; a second Ctrl-C interrupts at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: object) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
