"""Bars as inline SVG: counts by week, by length. No script; readable on paper, on a phone, in the dark."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

WIDTH, HEIGHT = 480, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 34
_MOST_LABELS = 5
_LETTER = 7  # of a label, in the drawing's own units


def bars(values: Sequence[tuple[str, int]], *, label: str) -> Markup:
    """A bar for each named count, from left to right; of many names some are written out."""
    top = max((count for _, count in values), default=0) or 1
    step = _step(top)
    width = (WIDTH - _LEFT - _RIGHT) / max(len(values), 1)
    floor = HEIGHT - _BOTTOM

    def height(count: float) -> float:
        return round(count / top * (floor - _TOP), 1)

    parts = []
    for i in range(top // step + 1):
        y = floor - height(i * step)
        parts.append(f'<path class="grid" d="M{_LEFT} {y}H{WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{i * step:,}</text>')
    every = math.ceil(len(values) / _MOST_LABELS)
    inside = Markup("").join(Markup(part) for part in parts)  # noqa: S704 - made of numbers only
    for i, (name, count) in enumerate(values):
        x = _LEFT + i * width
        # The name is told by the bar itself, too, to whoever points at it.
        inside += Markup(
            '<rect class="count" x="{}" y="{}" width="{}" height="{}"><title>{}: {}</title></rect>'
        ).format(
            round(x + 0.1 * width, 1),
            floor - height(count),
            round(0.8 * width, 1),
            height(count),
            name,
            f"{count:,}",
        )
        if i % every == 0:
            # A name at the right edge ends where its bar does, or it would be cut.
            at, anchor = x + width / 2, "middle"
            if at + _LETTER * len(name) / 2 > WIDTH:
                at, anchor = x + width, "end"
            inside += Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(
                round(at, 1), floor + 20, anchor, name
            )
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, label, inside
    )


def histogram(counts: Sequence[tuple[int, int]]) -> list[tuple[str, int]]:
    """Lengths with how many have each, as at most a dozen bins that double: 0–49, 50–99, 100–199, …"""
    bins: dict[int, int] = {}
    for length, count in counts:
        place = 0 if length < 50 else 1 + int(math.log2(length / 50))
        bins[place] = bins.get(place, 0) + count
    if not bins:
        return []
    edges = [0, *(50 * 2**i for i in range(max(bins) + 1))]
    return [(f"{edges[place]:,}+", bins.get(place, 0)) for place in range(min(bins), max(bins) + 1)]


def _step(top: int) -> int:
    rough = max(1.0, top / 4)
    power = 10 ** math.floor(math.log10(rough))
    return int(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999))
