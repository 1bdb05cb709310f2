"""The page: everything that a night did, filled into one template with every text escaped."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from picktune.records import ChoiceSet, Message, Record
from picktune_adapters import AdapterVersion, disk

from picktune_retrain.comparison import Comparison
from picktune_retrain.evaluate import Outcome
from picktune_retrain.evenly import evenly
from picktune_retrain.gate import checks, reason
from picktune_retrain.nights import Manifest
from picktune_retrain.records import Dataset, Decision, Evaluation, TrainingRun
from picktune_retrain.report.charts import curve, window
from picktune_retrain.report.words import WORDS, both, sentence, what_was_done

Locale = Literal["en", "zh"]
EXAMPLES = 6


class Account(Record, frozen=True, kw_only=True):
    """All that a report tells of one night; ``replaced`` is the challenger whose trial it ended."""

    manifest: Manifest
    dataset: Dataset
    run: TrainingRun
    evaluation: Evaluation
    outcomes: tuple[Outcome, ...]
    decision: Decision
    adapter: AdapterVersion
    replaced: str | None = None
    comparison: Comparison | None = None

    def failed(self) -> list[str]:
        """The reasons against it, in words."""
        made = checks(self.evaluation, self.manifest.gate, self.comparison)
        return [reason(check) for check in made if not check.passed]


class ShownReply(Record, frozen=True, kw_only=True):
    """One reply of an example, with the probabilities that the adapter and the base gave it."""

    text: str
    picked: bool
    adapter: float
    base: float


class Example(Record, frozen=True, kw_only=True):
    """One held-out choice set as the report shows it."""

    set: ChoiceSet
    probability: float
    earlier: tuple[Message, ...]
    last: Message
    replies: tuple[ShownReply, ...]


def write_report(account: Account, path: Path, *, locale: Locale = "en", plots: bool = False) -> Path:
    """Write the page, whole or not at all. Raises ``MissingExtra`` if ``plots`` is wanted without plotly."""
    disk.replace(path, render(account, locale=locale, plots=plots).encode())
    return path


def render(account: Account, *, locale: Locale = "en", plots: bool = False) -> str:
    """The page as HTML; ``locale`` is the language it opens in, ``plots`` adds interactive curves."""
    run = account.run
    interactive = None
    if plots:
        from picktune_retrain.report.plots import interactive_curves

        interactive = interactive_curves(run)
    return (
        environment()
        .get_template("report.html")
        .render(
            locale=locale,
            manifest=account.manifest,
            dataset=account.dataset.version,
            evaluation=account.evaluation,
            decision=account.decision,
            checks=checks(account.evaluation, account.manifest.gate, account.comparison),
            comparison=account.comparison or Comparison(),
            adapter=account.adapter,
            before=account.replaced,
            run=run,
            recipe=run.recipe,
            rows=", ".join(f"{name} {count}" for name, count in run.rows.items()),
            charts=_charts(account),
            window=window([(step.step, step.loss) for step in run.steps if step.split == "train"]),
            examples=_examples(account.dataset.test, account.outcomes),
            plots=interactive,
        )
    )


@cache
def environment() -> Environment:
    """The templates of this room, with the words and the styles."""
    loader = PackageLoader("picktune_retrain", "report")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    css = loader.get_source(environment, "report.css")[0]
    environment.globals.update(
        t=both,
        sentence=sentence,
        words=WORDS,
        what_was_done=what_was_done,
        bar=_bar,
        time=_time,
        perplexity=_perplexity,
        css=Markup(css),  # noqa: S704 - our own
    )
    return environment


def _charts(account: Account) -> list[dict[str, Any]]:
    steps = account.run.steps
    sets = account.dataset.train
    shares = array("d", (_copies(one) / len(one.replies) for one in sets))
    accuracy, loss = (fmean(shares), -fmean(map(math.log, shares))) if shares else (0.0, 0.0)
    charts = []
    plain = account.run.recipe.objective == "choice"
    for field, chance, percent in (("loss", loss, False), ("accuracy", accuracy, True)):
        known = [(step.split, step.step, getattr(step, field)) for step in steps]
        train = [(step, value) for split, step, value in known if split == "train" and value is not None]
        validation = [(step, value) for split, step, value in known if split == "validation"]
        form = "{:.0%}" if percent else "{:.3f}"
        charts.append(
            {
                "title": f"{field}_curve" if plain else f"{field}_curve_of_others",
                "svg": curve(train, validation, chance, percent=percent, label=WORDS[f"{field}_curve"][0]),
                "last": form.format(validation[-1][1]) if validation else None,
                "chance": form.format(chance),
            }
        )
    return charts


def _copies(one: ChoiceSet) -> int:
    return one.replies.count(one.replies[one.chosen])


def _examples(sets: Sequence[ChoiceSet], outcomes: Sequence[Outcome]) -> list[Example]:
    """From the surest hit to the surest miss, evenly spread between them."""
    order = sorted(
        range(len(outcomes)), key=lambda i: (-outcomes[i].adapter[outcomes[i].chosen], outcomes[i].slate_id)
    )
    return [_example(sets[i], outcomes[i]) for i in evenly(order, EXAMPLES)]


def _example(one: ChoiceSet, outcome: Outcome) -> Example:
    return Example(
        set=one,
        probability=outcome.adapter[outcome.chosen],
        earlier=one.messages[:-1],
        last=one.messages[-1],
        replies=tuple(
            ShownReply(text=text, picked=place == one.chosen, adapter=tuned, base=base)
            for place, (text, tuned, base) in enumerate(
                zip(one.replies, outcome.adapter, outcome.base, strict=True)
            )
        ),
    )


def _bar(share: float, name: str = "") -> Markup:
    return Markup(
        '<div class="bar {}"><svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect width="{}" height="8"/></svg><span>{} %</span></div>'
    ).format(name, round(100 * share, 1), round(100 * share))


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _perplexity(nats: float) -> str:
    return f"{math.exp(min(nats, 700.0)):.1f}"
