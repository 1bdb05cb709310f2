"""The curves of a training run as inline SVG: no script; readable on paper, on a phone, in the dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from markupsafe import Markup

WIDTH, HEIGHT = 480, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 12, 34

Points = Sequence[tuple[float, float]]


def curve(train: Points, validation: Points, chance: float, *, percent: bool, label: str) -> Markup:
    """Train (faint, and its running mean), validation with a dot a pass, and the line of chance."""
    finite = [(x, y) for x, y in (*train, *validation) if math.isfinite(y)]
    top_x = max((x for x, _ in finite), default=1.0) or 1.0
    if percent:
        low, high = 0.0, 1.0
    else:
        low, high = 0.0, max([chance, *(y for _, y in finite)]) * 1.08 or 1.0

    def at(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + x / top_x * (WIDTH - _LEFT - _RIGHT)
        up = HEIGHT - _BOTTOM - (y - low) / (high - low) * (HEIGHT - _TOP - _BOTTOM)
        return round(across, 1), round(up, 1)

    parts = [*_grid(at, top_x, low, high, percent=percent)]
    parts.append(_line([at(0, chance), at(top_x, chance)], "chance"))
    parts.append(_line([at(*point) for point in train if math.isfinite(point[1])], "raw"))
    parts.append(_line([at(*point) for point in running_mean(train)], "train"))
    dots = [at(*point) for point in validation if math.isfinite(point[1])]
    parts.append(_line(dots, "validation"))
    parts += [f'<circle class="validation" cx="{x}" cy="{y}" r="3.5"/>' for x, y in dots]
    inside = Markup("").join(Markup(part) for part in parts)  # noqa: S704 - made of numbers only
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, label, inside
    )


def window(points: Points) -> int:
    """Over how many steps the running mean goes: a tenth of the run, at least one."""
    return max(1, round(len(points) / 10))


def running_mean(points: Points) -> list[tuple[float, float]]:
    """Each point's mean over the last ``window`` finite ones."""
    finite = [(x, y) for x, y in points if math.isfinite(y)]
    width = window(points)
    return [
        (x, sum(y for _, y in finite[max(0, i - width + 1) : i + 1]) / min(i + 1, width))
        for i, (x, _) in enumerate(finite)
    ]


def _grid(
    at: Callable[[float, float], tuple[float, float]], top_x: float, low: float, high: float, *, percent: bool
) -> Iterator[str]:
    step = _step(high - low)
    for i in range(int((high - low) / step + 1e-9) + 1):
        value = low + i * step
        x, y = at(0, value)
        text = f"{value:.0%}" if percent else f"{value:g}"
        yield f'<path class="grid" d="M{x} {y}H{WIDTH - _RIGHT}"/>'
        yield f'<text x="{x - 6}" y="{y + 4}" text-anchor="end">{text}</text>'
    step = max(1, _step(top_x))
    for i in range(int(top_x / step + 1e-9) + 1):
        x, y = at(i * step, low)
        yield f'<text x="{x}" y="{y + 20}" text-anchor="middle">{i * step:g}</text>'


def _step(span: float) -> float:
    """A round distance between grid lines, of which four to eight fit into the span."""
    rough = span / 5
    power = 10 ** math.floor(math.log10(rough))
    return float(next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999))


def _line(points: Sequence[tuple[float, float]], name: str) -> str:
    if len(points) < 2:
        return ""
    path = "L".join(f"{x} {y}" for x, y in points)
    return f'<path class="{name}" d="M{path}"/>'
