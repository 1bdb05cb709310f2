"""``picktune support``: what it prints of a real log."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from picktune.cli import main
from picktune.commands.support import BREAKDOWNS
from picktune.support import GROUPS


@pytest.fixture
def run(picked_home: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("COLUMNS", "160")

    def invoke(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, ["support", "--home", str(picked_home), *arguments])
        assert result.exit_code == code, result.output
        return result

    return invoke


def test_the_command_knows_every_breakdown() -> None:
    assert set(BREAKDOWNS) == set(GROUPS)


def test_the_table_and_how_many_more_picks(run) -> None:  # type: ignore[no-untyped-def]
    output = run().output

    assert re.search(r"v2 .*62\.5%.*undecided.*20 of 32", output)
    assert re.search(r"v2: about [\d,]+ more picks until this is decided", output)
    assert "v1: about" not in output  # decided already
    assert "Groups are for looking" not in output


@pytest.mark.parametrize(
    ("by", "row"),
    [
        ("arms", r"challenger / base .*48 of 60"),
        ("tag", r"order .*48 of 60"),
        ("scenario", r"late parcels .*48 of 60"),
        ("locale", r"zh-CN "),
        ("annotator", r"mei "),
        ("role", r"expert "),
        ("week", r"2026-W11 .*20 of 32"),
        ("position", r"2 .*48 of 48"),
    ],
)
def test_every_breakdown(run, by: str, row: str) -> None:  # type: ignore[no-untyped-def]
    output = run("--by", by).output

    assert re.search(row, output)
    assert "Only the whole decides" in output


def test_a_selection(run) -> None:  # type: ignore[no-untyped-def]
    def counts(*arguments: str) -> dict[str | None, int]:
        return {one["model"]: one["n"] for one in json.loads(run("--json", *arguments).output)}

    assert counts() == {"v2": 32, "v1": 60, None: 0}
    assert counts("--until", "2026-03-05") == {"v1": 60, None: 0}
    assert counts("--since", "2026-03-05") == {"v2": 32, None: 0}
    assert counts("--tag", "=1+1") == {"v2": 16, "v1": 30, None: 0}
    assert counts("--locale", "zh") == {"v2": 11, "v1": 20, None: 0}
    assert counts("--scenario", "late parcels") == {"v1": 60, None: 0}
    assert counts("--role", "expert") == {"v2": 16, "v1": 30, None: 0}
    assert counts("--tag", "nowhere") == {None: 0}


def test_json_has_the_outlook_and_the_clusters(run) -> None:  # type: ignore[no-untyped-def]
    trial, old, _ = json.loads(run("--json").output)

    assert trial["forecast"]["low"] <= trial["forecast"]["picks"]
    assert old["forecast"] is None
    assert old["clustering"]["conversations"] == 20
    assert old["clustering"]["annotators"] == 2


def test_csv_for_spreadsheets_runs_no_formula(run) -> None:  # type: ignore[no-untyped-def]
    rows = list(csv.DictReader(io.StringIO(run("--csv", "--by", "tag", "--by", "week").output)))

    assert [row["by"] for row in rows if row["adapter"] == "v1"] == ["all", "tag", "tag", "week"]
    tag = next(row for row in rows if row["adapter"] == "v1" and row["group"].endswith("=1+1"))
    assert tag["group"] == "'=1+1"
    whole = next(row for row in rows if row["adapter"] == "v1" and row["by"] == "all")
    assert (whole["wins"], whole["picks"], whole["rate"]) == ("48", "60", "0.800000")
    assert {row["by"] for row in csv.DictReader(io.StringIO(run("--csv").output))} == {"all", *GROUPS}


def test_both_formats_at_once_are_refused(run) -> None:  # type: ignore[no-untyped-def]
    assert "one of --json and --csv" in run("--json", "--csv", code=2).output
