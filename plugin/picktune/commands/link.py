"""``picktune link``: a fresh sign-in link for a person with a browser."""

from __future__ import annotations

from typing import get_args

import click

from picktune.auth import WORKBENCH_SCOPES, Auth
from picktune.commands.auditing import auditing
from picktune.commands.options import configured
from picktune.keys import Scope
from picktune.records import AnnotatorRole
from picktune.settings import Settings

ROLES = get_args(AnnotatorRole)


@click.command()
@click.argument("name", default="agent")
@click.option(
    "--role", type=click.Choice(ROLES), default="agent", show_default=True, help="As whom they decide."
)
@click.option("--admin", is_flag=True, help="Let them move the adapters' aliases too.")
@click.option("--url", help="Scheme, host and port of the server, if not the configured ones.")
@configured
def link(settings: Settings, name: str, role: AnnotatorRole, admin: bool, url: str | None) -> None:
    """Print a link that signs NAME in.

    It opens for fifteen minutes; the session that it opens lasts twelve hours.
    """
    with auditing(settings, "link_made", name, role=role, admin="yes" if admin else "no"):
        made = sign_in_link(settings, url or base_url(settings.host, settings.port), name, role, admin=admin)
    click.echo(made)


def sign_in_link(settings: Settings, url: str, name: str, role: AnnotatorRole, *, admin: bool = False) -> str:
    """The address that signs somebody in to the server at ``url``."""
    auth = Auth(settings.folder, prefix=settings.prefix, secure_cookies=settings.secure_cookies)
    scopes: tuple[Scope, ...] = (*WORKBENCH_SCOPES, "admin") if admin else WORKBENCH_SCOPES
    return auth.enter_link(url, name, role=role, scopes=scopes)


def base_url(host: str, port: int) -> str:
    """Where a browser on this machine reaches a server that is bound to ``host``."""
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
