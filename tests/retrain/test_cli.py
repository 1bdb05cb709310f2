"""The command: its options, exit codes and messages, for a terminal and for cron."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from picktune_adapters import Aliases
from picktune_adapters.registry import Registry
from picktune_retrain.cli import moment, nightly
from picktune_retrain.plan import Plan
from picktune_retrain.records import DatasetVersion, Step
from picktune_retrain.terminal import Bars, Lines, card
from rich.console import Console

NOW = datetime(2026, 11, 24, 2, 15, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("PICKTUNE_") and name != "PICKTUNE_CACHE"]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(nightly, [str(argument) for argument in arguments])


def test_it_is_reached_through_the_entry_point() -> None:
    (found,) = [point for point in entry_points(group="picktune.commands") if point.name == "nightly"]
    assert found.load() is nightly


def test_a_night_from_the_command_line(
    tiny_model: Path, tmp_path: Path, fill_log: Callable[..., Path]
) -> None:
    home = fill_log(tmp_path / "home", role="model")
    options = ("--home", home, "--model", tiny_model, "--epochs", 1, "--learning-rate", 0.003, "--json")
    roles = ("--role", "agent", "--role", "model")
    result = invoke(*options, *roles, "--locale", "zh")
    assert result.exit_code == 0, result.output
    *lines, last = result.stdout.splitlines()
    summary = json.loads(last)
    assert (summary["exit_code"], summary["dataset"]["simulated"]) == (0, True)
    assert Registry(home / "registry").aliases() == Aliases(challenger=summary["adapter"]["name"])
    text = "\n".join(lines)
    for words in (
        "48 picks to train on, 6 to validate and 6 held out",
        "step 12/12: loss",
        "validation after step 12",
        "above chance",
        "simulated: these figures rest on picks of a simulated picker",
        f"done: {summary['adapter']['name']} joins the slates as challenger",
        f"report: {summary['report']}",
    ):
        assert words in text, words
    assert "\x1b" not in text
    assert '<html lang="zh-CN">' in Path(summary["report"]).read_text("utf-8")

    result = invoke(*options, *roles)
    assert result.exit_code == 10
    assert "nothing to do: nothing new in the log" in result.stdout
    result = invoke(*options, *roles, "--force", "--min-held-out", 6, "--dry-run")
    assert result.exit_code == 0
    assert "would train on 48 picks" in result.stdout
    result = invoke(*options)
    assert result.exit_code == 10
    assert "0 usable picks" in result.stdout


def test_a_configuration_file_and_the_environment_say_the_same(
    tiny_model: Path, tmp_path: Path, fill_log: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = fill_log(tmp_path / "home", 5)
    config = tmp_path / "other.toml"
    config.write_text(f'home = "{home}"\nmodel = "{tiny_model}"\n')
    assert "5 usable picks" in invoke("--config", config).stdout
    monkeypatch.setenv("PICKTUNE_HOME", str(home))
    assert "5 usable picks" in invoke("--model", tiny_model).stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--config", "missing.toml"), "cannot read the configuration file"),
        (("--model", "no-such/model"), "--model"),
        (("--until", "yesterday"), "2026-11-24T02:15+01:00"),
        (("--rank", 65), "65"),
        (("--learning-rate", 0), "0"),
        (("--role", "boss"), "agent"),
        (("--min-picks", 0), "0"),
        (("--frobnicate",), "No such option"),
    ],
)
def test_what_cannot_be_used_is_said(
    arguments: tuple[object, ...], words: str, tmp_path: Path, fill_log: Callable[..., Path]
) -> None:
    result = invoke("--home", fill_log(tmp_path / "home", 1), *arguments)
    assert result.exit_code in (1, 2)
    assert words in result.stderr
    assert "Traceback" not in result.output


def test_no_log_yet(tiny_model: Path, tmp_path: Path) -> None:
    result = invoke("--home", tmp_path / "home", "--model", tiny_model, "--json")
    assert result.exit_code == 1
    assert result.stderr.startswith("failed: ")
    assert "picktune.db" in result.stderr
    assert json.loads(result.stdout.splitlines()[-1])["exit_code"] == 1


def test_an_unexpected_failure_is_one_line_unless_debugged(
    tiny_model: Path, tmp_path: Path, fill_log: Callable[..., Path]
) -> None:
    home = fill_log(tmp_path / "home", 5)
    (home / "nights").write_text("a file where a folder should be")
    result = invoke("--home", home, "--model", tiny_model)
    assert result.exit_code == 1
    assert "nights" in result.stderr
    assert "Traceback" not in result.stderr
    assert "Traceback" in invoke("--home", home, "--model", tiny_model, "--debug").stderr


def test_torch_is_imported_only_when_training_begins(
    tiny_model: Path, tmp_path: Path, fill_log: Callable[..., Path]
) -> None:
    home = fill_log(tmp_path / "home", 5)
    code = (
        "import sys\n"
        "from picktune_retrain.cli import nightly\n"
        f"try: nightly(['--home', {str(home)!r}, '--model', {str(tiny_model)!r}])\n"
        "except SystemExit as exit: print('code', exit.code)\n"
        "print('heavy', sorted({'torch', 'transformers', 'peft', 'plotly'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "5 usable picks" in done.stdout
    assert "code 10" in done.stdout
    assert "heavy []" in done.stdout


def test_without_the_extra_it_names_the_command_that_installs_it(
    tiny_model: Path, tmp_path: Path, fill_log: Callable[..., Path]
) -> None:
    home = fill_log(tmp_path / "home")
    code = (
        "import sys; sys.modules['peft'] = None\n"
        "from picktune_retrain.cli import nightly\n"
        f"nightly(['--home', {str(home)!r}, '--model', {str(tiny_model)!r}])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'picktune[retrain]'" in done.stderr
    assert list((home / "nights").glob("*/manifest.json")) == []


def test_help_names_every_exit_code() -> None:
    text = " ".join(invoke("--help").stdout.split())
    assert "Exit codes: 0 admitted, 10 nothing to do, 20 trained but not admitted, 1 failed." in text
    for name in Plan.__struct_fields__:
        if name not in ("recipe", "gate", "data", "standard"):
            assert f"--{name.replace('_', '-')}" in text, name


def test_a_moment_without_an_offset_is_utc() -> None:
    assert moment("2026-11-24") == datetime(2026, 11, 24, tzinfo=UTC)
    assert moment("2026-11-24T02:15+01:00") == datetime(2026, 11, 24, 1, 15, tzinfo=UTC)


def step(number: int, split: str = "train") -> Step:
    return Step(step=number, steps=200, epoch=1.0, split=split, loss=1.25, accuracy=0.5)  # type: ignore[arg-type]


def test_plain_lines_do_not_flood_the_log() -> None:
    stream, time = io.StringIO(), iter(range(10_000))
    with Lines(stream, every=10, clock=lambda: next(time) / 4) as watch:
        watch.stage("train")
        for number in range(1, 201):
            watch.step(step(number))
        watch.step(step(200, "validation"))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "training …"
    assert "  step 200/200: loss 1.250, accuracy 50%" in lines
    assert lines[-1] == "  validation after step 200: loss 1.250, accuracy 50%"
    assert 4 < len(lines) < 20


def test_bars_on_a_terminal() -> None:
    stream = io.StringIO()
    with Bars(Console(file=stream, force_terminal=True, width=120)) as watch:
        watch.stage("train")
        watch.note("[red]not markup[/red]")
        watch.dataset(VERSION)
        watch.step(step(100))
        watch.step(step(100, "validation"))
        watch.scored(3, 6)
        watch.referenced(2, 7)
    text = stream.getvalue()
    assert "100/200" in text
    assert "[red]not markup[/red]" in text
    assert "3/6" in text
    assert "2/7" in text


VERSION = DatasetVersion(
    id="d" * 64,
    until=NOW,
    counts={"train": 8, "validation": 1, "test": 1},
    conversations={"train": 4, "validation": 1, "test": 1},
    annotators=1,
    dropped={"repeated": 2},
    simulated=True,
    created_at=NOW,
)


def test_the_dataset_in_a_line() -> None:
    assert card(VERSION) == (
        "dataset dddddddddddd: 8 picks to train on, 1 to validate and 1 held out; 6 conversations, "
        "1 annotator; left out: repeated 2; with simulated picks"
    )
