"""The demonstration's night: ``picktune nightly`` in a process of its own."""

from __future__ import annotations

import msgspec
from msgspec import Struct
from picktune_adapters.registry import Registry
from rich.console import Console

from picktune.demo.plan import Plan
from picktune.demo.processes import DemoFailed, run
from picktune.records import utc_now

SHOWN = "6"  # prompts that base and adapter answer for the report; the nightly's own 20 take half a minute
ADMITTED, NOTHING_TO_DO, NOT_ADMITTED = 0, 10, 20


class Trained(Struct, frozen=True, kw_only=True):
    """The adapter that a night made, as far as the demonstration wants to know it."""

    name: str
    picks: int


class Night(Struct, frozen=True, kw_only=True):
    """How the night ended: the parts of its summary that are read here; times in seconds."""

    exit_code: int
    message: str
    adapter: Trained | None = None
    training_seconds: float | None = None


async def nightly(plan: Plan, console: Console) -> Night:
    """Run the nightly and show what it says; raises ``DemoFailed`` unless it has made an adapter."""
    said: list[str] = []

    def line(text: str) -> None:
        said.append(text)
        if not text.startswith("{"):
            console.print(f"  {text}", style="dim", markup=False, highlight=False)

    console.print("[bold]picktune nightly[/bold]")
    arguments = ["nightly", "--json", "--replies", SHOWN, *plan.nightly]
    code = await run(arguments, plan.config, line=line)
    try:
        night = msgspec.json.decode(said[-1], type=Night)
    except (IndexError, msgspec.DecodeError):
        raise DemoFailed(f"picktune nightly ended with code {code}; its last words are above") from None
    if night.adapter is None:
        raise DemoFailed(f"picktune nightly made no adapter: {night.message}", exit_code=code or 1)
    return night


def admit(plan: Plan, night: Night, console: Console) -> None:
    """Let an adapter that the nightly did not admit challenge all the same, if the plan says so.

    Raises ``DemoFailed`` if it does not say so.
    """
    if night.exit_code == ADMITTED or night.adapter is None:
        return
    if not plan.regardless:
        raise DemoFailed(
            f"the nightly did not admit the adapter, so there is nothing to test: {night.message}. "
            "Draw more slates (--train-slates), or look at the adapter all the same (--regardless)",
            exit_code=night.exit_code,
        )
    console.print(
        f"[yellow]Not admitted, and joins the slates all the same (--regardless)[/yellow]: {night.message}"
    )
    Registry(plan.home / "registry").move(
        "challenger", night.adapter.name, by="demo", reason="--regardless: it was not admitted", now=utc_now()
    )
