"""The curves once more, to zoom into: plotly, written into the page so that it needs no network."""

from __future__ import annotations

from markupsafe import Markup
from picktune.errors import MissingExtra

from picktune_retrain.records import TrainingRun


def interactive_curves(run: TrainingRun) -> Markup:
    """Loss and accuracy over the steps with plotly.js inlined (about 5 MB). Raises ``MissingExtra``."""
    try:
        from plotly.graph_objects import Figure, Scatter
    except ImportError as error:
        raise MissingExtra("a report with interactive curves", "plots") from error
    figure = Figure(layout={"height": 420, "hovermode": "x unified"})
    for field in ("loss", "accuracy"):
        for split in ("train", "validation"):
            steps = [step for step in run.steps if step.split == split]
            figure.add_trace(
                Scatter(
                    x=[step.step for step in steps],
                    y=[getattr(step, field) for step in steps],
                    name=f"{split} {field}",
                    mode="lines+markers",
                )
            )
    html = figure.to_html(full_html=False, include_plotlyjs=True, config={"displayModeBar": False})
    return Markup(html)  # noqa: S704 - made of numbers and of our own words
