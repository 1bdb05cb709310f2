"""The demonstration for a person: the server with the sample tickets, and the workbench in a browser."""

from __future__ import annotations

import asyncio
import webbrowser

from rich.console import Console

from picktune.commands.link import sign_in_link
from picktune.demo.plan import Plan, write_config
from picktune.demo.server import running
from picktune.records import utc_now
from picktune.settings import load_settings
from picktune.tickets import sample_conversations

AGENT = "demo agent"


async def person(plan: Plan, console: Console, *, open_browser: bool) -> None:
    """Serve until this is cancelled; raises ``DemoFailed`` if the server ends by itself."""
    write_config(plan, roles=("user", "agent", "expert", "crowd"))
    async with running(plan) as server:
        with console.status("Starting the server and its model …"):
            await server.until_ready()
        await server.add(sample_conversations(now=utc_now()))
        link = sign_in_link(
            load_settings(plan.config, {}), f"http://127.0.0.1:{plan.port}", AGENT, "agent", admin=True
        )
        console.print("[bold]The workbench is at[/bold]")
        console.print(link, soft_wrap=True, markup=False, highlight=False)
        console.print(
            "The link signs you in for the next fifteen minutes. Pick replies with the keys 1 to 4. "
            "After some fifty picks, train on them in another terminal; the adapter then joins the slates:"
        )
        console.print(f"  PICKTUNE_CONFIG={plan.config} picktune nightly", markup=False, highlight=False)
        console.print("Ctrl-C stops the server; what was picked stays in " + str(plan.home))
        if open_browser:
            # Without a display this does nothing but say no.
            await asyncio.to_thread(webbrowser.open, link)
        while True:
            server.check_alive()
            await asyncio.sleep(0.5)
