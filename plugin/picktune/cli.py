"""The command line: ``picktune`` and its commands, each loaded when it is used."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from picktune import __version__
from picktune.errors import PicktuneError

# Where each command lives, in the order in which a newcomer meets them.
COMMANDS = {
    "demo": "picktune.demo.command:demo",
    "serve": "picktune.commands.serve:serve",
    "doctor": "picktune.commands.doctor:doctor",
    "link": "picktune.commands.link:link",
    "import": "picktune.commands.transfer:import_",
    "export": "picktune.commands.export:export",
    "support": "picktune.commands.support:support",
    "signals": "picktune.commands.signals:signals",
    "campaign": "picktune.commands.campaign:campaign",
    "compare": "picktune.commands.compare:compare",
    "adapters": "picktune.commands.adapters:adapters",
    "promote": "picktune.commands.adapters:promote",
    "rollback": "picktune.commands.adapters:rollback",
    "gate": "picktune.commands.gate:gate",
    "why": "picktune.commands.story:why",
    "trace": "picktune.commands.story:trace",
    "keys": "picktune.commands.keys:keys",
    "verify": "picktune.commands.verify:verify",
    "backup": "picktune.commands.backup:backup",
    "prune": "picktune.commands.prune:prune",
    "consent": "picktune.commands.consent:consent",
    "forget": "picktune.commands.forget:forget",
    "held": "picktune.commands.forget:held",
    "repair": "picktune.commands.repair:repair",
    "vacuum": "picktune.commands.vacuum:vacuum",
    "audit": "picktune.commands.audit:audit",
}
GROUP = "picktune.commands"


class Commands(click.Group):
    """Our own commands, and those that other rooms bring through the entry points ``picktune.commands``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names: ours, then the others'."""
        return [*COMMANDS, *sorted(_brought().keys() - COMMANDS.keys())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now; raises ``ClickException`` if that fails."""
        place = COMMANDS.get(cmd_name)
        if place is None:
            brought = _brought().get(cmd_name)
            return None if brought is None else _load(brought)
        module, _, name = place.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands; those of other rooms without importing them, for they may be slow to import."""
        rows = []
        for name in self.list_commands(ctx):
            if name in COMMANDS:
                command = self.get_command(ctx, name)
                rows.append((name, "" if command is None else command.get_short_help_str(80)))
            else:
                rows.append((name, f"Brought by {_brought()[name].module}; see: picktune {name} -h"))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error of ours is one line in red and the exit code 1."""
        try:
            return super().invoke(ctx)
        except PicktuneError as error:
            fail(error.message, ctx, getattr(error, "exit_code", 1))
        except BrokenPipeError:
            # Whoever read our output has had enough, as with: picktune export choice | head
            sys.stderr.close()
            ctx.exit(0)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            fail(f"{where}{error.strerror or error}", ctx, 1)


def fail(message: str, ctx: click.Context, code: int) -> None:
    """Say what went wrong, and end."""
    click.secho(f"Error: {message}", fg="red", err=True)
    ctx.exit(code)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="picktune")
def main() -> None:
    """Turns the replies that people pick into a better model."""


def _brought() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _load(point: EntryPoint) -> click.Command:
    try:
        command: click.Command = point.load()
    except ImportError as error:
        raise click.ClickException(
            f"the command {point.name!r} cannot be loaded ({error}); "
            "install what it needs with: pip install 'picktune[retrain]'"
        ) from error
    return command
