"""The card of a dataset: its counts, in both languages, without a script and without anybody's words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from picktune.records import ChoiceSet, Message
from picktune_retrain.dataset import build_dataset
from picktune_retrain.records import DataRecipe, Dataset
from picktune_retrain.report.bars import bars, histogram
from picktune_retrain.report.datasetcard import render_card, write_card

NOW = datetime(2026, 11, 24, tzinfo=UTC)


class Reader:
    """Sixty picks, one a day, by two people, in two languages."""

    def choice_sets(self, **_: Any) -> Iterator[ChoiceSet]:
        for i in range(60):
            yield ChoiceSet(
                slate_id=f"slate-{i:02}",
                conversation_id=f"conversation-{i}",
                messages=(Message(role="user", content=f"My secret is {i}" + "?" * i),),
                replies=("", "b") if i == 7 else (f"Yes, {i}", f"No, {i}", "Perhaps"),
                chosen=i % 2,
                annotator=f"person-{i % 2}",
                role="expert" if i % 3 else "agent",
                tags=("<b>delivery</b>",) if i % 2 else (),
                locale="zh-CN" if i % 4 else "en",
                decided_at=NOW - timedelta(days=60 - i),
            )


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return build_dataset(
        Reader(),  # type: ignore[arg-type]
        until=NOW,
        roles=("agent", "expert"),
        now=NOW,
        recipe=DataRecipe(longest_reply=500),
    )


def test_it_counts_and_quotes_nobody(dataset: Dataset, tmp_path: Path) -> None:
    path = write_card(dataset, tmp_path / "new" / "card.html")
    text = path.read_text("utf-8")
    assert dataset.version.id in text
    assert "secret" not in text
    assert "person-1" not in text
    assert "<b>delivery" not in text
    assert "&lt;b&gt;delivery&lt;/b&gt;" in text
    assert "<script" not in text
    assert "default-src 'none'" in text
    weeks = [int(count) for count in re.findall(r"<title>2026-\d\d-\d\d: (\d+)</title>", text)]
    assert sum(weeks) == 59
    assert "longest_reply" in text
    assert "有空回复" in text


@pytest.mark.parametrize(("locale", "opens"), [("en", 'id="en" aria'), ("zh", 'id="zh" aria')])
def test_it_opens_in_either_language(dataset: Dataset, locale: Any, opens: str) -> None:
    text = render_card(dataset, locale=locale)
    checked = next(line for line in text.splitlines() if "checked" in line and opens in line)
    assert checked


def test_bars_stay_within_the_drawing() -> None:
    drawn = bars([(f"2026-{i:02}-01", i * 1000) for i in range(1, 13)], label="by <month>")
    assert "by &lt;month&gt;" in drawn
    for x, width in re.findall(r'<rect class="count" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', drawn):
        assert 0 <= float(x) <= float(x) + float(width) <= 480
    assert bars([], label="none").startswith("<svg")
    assert bars([("a", 0)], label="nought").count("<rect") == 1


def test_lengths_double_from_bin_to_bin() -> None:
    assert histogram([]) == []
    assert histogram([(0, 1), (49, 2), (50, 3), (100, 4), (450, 5)]) == [
        ("0+", 3),
        ("50+", 3),
        ("100+", 4),
        ("200+", 0),
        ("400+", 5),
    ]
