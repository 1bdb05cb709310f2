"""What ``learning.py`` found: means over the seeds with their intervals, and the time to learn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from learning_runs import OBJECTIVES, SAID, Settings, Trained
from msgspec import structs
from picktune.records import Record
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student

CHOICE = "choice"
RIVALS = {
    "dpo-rows": "DPO as TRL trained it",
    "dpo-pace": "Picktune's DPO at TRL's pace",
    "dpo-all": "Picktune's DPO, packed",
}
MEASURES = ("accuracy", "expected", "support")


class Judged(Record, frozen=True, kw_only=True):
    """How well an adapter predicts, and how well it speaks.

    ``accuracy`` is the share of held-out picks that it finds, ``expected`` the mean probability with which
    the chooser picks its favourite: the same without the luck of the picks. ``wins`` of ``n`` fresh slates
    that counted are its own; ``utility`` is the mean of its replies' in them, in nats.
    """

    accuracy: float
    expected: float
    wins: int
    n: int
    utility: float
    base_utility: float

    @property
    def support(self) -> float:
        """The support rate; half if nothing counted."""
        return self.wins / self.n if self.n else 0.5


class Figures(Record, frozen=True, kw_only=True):
    """All of one seed; ``ceiling`` is what ``expected`` could be at most."""

    seed: int
    trained: dict[str, Trained]
    judged: dict[str, Judged]
    ceiling: float


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval over the seeds (Student's t); with one seed there is none."""
    mean = fmean(values)
    if len(values) < 2:
        return mean, math.nan, math.nan
    half = float(student.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def time_to(curve: Trained, accuracy: float) -> dict[str, float] | None:
    """The seconds and steps after which a check first found at least that accuracy; ``None`` if none did."""
    for point in curve.curve:
        if point.accuracy >= accuracy:
            return {"wall": point.wall, "cpu": point.cpu, "step": float(point.step)}
    return None


def mean_curve(trainings: Sequence[Trained]) -> Trained:
    """The mean over the seeds, check by check."""
    points = []
    for same in zip(*(one.curve for one in trainings), strict=True):
        points.append(
            type(same[0])(
                step=same[0].step,
                wall=fmean(one.wall for one in same),
                cpu=fmean(one.cpu for one in same),
                accuracy=fmean(one.accuracy for one in same),
            )
        )
    first = trainings[0]
    return Trained(
        objective=first.objective, steps=first.steps, wall=fmean(one.wall for one in trainings),
        cpu=fmean(one.cpu for one in trainings),
        reference_cpu=fmean(one.reference_cpu for one in trainings), curve=tuple(points),
    )  # fmt: skip


def lines_of(found: Sequence[Figures], settings: Settings) -> list[dict[str, Any]]:
    """One line an objective, and one over all."""
    values = {
        name: {measure: [float(getattr(one.judged[name], measure)) for one in found] for measure in MEASURES}
        for name in OBJECTIVES
    }
    curves = {
        name: mean_curve([one.trained[name] for one in found if name in one.trained])
        for name in SAID
        if any(name in one.trained and one.trained[name].curve for one in found)
    }
    lines = [_line(name, values[name], values[CHOICE], found) for name in OBJECTIVES]
    best = {measure: _best(measure, values) for measure in MEASURES}
    overall: dict[str, Any] = {
        "objective": "all",
        "seeds": [one.seed for one in found],
        "ceiling": _rounded(fmean(one.ceiling for one in found)),
        "best": {measure: name for measure, (name, _) in best.items()},
        "choice_best_or_tied": {measure: tied for measure, (_, tied) in best.items()},
        "time": _times(found),
        "curves": {
            name: [[point.step, _rounded(point.cpu, 1), _rounded(point.accuracy)] for point in curve.curve]
            for name, curve in curves.items()
        },
        "settings": {name: getattr(settings, name) for name in settings.__struct_fields__},
    }
    return [*lines, overall]


def show(found: Sequence[Figures], settings: Settings) -> list[dict[str, Any]]:
    """Print the tables; returns the lines."""
    lines = lines_of(found, settings)
    many = f"{len(found)} seed{'s' if len(found) > 1 else ''}"
    title = f"From the same {settings.picks} picks, {many}; mean and 95 % interval"
    table = Table(title=title, caption=_caption(found), caption_justify="left")
    for heading in (
        "",
        "held-out accuracy",
        "expected",
        "support",
        "choice − this",
        "s (processor)",
        "s (wall)",
    ):
        table.add_column(heading, justify="right" if heading else "left")
    for line in lines[:-1]:
        table.add_row(
            SAID[line["objective"]],
            *(_between(line[measure]) for measure in MEASURES),
            "" if line["objective"] == CHOICE else _between(line["support_choice_minus_this"], sign=True),
            f"{line['cpu']:.0f}",
            f"{line['wall']:.0f}",
        )
    console = Console(width=140)
    console.print(table)
    times = lines[-1]["time"]
    if times:
        table = Table(title="Until choice training predicts as well as DPO does in the end")
        for heading in ("", "accuracy", "DPO, s", "choice, s", "of its time (processor)", "(wall)"):
            table.add_column(heading, justify="right" if heading else "left")
        for name, line in times.items():
            table.add_row(
                f"{RIVALS[name]}, {line['seeds']:.0f} seed{'s' if line['seeds'] != 1 else ''}",
                f"{line['accuracy']:.1%}",
                _number(line["dpo_cpu"]),
                _number(line["choice_cpu"]),
                _number(line["cpu_share"], 2),
                _number(line["wall_share"], 2),
            )
        console.print(table)
    return lines


def _line(
    name: str,
    mine: Mapping[str, Sequence[float]],
    choice: Mapping[str, Sequence[float]],
    found: Sequence[Figures],
) -> dict[str, Any]:
    line: dict[str, Any] = {"objective": name}
    for measure in MEASURES:
        line[measure] = [_rounded(one) for one in interval(mine[measure])]
        line[f"{measure}_by_seed"] = [_rounded(one) for one in mine[measure]]
        differences = [a - b for a, b in zip(choice[measure], mine[measure], strict=True)]
        line[f"{measure}_choice_minus_this"] = [_rounded(one) for one in interval(differences)]
    judged = [one.judged[name] for one in found]
    line["utility_gain"] = _rounded(fmean(one.utility - one.base_utility for one in judged))
    line["slates"] = sum(one.n for one in judged)
    trained = [one.trained[name] for one in found]
    line["steps"] = trained[0].steps
    line["cpu"] = _rounded(fmean(one.cpu for one in trained), 1)
    line["wall"] = _rounded(fmean(one.wall for one in trained), 1)
    return line


def _best(measure: str, values: Mapping[str, Mapping[str, Sequence[float]]]) -> tuple[str, bool]:
    """Which objective has the best mean, and whether choice is it, or tied: the difference may be nought."""
    name = max(OBJECTIVES, key=lambda one: (fmean(values[one][measure]), one == CHOICE))
    if name == CHOICE:
        return name, True
    pairs = zip(values[CHOICE][measure], values[name][measure], strict=True)
    _, _, high = interval([a - b for a, b in pairs])
    return name, math.isnan(high) or high >= 0


def _times(found: Sequence[Figures]) -> dict[str, dict[str, float | None]]:
    """How soon choice training is as good as each DPO in the end.

    TRL's trains the same pairs by the same loss, but in few seeds, whose held-out picks are too few to tell
    when it is how good. So Picktune's DPO is looked at as well, in all seeds, at TRL's seconds a step.
    """
    by_rows = [one for one in found if "dpo-rows" in one.trained]
    packed = [one.trained["dpo-all"] for one in found]
    made = {}
    if by_rows:
        rows = [one.trained["dpo-rows"] for one in by_rows]
        made["dpo-rows"] = _time(by_rows, mean_curve(rows))
        made["dpo-pace"] = _time(found, at_pace(mean_curve(packed), mean_curve(rows)))
    made["dpo-all"] = _time(found, mean_curve(packed))
    return made


def at_pace(curve: Trained, pace: Trained) -> Trained:
    """A curve with the seconds that its steps take in another training."""
    wall, cpu = pace.wall / pace.steps, pace.cpu / pace.steps
    points = tuple(
        structs.replace(point, wall=point.step * wall, cpu=point.step * cpu) for point in curve.curve
    )
    return structs.replace(curve, curve=points, wall=curve.steps * wall, cpu=curve.steps * cpu)


def _time(found: Sequence[Figures], theirs: Trained) -> dict[str, float | None]:
    """How soon choice training finds as many held-out picks as this DPO does at its end, in the same seeds.

    It goes by the mean of the curves, for the picks held out in one seed are few. DPO's own time is that of
    the check at which it first is there.
    """
    ours = mean_curve([one.trained[CHOICE] for one in found])
    target = theirs.curve[-1].accuracy
    reached, took = time_to(ours, target), time_to(theirs, target)
    assert took is not None  # noqa: S101 - its last check is the target
    return {
        "seeds": float(len(found)),
        "accuracy": _rounded(target),
        "dpo_cpu": _rounded(took["cpu"], 1),
        "dpo_wall": _rounded(took["wall"], 1),
        "choice_cpu": _rounded(reached["cpu"], 1) if reached else None,
        "choice_wall": _rounded(reached["wall"], 1) if reached else None,
        "cpu_share": _rounded(reached["cpu"] / took["cpu"]) if reached else None,
        "wall_share": _rounded(reached["wall"] / took["wall"]) if reached else None,
        "whole_cpu_share": _rounded(ours.cpu / theirs.cpu),
    }


def _caption(found: Sequence[Figures]) -> str:
    known, slates = fmean(one.ceiling for one in found), sum(one.judged[CHOICE].n for one in found)
    return (
        f"Chance finds 25 %, somebody who knows the utilities {known:.1%}. Fresh slates that counted for "
        f"choice training: {slates}. The difference is in support."
    )


def _between(line: Sequence[float], *, sign: bool = False) -> str:
    mean, low, high = line
    plus = "+" if sign else ""
    text = f"{100 * mean:{plus}.1f}"
    return text if low is None else f"{text} ({100 * low:{plus}.1f} to {100 * high:{plus}.1f})"


def _number(value: float | None, digits: int = 0) -> str:
    return "not reached" if value is None else f"{value:.{digits}f}"


def _rounded(value: float, digits: int = 4) -> Any:
    return None if math.isnan(value) else round(value, digits)
