"""The loop without a person: pick, train, let the adapter join, pick again, and compare."""

from __future__ import annotations

import random
import time

from picktune_adapters.registry import Registry
from rich.console import Console

from picktune.demo.night import admit, nightly
from picktune.demo.outcome import Outcome, outcome_of, show
from picktune.demo.plan import Plan, write_config
from picktune.demo.processes import DemoFailed
from picktune.demo.server import Server, running
from picktune.demo.work import Work, rounds
from picktune.interchange.tickets import Split
from picktune.records import utc_now
from picktune.simulate import Picker
from picktune.support import Support
from picktune.tickets import sample_conversations

# How many more slates are drawn at most, as a share, in place of those that do not count (an arm that said
# the same words twice, or a pick that both arms had said).
SPARE = 0.5


async def auto(plan: Plan, console: Console) -> Outcome:
    """Run the loop and print what comes out of it; raises ``DemoFailed``, saying what ended it."""
    started, rng = time.monotonic(), random.Random(plan.seed)  # noqa: S311 - a simulation, no secret
    if Registry(plan.home / "registry").versions():
        raise DemoFailed(f"{plan.home} holds an earlier demonstration; name another folder with --home")
    write_config(plan, roles=("model",))
    console.print(f"The picker is [bold]simulated[/bold]. Its taste: {plan.taste}.")
    async with running(plan) as server:
        with console.status("Starting the server and its model …"):
            await server.until_ready()
        console.print(f"The server is ready after {time.monotonic() - started:.0f} s: {plan.url}")

        picker = Picker(server.client, plan.taste, rng=rng)
        await work_on(server, plan, picker, "training").decide(
            plan.train_slates, console, "Simulated picks, base against base"
        )
        before = (await server.supports())[None]

        night = await nightly(plan, console)
        admit(plan, night, console)
        assert night.adapter is not None  # noqa: S101 - nightly has seen to it
        with console.status("Waiting for the running server to take up the adapter …"):
            await server.until_speaks(night.adapter.name)
        console.print(f"{night.adapter.name} has joined the slates; the server was not restarted.")

        after = await test_adapter(server, plan, picker, night.adapter.name, console)
    outcome = outcome_of(plan, night, before, after, seconds=time.monotonic() - started)
    show(console, outcome, before, after)
    return outcome


def work_on(server: Server, plan: Plan, picker: Picker, split: Split) -> Work:
    """The picker on the tickets of one half, which come in as new conversations."""
    known = sample_conversations("en", now=utc_now(), split=split)
    source = rounds(known, f"demo-{split}", random.Random(f"{plan.seed}-{split}"))  # noqa: S311
    return Work(server, picker, source, in_flight=plan.in_flight)


async def test_adapter(server: Server, plan: Plan, picker: Picker, adapter: str, console: Console) -> Support:
    """Decide on fresh slates of unseen tickets until as many count as the plan asks for."""
    work = work_on(server, plan, picker, "unseen")
    missing, spare = plan.fresh_slates, int(plan.fresh_slates * SPARE)
    title = "Simulated picks, adapter against base"
    while True:
        await work.decide(missing, console, title)
        support = (await server.supports())[adapter]
        missing = min(plan.fresh_slates - support.n, spare)
        if missing <= 0:
            return support
        spare -= missing
        title = "In place of slates that do not count"
