"""``picktune keys``: API keys for servers that draw slates and send picks."""

from __future__ import annotations

import click
import msgspec

from picktune.commands.auditing import auditing
from picktune.commands.options import JSON, configured, console
from picktune.keys import SCOPES, ApiKey, KeyRing, Scope
from picktune.records import utc_now
from picktune.settings import Settings

NAME = click.option("--name", required=True, help="What the key is called: for whom it is.")


@click.group()
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command("create")
@NAME
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    default=("slate", "pick", "read"),
    show_default=True,
    help="What it may do; may be given several times.",
)
@configured
def create(settings: Settings, name: str, scopes: tuple[Scope, ...]) -> None:
    """Make a key and print it. It cannot be shown again: only its hash is kept."""
    with auditing(settings, "key_created", name, scopes=", ".join(scopes)):
        text, _ = _ring(settings).create(name, scopes, now=utc_now())
    click.echo(text)
    click.secho(f"{name}: {', '.join(scopes)}. Keep it now; it is not shown again.", err=True, dim=True)


@keys.command("list")
@JSON
@configured
def list_(settings: Settings, as_json: bool) -> None:
    """List the keys, without the keys themselves."""
    found = _ring(settings).all()
    if as_json:
        click.echo(msgspec.json.encode([_shown(key) for key in found]))
        return
    if not found:
        click.echo("No keys yet; make one with: picktune keys create --name NAME")
        return
    from rich.table import Table

    table = Table("Name", "Scopes", "Created", "Revoked")
    for key in found:
        revoked = "" if key.revoked_at is None else f"{key.revoked_at:%Y-%m-%d %H:%M}"
        table.add_row(
            key.name,
            ", ".join(key.scopes),
            f"{key.created_at:%Y-%m-%d %H:%M}",
            revoked,
            style="dim" if revoked else None,
        )
    console().print(table)


@keys.command("revoke")
@NAME
@configured
def revoke(settings: Settings, name: str) -> None:
    """Make a key worthless, at once and for good."""
    with auditing(settings, "key_revoked", name):
        _ring(settings).revoke(name, now=utc_now())
    click.echo(f"{name} is revoked.")


def _ring(settings: Settings) -> KeyRing:
    return KeyRing(settings.folder / "keys.json")


def _shown(key: ApiKey) -> dict[str, object]:
    return {
        "name": key.name,
        "scopes": key.scopes,
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
    }
