"""``picktune plan``: how much memory a training will take, and what to change if there is not as much."""

from __future__ import annotations

import os
import re
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

import click
import msgspec
from picktune.commands.options import JSON, configured, console
from picktune.settings import Settings

from picktune_retrain.cards import MemoryPlan
from picktune_retrain.cards import plan as plan_memory
from picktune_retrain.memory import GIB, Method, Precision, Work
from picktune_retrain.records import Recipe
from picktune_retrain.shape import shape

if TYPE_CHECKING:
    from rich.table import Table

RECIPE = Recipe()
REPLIES = 4
_UNITS = {"": GIB, "g": GIB, "m": 2**20, "t": 2**40}


def amount(text: str) -> int:
    """Memory in bytes, as makers of cards write it: 24GB is 24 GiB, which is what such a card holds."""
    read = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?) ?([gmt]?)(?:i?b)?", text.strip().lower(), re.ASCII)
    found = round(float(read[1]) * _UNITS[read[2]]) if read else 0
    if not found:
        raise click.BadParameter(f"{text!r} is no amount of memory; write it like 24GB")
    return found


@click.command()
@JSON
@click.option(
    "--model", help="A folder, a config.json, or an id in Hugging Face's cache; otherwise the configured one."
)
@click.option("--method", type=click.Choice(get_args(Method)), default="lora", show_default=True)
@click.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    help="Of the base's weights.  [default: bf16; nf4 for qlora]",
)
@click.option(
    "--gpu",
    "card",
    type=amount,
    metavar="MEMORY",
    help="The memory of one card, as 24GB; otherwise this machine's own is planned for.",
)
@click.option(
    "--cards", type=click.IntRange(1, 1024), default=1, show_default=True, help="How many there are."
)
@click.option(
    "--tokens",
    type=click.IntRange(16, 10_000_000),
    default=RECIPE.max_prompt + REPLIES * RECIPE.max_reply,
    show_default=True,
    help="Of the longest choice set: a prompt and four replies that are together as long.",
)
@click.option(
    "--batch", type=click.IntRange(1, 1024), default=RECIPE.batch, show_default=True, help="Sets a step."
)
@click.option(
    "--rank", type=click.IntRange(1, 256), default=RECIPE.rank, show_default=True, help="Of the adapter."
)
@click.option(
    "--trained-layers",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="How many the method freeze leaves thawed.",
)
@click.option(
    "--checkpointing", is_flag=True, help="Keep the inputs of the layers only and compute the rest again."
)
@configured
def plan(
    settings: Settings,
    as_json: bool,
    model: str | None,
    method: Method,
    precision: Precision | None,
    card: int | None,
    cards: int,
    tokens: int,
    **options: Any,
) -> None:
    """Plan the memory of a training from the model's config.json alone; no weights are read.

    Exits with 0 if it fits and with 3 if it does not.
    """
    if cards > 1 and card is None:
        raise click.UsageError("--cards needs --gpu: how much memory does each of them have?")
    reply = max(1, tokens // (2 * REPLIES))
    work = Work(
        method=method,
        precision=precision or ("nf4" if method == "qlora" else "bf16"),
        prompt=tokens - REPLIES * reply,
        reply=reply,
        replies=REPLIES,
        on_gpu=card is not None,
        **options,
    )
    found = plan_memory(shape(model or settings.model), work, card=card or _machine(), cards=cards)
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        show(found, model or settings.model or "the sample model")
    if found.fits is False:
        sys.exit(3)


def show(found: MemoryPlan, name: str) -> None:
    """Print a plan for people."""
    from rich.markup import escape

    out = console()
    say = partial(out.print, soft_wrap=True, emoji=False)
    one, work = found.shape, found.work
    say(
        f"[bold]{escape(name)}[/]: {one.parameters:,} parameters ({one.family}, {one.layers} layers), "
        f"of which {found.trained:,} are trained ({found.trained / one.parameters:.2%})"
    )
    out.print(_table(found))
    place = f"{found.cards} × " if found.cards > 1 else ""
    if found.card is not None:
        where = f"a card of {_gib(found.card)}" if work.on_gpu else f"this machine's {_gib(found.card)}"
        verdict = "[green]fits[/]" if found.fits else "[red]does not fit[/]"
        aside = f"{_gib(found.reserve)} set aside for {'CUDA' if work.on_gpu else 'the process itself'}"
        say(f"{place}{_gib(found.each)} {verdict} into {where}, {aside}.")
    if work.on_gpu:
        needed = (
            f"{found.needed}" if found.needed else "no number of cards is enough: a row alone is too long"
        )
        say(f"Cards needed, with weights and optimiser shared out among them (ZeRO 3, FSDP): {needed}")
    for change in found.changes:
        say(f"  it would fit with [bold]{change.options}[/] ({_gib(change.peak)} on each)")
    say(
        f"Serving: the KV cache takes {found.kv_a_token / 1024:,.0f} KiB a token, "
        f"{_gib(found.kv_a_token * work.batch * (work.prompt + work.reply))} for {work.batch} conversations "
        f"of {work.prompt + work.reply} tokens. Training keeps none."
    )
    for rule in found.rules:
        cards = f", {_count(rule.cards, 'card')}" if rule.cards and work.on_gpu else ""
        size = "a byte" if rule.bytes_a_number == 1 else f"{rule.bytes_a_number:g} bytes"
        say(
            f"Rule of thumb, no more (parameters × {size} × 4): "
            f"{rule.total / 1e9:,.1f} GB = {_gib(rule.total)}{cards}"
        )
    say(_basis(found))


def _table(found: MemoryPlan) -> Table:
    from rich.table import Table

    parts, work = found.parts, found.work
    sets = _count(work.row.sets, "set")
    table = Table(
        "",
        "What it is",
        title=f"{work.method}, {work.precision}, on one card"
        if work.on_gpu
        else f"{work.method}, {work.precision}, on a CPU",
        title_justify="left",
    )
    table.add_column("Memory", justify="right")
    rows = [
        ("weights", "the base", parts.weights),
        ("adapter", f"rank {work.rank}, in fp32 and as it is computed with", parts.adapter),
        ("gradients", "of what is trained", parts.gradients),
        ("optimiser", "AdamW: two moments in fp32, and a master copy if trained in bf16", parts.optimiser),
        (
            "activations",
            f"what a row of {found.row_tokens} tokens ({sets}) keeps for the way back",
            parts.activations,
        ),
        ("attention", "attention weights that are kept", parts.attention),
        ("working", "what comes and goes", parts.working),
        ("allocator", "what the C library cannot hand out again, and libraries keep", parts.allocator),
    ]
    for label, what, size in rows:
        if size:
            table.add_row(label, what, _gib(size))
    table.add_section()
    if parts.start:
        table.add_row("start", "before the first step: loading, self-check in fp32", _gib(parts.start))
    table.add_row(
        "[bold]peak[/]", "the larger of the two" if parts.start else "", f"[bold]{_gib(found.peak)}[/]"
    )
    return table


def _basis(found: MemoryPlan) -> str:
    if found.checked:
        return "[dim]Picktune's trainer does this; the formula was compared with measured peaks.[/]"
    if found.ours:
        return "[dim]Picktune's trainer does this; on a GPU it is planned from formulas, not measured.[/]"
    return "[dim]Picktune's trainer does not do this; planned from published formulas, not measured.[/]"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _gib(size: int) -> str:
    return f"{size / GIB:,.2f} GiB"


def _machine() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):  # not every system says
        return None
