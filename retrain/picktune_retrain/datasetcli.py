"""``picktune dataset``: make a dataset version without training, look at it, compare it, ask it why."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
import msgspec
from picktune.commands.auditing import auditing
from picktune.commands.options import JSON, by_option, configured, console
from picktune.commands.progress import progress_bar
from picktune.records import AnnotatorRole, ChoiceSet, Selection, utc_now
from picktune.settings import Settings

from picktune_retrain import nights
from picktune_retrain.dataoptions import data_of, data_options, moment
from picktune_retrain.platformcli import finetune
from picktune_retrain.records import Dataset, DatasetVersion, ExtraKind

if TYPE_CHECKING:
    from picktune.log import SQLiteLogReader

WHICH = click.argument("dataset", required=False)


@click.group()
def dataset() -> None:
    """Make dataset versions without training, look at them, compare them, and ask them why."""


dataset.add_command(finetune)


@dataset.command()
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(get_args(AnnotatorRole)),
    help="Whose picks count, instead of the setting roles; may be given several times.",
)
@click.option("--until", type=moment, metavar="MOMENT", help="Leave out picks from this moment on (UTC).")
@data_options
@click.option(
    "--with",
    "extras",
    multiple=True,
    type=click.Choice(get_args(ExtraKind)),
    help="Hold these rows too, as a night with other objectives does; may be given several times.",
)
@click.option("--seed", type=click.IntRange(0), default=0, help="Where new conversations go.")
@click.option("--dry-run", is_flag=True, help="Say what it would be; write nothing.")
@JSON
@configured
def build(
    settings: Settings,
    roles: tuple[AnnotatorRole, ...],
    until: datetime | None,
    extras: tuple[ExtraKind, ...],
    seed: int,
    dry_run: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Make a dataset version of the picks in the log, as a night would, and keep it."""
    from picktune.log import SQLiteLogReader

    from picktune_retrain.dataset import build_dataset, load_hold_out, load_splits, save_dataset, save_splits

    now, folder = utc_now(), settings.folder / "datasets"
    counted = roles or settings.roles

    def make(reader: SQLiteLogReader) -> Dataset:
        with progress_bar() as tell:
            total, _ = reader.count_selected(Selection(until=until or now, roles=counted))
            return build_dataset(
                reader,
                until=until or now,
                roles=counted,
                seed=seed,
                now=now,
                earlier=load_splits(folder),
                extras=extras,
                recipe=data_of(flags),
                hold_out=load_hold_out(folder),
                spool=settings.folder,
                progress=lambda done: tell("reading the log", done, total),
            )

    with SQLiteLogReader(settings.log_path) as reader:
        if dry_run:
            made = make(reader)
        else:
            with nights.exclusive(settings.folder, now), nights.disk_has_room(settings.folder):
                made = make(reader)
                save_splits(made, folder)
                save_dataset(made, folder)
    _show(made.version, as_json)
    if not dry_run and not as_json:
        click.echo(f"kept in {folder / made.version.id}")


@dataset.command(name="list")
@JSON
@configured
def list_(settings: Settings, as_json: bool) -> None:
    """List the stored versions, the oldest first."""
    from rich.table import Table

    from picktune_retrain.dataset import stored_versions
    from picktune_retrain.dataset.split import SPLITS

    known = stored_versions(settings.folder / "datasets")
    if as_json:
        click.echo(msgspec.json.encode(known))
        return
    if not known:
        click.echo("No dataset yet. Make one with: picktune dataset build")
        return
    table = Table()
    table.add_column("Dataset", no_wrap=True)  # what the other commands take
    for name in ("Made (UTC)", "Until (UTC)"):
        table.add_column(name)
    for name in ("Train", "Validation", "Test", "Left out"):
        table.add_column(name, justify="right")
    for one in known:
        counts = (*(one.counts[split] for split in SPLITS), sum(one.dropped.values()))
        times = (f"{at:%Y-%m-%d %H:%M}" for at in (one.created_at, one.until))
        table.add_row(one.id[:12], *times, *(f"{count:,}" for count in counts))
    console().print(table)


@dataset.command()
@WHICH
@click.option("--rows", type=click.IntRange(0, 1000), default=0, help="Print so many rows of each split.")
@click.option(
    "--card", type=click.Path(path_type=Path, dir_okay=False), help="Write its card there: one HTML page."
)
@click.option("--locale", type=click.Choice(["en", "zh"]), default="en", help="The card's first language.")
@JSON
@configured
def show(
    settings: Settings, dataset: str | None, rows: int, card: Path | None, locale: Any, as_json: bool
) -> None:
    """Show a DATASET, named by the beginning of its id; without one, the newest."""
    from picktune_retrain.dataset import find_dataset, load_dataset

    folder = settings.folder / "datasets"
    version = find_dataset(dataset, folder)
    _show(version, as_json)
    if not rows and card is None:
        return
    whole = load_dataset(version.id, folder)
    for one in _some(whole, rows):
        click.echo(msgspec.json.encode(one))
    if card is not None:
        from picktune_retrain.report.datasetcard import write_card

        write_card(whole, card, locale=locale)
        click.echo(f"card: {card}", err=as_json)


@dataset.command()
@click.argument("before")
@click.argument("after", required=False)
@JSON
@configured
def diff(settings: Settings, before: str, after: str | None, as_json: bool) -> None:
    """Say what changed from the dataset BEFORE to AFTER, or to the newest; each by how its id begins."""
    from picktune_retrain.dataset import find_dataset
    from picktune_retrain.dataset.diff import diff as compare

    folder = settings.folder / "datasets"
    found = compare(find_dataset(before, folder), find_dataset(after, folder), folder)
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    click.secho(f"{found.before[:12]} → {found.after[:12]}", bold=True)
    for what, counts, slates in (
        ("added", found.added, found.added_slates),
        ("removed", found.removed, found.removed_slates),
    ):
        told = ", ".join(f"{count:,} {split}" for split, count in counts.items() if count) or "none"
        click.echo(f"{what}: {told}{_named(slates)}")
    click.echo(f"unchanged: {found.unchanged:,}; changed: {found.changed:,}; moved: {len(found.moved):,}")
    for one in found.moved[:20]:
        click.secho(f"  {one.slate_id} moved from {one.before} to {one.after}", fg="red")
    for rule, (was, now) in found.dropped.items():
        click.echo(f"left out as {rule}: {was:,} → {now:,}")
    for name, (said, says) in found.asked.items():
        click.echo(f"asked for {name}: {said or 'nothing'} → {says or 'nothing'}")


@dataset.command()
@click.argument("row")
@click.option("--dataset", help="Of this version, by how its id begins; otherwise of the newest.")
@JSON
@configured
def why(settings: Settings, row: str, dataset: str | None, as_json: bool) -> None:
    """Say why a ROW is in a dataset or is not; it is a slate's id, or a pick's number in the log."""
    from picktune_retrain.dataset import find_dataset
    from picktune_retrain.dataset.why import why as ask

    version = find_dataset(dataset, settings.folder / "datasets")
    found = ask(row, version, settings.folder, settings.log_path)
    if as_json:
        click.echo(msgspec.json.encode({"dataset": version.id, "answers": found}))
        return
    click.secho(f"dataset {version.id[:12]}", bold=True)
    for one in found:
        at = f", decided {one.decided_at:%Y-%m-%d %H:%M:%S} UTC" if one.decided_at else ""
        where = one.split or (f"left out as {one.rule}" if one.rule else "not in it")
        click.echo(f"slate {one.slate_id}{at}: {where}")
        click.echo(f"  {one.because}")
        if one.remedy:
            click.echo(f"  what to do: {one.remedy}")


@dataset.command()
@WHICH
@click.option("--name", default="first", show_default=True, help="What it is called: a-z, 0-9, . _ and -.")
@by_option
@JSON
@configured
def freeze(settings: Settings, dataset: str | None, name: str, by: str, as_json: bool) -> None:
    """Freeze the held-out picks of a DATASET (the newest, unless named) as the hold-out, for good."""
    from picktune_retrain.dataset import find_dataset, load_dataset
    from picktune_retrain.dataset import freeze as make

    now, folder = utc_now(), settings.folder / "datasets"
    whole = load_dataset(find_dataset(dataset, folder).id, folder)
    with nights.exclusive(settings.folder, now), auditing(settings, "hold_out_frozen", name, by=by):
        made = make(whole.test, folder, name=name, dataset_id=whole.version.id, now=now)
    if as_json:
        told = {"name": made.name, "picks": len(made.rows), "sha256": made.sha256}
        click.echo(msgspec.json.encode(told))
        return
    click.echo(f"{len(made.rows)} held-out picks are frozen for good as {made.name!r}")


def _show(version: DatasetVersion, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(version))
        return
    from rich.table import Table

    from picktune_retrain.dataset import RULES

    out = console()
    out.print(f"[bold]dataset {version.id[:12]}[/bold], picks until {version.until:%Y-%m-%d %H:%M} UTC")
    table = Table("Split")
    for name in ("Picks", "Conversations"):
        table.add_column(name, justify="right")
    for split, count in version.counts.items():
        table.add_row(split, f"{count:,}", f"{version.conversations[split]:,}")
    out.print(table)
    if version.dropped:
        table = Table("Left out as", "Which is", "What to do")
        table.add_column("Rows", justify="right")
        for rule, count in version.dropped.items():
            about = RULES[rule]
            table.add_row(rule, about.english, about.remedy, f"{count:,}")
        out.print(table)
    for line in _figures(version):
        click.echo(line)


def _figures(version: DatasetVersion) -> Iterator[str]:
    if version.unselected:
        yield f"not selected: {version.unselected:,}"
    if version.replayed:
        yield f"older picks to train on: {version.replayed:,}"
    if version.hold_out:
        yield f"frozen hold-out {version.hold_out!r}: {version.frozen:,} of the test picks"
    if version.extras:
        yield "also: " + ", ".join(f"{count:,} {kind}" for kind, count in version.extras.items())
    if (found := version.quality) and found.picks:
        yield f"annotators: {version.annotators:,}; the most prolific gave {found.one_person:.0%}"
        yield f"at one and the same place of {found.shown}: {found.one_place:.0%}"
        if found.pairs:
            yield (
                f"agreement on the same replies: {found.agreeing / found.pairs:.0%} of {found.pairs:,} pairs "
                f"(by chance {found.by_chance:.0%})"
            )
    if version.simulated:
        yield "simulated: some of these picks are of a simulated picker, not of people"


def _some(whole: Dataset, count: int) -> Iterator[ChoiceSet]:
    for rows in (whole.train, whole.validation, whole.test):
        yield from (rows[i] for i in range(min(count, len(rows))))


def _named(slates: tuple[str, ...]) -> str:
    shown = ", ".join(slates[:5])
    return f" ({shown}{', …' if len(slates) > 5 else ''})" if slates else ""
