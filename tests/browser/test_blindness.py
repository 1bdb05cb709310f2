"""What a browser holds of a slate is the same for every reply, but for its words, its id and its place."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from picktune.engines.local import LocalEngine
from picktune.records import utc_now
from picktune_adapters.registry import Registry

SLATES = 12
EVERYTHING = """
    const cards = [...document.querySelectorAll("#cards .card")];
    for (const one of document.querySelectorAll("#cards .card-text")) one.textContent = "";
    const stored = (where) => Object.entries(where).flat();
    return {
        cards: cards.map((one) => one.outerHTML),
        boxes: cards.map((one) => one.getBoundingClientRect()).map(({ width }) => Math.round(width)),
        page: document.documentElement.outerHTML,
        addresses: performance.getEntries().map((one) => one.name),
        stored: [...stored(localStorage), ...stored(sessionStorage), document.cookie],
        properties: cards.map((one) => Object.keys(one)),
    };
"""


def test_the_page_does_not_know_who_spoke(
    tmp_path: Path,
    tiny_model: Path,
    tiny_adapter: Callable[..., Path],
    browser: Any,
    desk_at: Callable[..., Any],
    see: Callable[..., None],
) -> None:
    registry = Registry(tmp_path / "home" / "registry")
    now = utc_now()
    folder = tiny_adapter("v1-tuned", 1)
    registry.add(
        folder, name="v1-tuned", base_model=str(tiny_model), run_id="r", dataset_id="d", picks=1, now=now
    )
    registry.move("champion", "v1-tuned", by="test", reason="admitted", now=now)
    with desk_at(tmp_path / "home", LocalEngine(tiny_model, queue=32, batch=16)) as desk:
        see(lambda: desk.service.aliases.champion == "v1-tuned", "the champion speaks")
        browser.enter(desk)
        for number in range(SLATES):
            browser.desk(desk, desk.add(f"c{number}", f"Where is order {number}?"))
            seen = browser.driver.execute_script(EVERYTHING)
            assert len(seen["cards"]) > 2
            for what in (map(_without_place, seen["cards"]), seen["boxes"], seen["properties"]):
                assert len({json.dumps(one) for one in what}) == 1
            page = seen.pop("page")
            for word in ("v1-tuned", "propensity", "finish_reason", "latency"):
                assert word not in page
            for word in ("v1-tuned", "champion", "challenger"):
                assert word not in json.dumps([seen["cards"], seen["addresses"], seen["stored"]])


def _without_place(card: str) -> str:
    """A card without its id and the number of its place, which are random."""
    return re.sub(r"\d+", "#", re.sub(r"[0-9a-f]{32}", "ID", card))
