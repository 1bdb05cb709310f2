"""``picktune doctor``: whether the vLLM servers are what Picktune needs, and what to change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from picktune.commands.options import JSON, configured
from picktune.settings import Settings

if TYPE_CHECKING:
    from picktune.engines.doctor import Diagnosis

_COLOURS = {"ok": "green", "warning": "yellow", "fault": "red"}
_MARKS = {"ok": "ok", "warning": "!", "fault": "X"}


@click.command()
@click.option("--vllm-url", multiple=True, help="A server to look at, instead of those of the settings.")
@click.option("--timeout", type=click.FloatRange(0.1, 600), default=10.0, show_default=True, help="Seconds.")
@JSON
@configured
@click.pass_context
def doctor(
    ctx: click.Context, settings: Settings, vllm_url: tuple[str, ...], timeout: float, as_json: bool
) -> None:
    """Look at the vLLM servers, and say what to change.

    Nothing is loaded into them. The exit code is 0 if nothing is at fault, and 1 if something is.
    """
    import httpx

    from picktune.commands.progress import advancing
    from picktune.engines.doctor import diagnose

    urls = vllm_url or settings.vllm.urls or (settings.vllm_url,)
    ranks, bases = _registered(settings)
    found: list[Diagnosis] = []
    with (
        httpx.Client(timeout=timeout, trust_env=False) as client,
        advancing("servers", len(urls), shown=not as_json) as done,
    ):
        for url in urls:
            found.append(diagnose(url, key=settings.vllm_key, ranks=ranks, bases=bases, client=client))
            done()
    sound = all(one.sound for one in found)
    if as_json:
        servers = [{"sound": one.sound, **msgspec.to_builtins(one)} for one in found]
        click.echo(msgspec.json.encode({"sound": sound, "servers": servers}))
    else:
        for one in found:
            _tell(one)
    if not sound:
        ctx.exit(1)


def _registered(settings: Settings) -> tuple[list[int], list[str]]:
    """The ranks and base models of the adapters that an alias names."""
    from picktune_adapters.errors import AdapterError
    from picktune_adapters.registry import Registry

    registry = Registry(settings.registry_path)
    aliases = registry.aliases()
    versions = []
    for name in (aliases.champion, aliases.challenger):
        try:
            versions += [registry.get(name)] if name else []
        except AdapterError as error:
            click.secho(f"Note: {error}", fg="yellow", err=True)
    return [one.rank for one in versions if one.kind == "lora"], [one.base_model for one in versions]


def _tell(found: Diagnosis) -> None:
    click.secho(found.url, bold=True)
    for one in found.findings:
        click.echo(
            f"  {click.style(f'{_MARKS[one.level]:>2}', fg=_COLOURS[one.level])}  {one.check}: {one.says}"
        )
        if one.mend:
            click.echo(f"        {one.mend}")
    click.secho(
        "  nothing is at fault" if found.sound else "  AT FAULT", fg="green" if found.sound else "red"
    )
