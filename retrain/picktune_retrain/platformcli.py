"""``picktune dataset finetune``: a stored dataset to a platform's fine-tuning API."""

from __future__ import annotations

import os
from typing import get_args

import click
from picktune.commands.options import configured
from picktune.engines.remote import KEY
from picktune.records import utc_now
from picktune.settings import Settings
from picktune_adapters.registry import Registry

from picktune_retrain.platform.rows import Method


@click.command()
@click.argument("dataset", required=False)
@click.option("--platform", "url", required=True, help="Its address, as https://api.openai.com/v1.")
@click.option("--model", required=True, help="The platform's model to fine-tune.")
@click.option("--method", type=click.Choice(get_args(Method)), default="dpo", show_default=True)
@click.option("--epochs", type=click.IntRange(1, 100), help="Otherwise the platform chooses.")
@click.option("--beta", type=click.FloatRange(0, min_open=True), help="Of DPO; else the platform chooses.")
@click.option("--suffix", help="Becomes part of the model's name there (64 characters at most).")
@click.option("--dry-run", is_flag=True, help="Say what would be sent; send and write nothing.")
@configured
def finetune(
    settings: Settings,
    dataset: str | None,
    url: str,
    model: str,
    method: Method,
    epochs: int | None,
    beta: float | None,
    suffix: str | None,
    dry_run: bool,
) -> None:
    """Let a platform fine-tune its model on the rows of a DATASET, and register what comes of it.

    The API key is taken from PICKTUNE_PLATFORM_KEY. What was killed goes on when it is run again.
    """
    from picktune_retrain import dataset as datasets
    from picktune_retrain import nights
    from picktune_retrain.platform import Platform, Wanted
    from picktune_retrain.platform import finetune as run
    from picktune_retrain.platform.rows import rows_of

    folder = settings.folder / "datasets"
    rows = datasets.load_dataset(datasets.find_dataset(dataset, folder).id, folder)
    wanted = Wanted(model=model, method=method, epochs=epochs, beta=beta, suffix=suffix)
    with Platform(url, os.environ.get(KEY)) as platform:
        if dry_run:
            count = sum(1 for _ in rows_of(rows.train, method))
            click.echo(f"would send {count} rows of dataset {rows.version.id[:12]} to {platform.url}")
            return
        with nights.exclusive(settings.folder, utc_now()), nights.disk_has_room(settings.folder):
            datasets.save_lineage(rows, settings.folder)
            registry = Registry(settings.registry_path)
            made = run(platform, wanted, rows, settings.folder, registry, now=utc_now, hear=click.echo)
    click.echo(f"registered as {made.name}; put it on trial with: picktune gate challenge {made.name}")
