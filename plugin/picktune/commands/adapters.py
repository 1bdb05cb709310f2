"""``picktune adapters``, ``promote``, ``rollback``: which there are, which speak, and which may go."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal, get_args

import click
import msgspec
from picktune_adapters import AdapterKind, AdapterVersion, AliasChange, Aliases
from picktune_adapters.registry import Registry

from picktune.commands.auditing import auditing
from picktune.commands.options import CONFIG, HOME, JSON, REASON, an_age, by_option, configured, console
from picktune.records import utc_now
from picktune.settings import Settings, load_settings

SERVED: dict[AdapterKind, str] = {
    "lora": "beside the base: the local engine, and vLLM's adapters",
    "prompt": "beside the base: the local engine only",
    "checkpoint": "as a model of its own: the local engine, or a vLLM server named in vllm.checkpoints",
    "remote": "by the platform that trained it, over HTTP; the key is PICKTUNE_PLATFORM_KEY",
}


@click.group(invoke_without_command=True)
@JSON
@HOME
@CONFIG
@click.pass_context
def adapters(ctx: click.Context, home: Path | None, config: Path | None, as_json: bool) -> None:
    """List the adapter versions, oldest first, of which kind they are, and which of them speak."""
    if ctx.invoked_subcommand is not None:
        return
    registry = Registry(load_settings(config, home=home).registry_path)
    aliases, versions, faults = registry.aliases(), registry.versions(), registry.faults()
    if as_json:
        click.echo(msgspec.json.encode({"aliases": aliases, "versions": versions}))
    elif not versions and not faults:
        click.echo("No adapters yet; the base model speaks alone. Train one with: picktune nightly")
    else:
        _print(versions, aliases)
    for fault in faults:
        click.secho(f"damaged: {fault.message}", fg="red", err=True)


@click.command()
@click.argument("name")
@REASON
@by_option
@configured
def promote(settings: Settings, name: str, reason: str, by: str) -> None:
    """Make the adapter NAME the champion.

    Running servers follow within seconds, without a restart.
    """
    promote_by_hand(settings, name, reason, by)


@click.command()
@REASON
@by_option
@configured
def rollback(settings: Settings, reason: str, by: str) -> None:
    """Make the champion before this one champion again.

    Running servers follow within seconds, without a restart. Before the first champion there is the base.
    """
    rollback_by_hand(settings, reason, by)


@adapters.command()
@click.argument("name")
@JSON
@configured
def show(settings: Settings, name: str, as_json: bool) -> None:
    """Tell all that is known of the adapter NAME, and how it is served."""
    registry = Registry(settings.registry_path)
    version, size = registry.get(name), registry.size(name)
    if as_json:
        told = msgspec.to_builtins(version) | {"size": size, "folder": str(registry.folder(name))}
        click.echo(msgspec.json.encode(told))
        return
    aliases = registry.aliases()
    speaks = {aliases.champion: "champion", aliases.challenger: "challenger"}.get(name, "nobody now")
    facts = {
        "kind": kind_words(version),
        "served": SERVED[version.kind],
        "speaks as": speaks,
        "base model": version.base_model,
        "picks": f"{version.picks}{' simulated' if version.simulated else ''}",
        "dataset": version.dataset_id,
        "night": version.run_id,
        "created": f"{version.created_at:%Y-%m-%d %H:%M} UTC",
        "size": _size(size),
        "folder": str(registry.folder(name)),
        "SHA-256": version.sha256,
    } | {key: f"{value:.4g}" for key, value in version.metrics.items()}
    width = max(map(len, facts))
    click.echo(click.style(name, bold=True))
    for key, value in facts.items():
        click.echo(f"  {key:<{width}}  {value}")


@adapters.command()
@click.option(
    "--kind",
    type=click.Choice([*get_args(AdapterKind), "all"]),
    default="checkpoint",
    show_default=True,
    help="Which versions may go.",
)
@click.option(
    "--keep", type=click.IntRange(0), default=2, show_default=True, help="How many of the newest stay."
)
@click.option("--older-than", "age", callback=an_age, help="Only those from before then: 90d, 8w or 12h.")
@click.option("--dry-run", is_flag=True, help="Say what would be deleted, and delete nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@by_option
@configured
def prune(
    settings: Settings,
    kind: AdapterKind | Literal["all"],
    keep: int,
    age: timedelta | None,
    dry_run: bool,
    yes: bool,
    by: str,
) -> None:
    """Delete the files of old versions: checkpoints, unless told otherwise, are as large as the model.

    Champion and challenger stay, and the champion to whom a rollback would go back. Names and lineage stay on
    record.
    """
    from picktune_adapters.retention import removable

    registry = Registry(settings.registry_path)
    before = None if age is None else utc_now() - age
    going = removable(registry, kind=None if kind == "all" else kind, keep=keep, before=before)
    sizes = {one.name: registry.size(one.name) for one in going}
    for one in going:
        click.echo(f"{one.name}  {one.kind}  {one.created_at:%Y-%m-%d %H:%M} UTC  {_size(sizes[one.name])}")
    total = f"{len(going)} version{'' if len(going) == 1 else 's'}, {_size(sum(sizes.values()))}"
    if dry_run or not going:
        click.echo(f"would delete {total}" if going else "nothing to delete")
        return
    if not yes:
        click.confirm(f"Delete {total}?", abort=True)
    reason = f"picktune adapters prune --kind {kind} --keep {keep}"
    for one in going:
        with auditing(settings, "adapter_removed", one.name, by=by, reason=reason):
            registry.remove(one.name, by=by, reason=reason, now=utc_now())
    click.echo(f"deleted {total}")


def promote_by_hand(settings: Settings, name: str, reason: str, by: str) -> None:
    """Promote, note it, and say what was moved."""
    from picktune.gate.keeper import Gate, signed

    signed(by, reason)
    with auditing(settings, "promoted", name, by=by, reason=reason) as told:
        change = Gate(settings).promote(name, by=by, reason=reason)
        told["before"] = change.before or "the base"
    say(change)


def rollback_by_hand(settings: Settings, reason: str, by: str) -> None:
    """Roll back, note it, and say what was moved."""
    from picktune.gate.keeper import Gate, signed

    signed(by, reason)
    with auditing(settings, "rolled_back", by=by, reason=reason) as told:
        change = Gate(settings).rollback(by=by, reason=reason)
        told.update(before=change.before or "the base", after=change.after or "the base")
    say(change)


def say(change: AliasChange) -> None:
    """What a move did to its alias."""
    before, after = change.before or "the base", change.after or "the base"
    if before == after:
        click.echo(f"{after} is the {change.alias} already; nothing was moved.")
    else:
        click.echo(f"The {change.alias} is now {after}; before, it was {before}.")


def kind_words(version: AdapterVersion) -> str:
    """What a version is, in a few words."""
    if version.kind == "checkpoint":
        return f"checkpoint ({version.method}): a model of its own"
    if version.kind == "prompt":
        return f"prompt adapter ({version.method}): {version.rank} virtual tokens"
    if version.kind == "remote":
        return f"remote ({version.method}): served by a platform"
    return f"LoRA ({version.method}), rank {version.rank}"


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**29 else f"{count / 2**20:.2f} MiB"


def _print(versions: list[AdapterVersion], aliases: Aliases) -> None:
    from rich.table import Table

    table = Table("Name", "Speaks as", "Kind", "Picks", "Accuracy", "Rank", "Base", "Dataset", "Created")
    for column in ("Picks", "Accuracy", "Rank"):
        next(one for one in table.columns if one.header == column).justify = "right"
    for version in versions:
        alias = {aliases.champion: "champion", aliases.challenger: "challenger"}.get(version.name, "")
        accuracy = version.metrics.get("accuracy")
        table.add_row(
            version.name,
            alias,
            version.kind if version.method == version.kind else f"{version.kind} ({version.method})",
            f"{version.picks}{' simulated' if version.simulated else ''}",
            "" if accuracy is None else f"{accuracy:.0%}",
            str(version.rank) if version.rank else "",
            version.base_model.rstrip("/").rsplit("/", 1)[-1],
            version.dataset_id[:12],
            f"{version.created_at:%Y-%m-%d %H:%M}",
            style="bold" if alias else None,
        )
    console().print(table)
