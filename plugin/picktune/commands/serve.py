"""``picktune serve``: the sidecar, with uvicorn."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from picktune import logs
from picktune.commands.auditing import noting
from picktune.commands.link import ROLES, base_url, sign_in_link
from picktune.commands.options import CONFIG, HOME
from picktune.logs import LogFormat
from picktune.records import AnnotatorRole
from picktune.settings import Settings, config_file, load_settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from picktune.engines.spawn import SpawnedVLLM, VLLMCommand
    from picktune.reload import Reloader
    from picktune.service import Service

BACKLOG = 2048


@click.command()
@HOME
@CONFIG
@click.option("--host", help="The address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), help="The port to listen at; 0 is any free one.")
@click.option("--model", help="The base model: a folder, or an id known to Hugging Face.")
@click.option("--engine", type=click.Choice(["local", "vllm"]), help="What makes the replies.")
@click.option("--vllm-url", help="Where vLLM listens, for the engine vllm.")
@click.option(
    "--spawn-vllm", metavar="MODEL", help="Start vLLM with this base model ('sample' for the sample model)."
)
@click.option("--vllm-python", help="The Python of the environment that vLLM is installed in.")
@click.option("--no-vllm-plugin", is_flag=True, help="Start vLLM without Picktune's plugin for CPUs.")
@click.option("--policy", help="How many replies the base and the tuned model give: 2+2, 1+1, 1 or base.")
@click.option("--viewer", default="agent", show_default=True, help="Whom the printed link signs in.")
@click.option(
    "--viewer-role", type=click.Choice(ROLES), default="agent", show_default=True, help="As whom they decide."
)
@click.option("--open", "open_browser", is_flag=True, help="Open the workbench in a browser.")
@click.option("--allow-remote", is_flag=True, help="Listen at an address that other machines reach.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="How much to say on stderr.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json: one line of JSON a record, and one for each request.",
)
@click.option(
    "--drain-seconds",
    type=click.IntRange(0, 86400),
    default=10,
    show_default=True,
    help="How long slates that are being drawn may take after SIGTERM.",
)
def serve(
    home: Path | None,
    config: Path | None,
    viewer: str,
    viewer_role: AnnotatorRole,
    open_browser: bool,
    allow_remote: bool,
    log_level: str,
    log_format: LogFormat,
    drain_seconds: int,
    spawn_vllm: str | None,
    vllm_python: str | None,
    no_vllm_plugin: bool,
    **given: Any,
) -> None:
    """Serve the workbench and the API until it is stopped."""
    settings = as_read = load_settings(config, home=home, **given)
    if not (allow_remote or _is_loopback(settings.host)):
        raise click.UsageError(
            f"{settings.host} can be reached from other machines, and this server speaks plain HTTP; put a "
            "proxy with TLS before it, set secure_cookies, and say --allow-remote"
        )
    logs.set_up(log_level, log_format)
    # The port first: finding it used must not wait until a model is there.
    bound = _bind(settings)
    spawned = None
    try:
        if spawn_vllm is not None:
            spawned, settings = _spawn(settings, spawn_vllm, vllm_python, not no_vllm_plugin)
        from picktune.app import create_app
        from picktune.reload import Reloader

        url = base_url(settings.host, bound.getsockname()[1])

        def announce() -> None:
            with noting(settings, "link_made", viewer, role=viewer_role, admin="yes"):
                link = sign_in_link(settings, url, viewer, viewer_role, admin=True)
            click.echo(f"Picktune serves {url}{settings.prefix}")
            click.echo(f"Sign in as {viewer} (within fifteen minutes; later: picktune link): {link}")
            if open_browser:
                click.launch(link)

        app = create_app(settings)
        served = logs.RequestLog(app) if log_format == "json" else app

        def read() -> Settings:
            return load_settings(config, home=home, **given)

        path = config_file(config, os.environ)
        reloader = Reloader(app.state.service, read, path, as_read=as_read)
        _run(served, app.state.service, bound, announce, drain_seconds, reloader)
    finally:
        bound.close()
        if spawned is not None:
            spawned.stop()


def _spawn(settings: Settings, model: str, python: str | None, plugin: bool) -> tuple[SpawnedVLLM, Settings]:
    """A vLLM of our own, starting, and the settings that lead to it."""
    from msgspec import structs

    from picktune.engines.smollm2 import model_folder
    from picktune.engines.spawn import SpawnedVLLM, default_python, vllm_command

    wanted = settings.vllm
    served = str(model_folder()) if model == "sample" else model

    def make(port: int, key: str) -> VLLMCommand:
        return vllm_command(
            python or wanted.python or default_python(),
            served,
            port=port,
            key=key,
            max_rank=wanted.max_rank,
            max_loras=wanted.max_loras,
            options=wanted.options,
            plugin=plugin and wanted.plugin,
        )

    spawned = SpawnedVLLM(make, settings.folder / "vllm.log")
    spawned.start()
    return spawned, structs.replace(
        settings,
        engine="vllm",
        vllm_url=spawned.url,
        vllm_key=spawned.key,
        vllm=structs.replace(wanted, urls=()),
    )


def _run(
    app: ASGIApp,
    service: Service,
    bound: socket.socket,
    announce: Callable[[], None],
    drain_seconds: int,
    reloader: Reloader,
) -> None:
    from picktune.draining import DrainingServer
    from picktune.listening import notice_the_gone, server_config

    notice_the_gone(bound, service.settings.slow_client)
    config = server_config(app, service.settings)
    server = DrainingServer(config, service, seconds=drain_seconds, started_up=announce, reloader=reloader)
    try:
        server.run(sockets=[bound])
    except KeyboardInterrupt:
        return
    if not server.started:
        raise click.ClickException("the server did not start; what it said above is why")


def _bind(settings: Settings) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise click.ClickException(f"there is no address {settings.host}: {error.strerror}") from error
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise click.ClickException(
            f"cannot listen at {settings.host} port {settings.port}: {error.strerror}; "
            "stop what listens there, or choose another with --port"
        ) from error
    return bound


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
