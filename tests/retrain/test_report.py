"""The report: self-contained, in two languages, honest about simulation, and closed to hostile text."""

from __future__ import annotations

import math
import random
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from msgspec import structs
from picktune.records import ChoiceSet, Message
from picktune_adapters import AdapterVersion
from picktune_retrain.basemodel import BaseModel
from picktune_retrain.evaluate import Outcome
from picktune_retrain.gate import Gate, admit
from picktune_retrain.nights import Manifest
from picktune_retrain.records import (
    Dataset,
    DatasetVersion,
    Evaluation,
    Figures,
    Recipe,
    Step,
    TrainingRun,
)
from picktune_retrain.report import Account, render, write_report
from picktune_retrain.report.charts import curve, running_mean
from picktune_retrain.report.words import WORDS

NOW = datetime(2026, 11, 24, 2, 15, tzinfo=UTC)
HOSTILE = "</p><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}"


def make_account(
    *, admitted: bool = True, simulated: bool = False, text: str = "", sets: int = 12
) -> Account:
    rng = random.Random(7)
    replies = (
        "I am sorry about the delay! Could you send me your order number, please? Then I can look into it.",
        "Parcels usually take three to five working days. Please wait a little longer." + text,
        "Please contact the carrier.",
        "Thank you for your message. We value every customer and will do our best to help you soon.",
    )
    test = tuple(
        ChoiceSet(
            slate_id=f"slate-{i}",
            conversation_id=f"conversation-{i}",
            messages=(
                Message(role="system", content="You work for a shop."),
                Message(role="user", content="Hello, is anybody there?"),
                Message(role="assistant", content="Good morning, how can I help?"),
                Message(
                    role="user",
                    content=("我的包裹三天没有更新了，到哪里了？" if i % 2 else "Where is my parcel?") + text,
                ),
            ),
            replies=replies,
            chosen=i % 4,
            annotator="ann",
            role="model" if simulated else "agent",
            decided_at=NOW - timedelta(hours=i),
        )
        for i in range(sets)
    )
    outcomes = tuple(
        Outcome(
            slate_id=one.slate_id,
            annotator=one.annotator,
            chosen=one.chosen,
            adapter=(0.55, 0.25, 0.15, 0.05),
            base=(0.27, 0.24, 0.25, 0.24),
        )
        for one in test
    )
    steps = []
    for i in range(1, 121):
        loss = 0.75 + 0.636 * math.exp(-i / 30) + rng.gauss(0, 0.12)
        steps.append(
            Step(
                step=i,
                steps=120,
                epoch=i / 60,
                split="train",
                loss=loss,
                accuracy=rng.choice([0.25, 0.5, 0.75, 1.0]),
            )
        )
        if i % 20 == 0:
            loss = 0.8 + 0.58 * math.exp(-i / 30)
            steps.append(
                Step(step=i, steps=120, epoch=i / 60, split="validation", loss=loss, accuracy=0.4 + i / 300)
            )
    evaluation = Evaluation(
        sets=sets,
        adapter=Figures(accuracy=0.75, log_loss=0.842),
        base=Figures(accuracy=0.333, log_loss=1.352),
        chance=Figures(accuracy=0.25, log_loss=math.log(4)),
        gain=0.544,
        gain_low=0.287 if admitted else -0.05,
        accuracy_low=0.6 if admitted else 0.2,
    )
    counts = {"train": 240, "validation": 30, "test": sets}
    recipe = Recipe()
    return Account(
        manifest=Manifest(
            id="20261124T021500Z",
            started_at=NOW,
            until=NOW,
            roles=("agent", "model") if simulated else ("agent",),
            recipe=recipe,
            gate=Gate(),
            base=BaseModel(name="/models/SmolLM2-135M-Instruct", folder="/models", sha256="b" * 64),
            dataset_id="d" * 64,
        ),
        dataset=Dataset(
            version=DatasetVersion(
                id="d" * 64,
                until=NOW,
                counts=counts,
                conversations={"train": 120, "validation": 15, "test": 10},
                annotators=3,
                dropped={"no_alternative": 4, "repeated": 2},
                simulated=simulated,
                created_at=NOW,
            ),
            train=test,
            validation=(),
            test=test,
        ),
        run=TrainingRun(
            id="20261124T021500Z",
            dataset_id="d" * 64,
            base_model="/models",
            recipe=recipe,
            steps=tuple(steps),
            seconds=214.2,
            truncated=1,
            started_at=NOW,
        ),
        evaluation=evaluation,
        outcomes=outcomes,
        decision=admit(evaluation),
        adapter=AdapterVersion(
            name="2026-11-24-1",
            base_model="/models",
            sha256="a" * 64,
            rank=16,
            run_id="20261124T021500Z",
            dataset_id="d" * 64,
            picks=240,
            created_at=NOW,
        ),
        replaced="2026-11-23-1" if admitted else None,
    )


class Outline(HTMLParser):
    """Every tag with its attributes; complains about tags that are not closed in order."""

    VOID = frozenset({"meta", "input", "br", "link", "img", "rect", "path", "circle"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_it_needs_nothing_else_and_runs_no_script() -> None:
    html = render(make_account())
    tags = Outline(html).tags
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in tags}
    assert not any(name.startswith("on") for _, attrs in tags for name in attrs)
    assert not re.search(r"(src|href)=|url\(|@import|https?://", html)
    assert "default-src 'none'" in html


def test_it_says_what_happened() -> None:
    html = render(make_account())
    for fact in (
        "Admitted: 2026-11-24-1",
        "75.0 %",
        "33.3 %",
        "0.842",
        "1.386",
        "+0.544",
        "+0.287",
        "2026-11-23-1",
    ):
        assert fact in html, fact
    for fact in ("a" * 64, "b" * 64, "d" * 64, "4 · ", "fewer than two distinct replies", "r = 16", "214 s"):
        assert fact in html, fact
    assert html.count('<article class="example">') == 6
    refused = render(make_account(admitted=False))
    assert "Not admitted: 2026-11-24-1" in refused
    assert "Champion and challenger stay as they were." in refused
    assert refused.count('class="no"') == 1


def test_both_languages_are_there_and_either_comes_first() -> None:
    for locale, lang, ticked in (("en", "en", "en"), ("zh", "zh-CN", "zh")):
        html = render(make_account(), locale=locale)  # type: ignore[arg-type]
        assert html.startswith(f'<!doctype html>\n<html lang="{lang}">')
        inputs = [attrs for tag, attrs in Outline(html).tags if tag == "input"]
        assert [attrs["id"] for attrs in inputs if "checked" in attrs] == [ticked]
        assert html.count('class="en"') == html.count('class="zh"')
        assert "夜间训练报告" in html
        assert "Nightly report" in html
        assert "准入" in html


def test_every_wording_exists_in_both_languages_with_the_same_blanks() -> None:
    for key, (english, chinese) in WORDS.items():
        assert english, key
        assert chinese, key
        assert sorted(re.findall(r"{(\w+)", english)) == sorted(re.findall(r"{(\w+)", chinese)), key


def test_simulated_picks_are_called_so_in_both_languages() -> None:
    html = render(make_account(simulated=True))
    assert "Simulated:" in html
    assert "模拟：" in html
    assert "Simulated:" not in render(make_account())


def test_hostile_text_stays_text() -> None:
    html = render(make_account(text=HOSTILE))
    tags = Outline(html).tags
    assert not {"script", "img"} & {tag for tag, _ in tags}
    assert "&lt;script&gt;alert(1)" in html
    assert "{{ 7*7 }}" in html


def test_few_sets_and_no_steps_are_no_obstacle() -> None:
    account = make_account(sets=1)
    html = render(structs.replace(account, run=structs.replace(account.run, steps=())))
    assert html.count('<article class="example">') == 1


def test_losses_that_are_no_numbers_leave_gaps() -> None:
    points = [(1.0, 1.4), (2.0, float("nan")), (3.0, float("inf")), (4.0, 1.0)]
    svg = curve(points, [(4.0, float("nan"))], 1.386, percent=False, label="loss")
    assert "nan" not in svg
    assert "inf" not in svg
    assert running_mean(points) == [(1.0, 1.4), (4.0, 1.0)]


def test_curves_stay_inside_the_picture() -> None:
    svg = curve([(i, 3.0 - i / 50) for i in range(1, 101)], [(100, 5.0)], 1.386, percent=False, label="loss")
    numbers = [
        float(number) for path in re.findall(r' d="M([^"H]+)"', svg) for number in re.findall(r"[\d.]+", path)
    ]
    assert len(numbers) > 300
    assert min(numbers) >= 0
    assert max(numbers) <= 480


def test_it_replaces_the_file_as_a_whole(tmp_path: Path) -> None:
    path = write_report(make_account(), tmp_path / "report.html")
    write_report(make_account(admitted=False), path)
    assert "Not admitted" in path.read_text("utf-8")
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_interactive_curves_need_no_network() -> None:
    pytest.importorskip("plotly")
    html = render(make_account(), plots=True)
    scripts = [attrs for tag, attrs in re.findall(r"<(script)([^>]*)>", html)]
    assert scripts
    assert not any("src" in attrs for attrs in scripts)
    assert "Interactive curves" in html
