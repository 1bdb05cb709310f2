"""``picktune dataset`` on a real log: build, list, show, diff, why, freeze; and the frozen hold-out."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from picktune.audit import AuditLog
from picktune.errors import PicktuneError
from picktune_retrain.dataset import load_dataset, load_hold_out
from picktune_retrain.datasetcli import dataset
from picktune_retrain.errors import HoldOutChanged, HoldOutExists, StateCorrupt, WrittenByNewer


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PICKTUNE_CONFIG", raising=False)


@pytest.fixture
def home(tmp_path: Path, fill_log: Callable[..., Path], fill_others: Callable[..., Path]) -> Path:
    return fill_others(fill_log(tmp_path / "home", 60), 1)


def run(home: Path, *arguments: object) -> Result:
    return CliRunner().invoke(dataset, [*map(str, arguments), "--home", str(home)])


def said(home: Path, *arguments: object) -> Any:
    ended = run(home, *arguments, "--json")
    assert ended.exit_code == 0, ended.output
    return json.loads(ended.stdout)


def test_build_list_and_show(home: Path, tmp_path: Path) -> None:
    ended = run(home, "list")
    assert "No dataset yet" in ended.stdout
    assert said(home, "build", "--dry-run")["counts"] == {"train": 49, "validation": 6, "test": 6}
    assert not (home / "datasets").exists()
    made = said(home, "build")
    assert [one["id"] for one in said(home, "list")] == [made["id"]]
    assert made["id"][:12] in run(home, "list").stdout
    shown = run(home, "show", made["id"][:8], "--rows", 1, "--card", tmp_path / "cards" / "card.html")
    assert shown.exit_code == 0, shown.output
    assert "at one and the same place of" in shown.stdout
    assert sum(line.startswith('{"slate_id"') for line in shown.stdout.splitlines()) == 3
    card = (tmp_path / "cards" / "card.html").read_text("utf-8")
    assert "Dataset card" in card
    assert "数据集说明" in card
    assert "parcel" not in card
    assert "<script" not in card


def test_diff_says_what_came_and_what_was_asked_differently(
    home: Path, fill_log: Callable[..., Path]
) -> None:
    first = said(home, "build")["id"]
    fill_log(home, 10, start=60)
    second = said(home, "build")["id"]
    found = said(home, "diff", first)
    assert (found["before"], found["after"]) == (first, second)
    assert sum(found["added"].values()) == 10
    assert found["unchanged"] == 61
    assert found["moved"] == []
    less = said(home, "build", "--tag", "edit")
    assert (sum(less["counts"].values()), less["unselected"]) == (1, 70)
    told = run(home, "diff", second, less["id"]).stdout
    assert "removed: " in told
    assert "asked for tags: () → ('edit',)" in told


def test_why_of_every_kind(home: Path) -> None:
    made = said(home, "build", "--until", "2026-11-23T20:00:50")
    whole = load_dataset(made["id"], home / "datasets")
    (answer,) = said(home, "why", whole.train[0].slate_id)["answers"]
    assert answer["split"] == "train"
    (answer,) = said(home, "why", whole.test[0].slate_id)["answers"]
    assert answer["because"] == "it is held out, to judge the adapter by"
    (answer,) = said(home, "why", "slate-0055")["answers"]
    assert "decided after 2026-11-23 20:00 UTC" in answer["because"]
    assert "slate-0000" in run(home, "why", "1").stdout
    (answer,) = said(home, "why", "slate-tie-000")["answers"]
    assert answer["because"].startswith("its verdict is tie")
    (answer,) = said(home, "why", "slate-thumb-000")["answers"]
    assert answer["because"] == "nobody has decided on it"
    unknown = run(home, "why", "never-heard-of")
    assert isinstance(unknown.exception, PicktuneError)
    said(home, "build", "--longest-reply", 10)
    told = run(home, "why", "slate-0001").stdout
    assert "left out as overlong" in told
    assert "what to do: raise --longest-reply" in told


def test_a_hold_out_is_frozen_once_and_watched_over(home: Path, fill_log: Callable[..., Path]) -> None:
    first = said(home, "build")
    frozen = said(home, "freeze", "--name", "spring", "--by", "eve")
    assert (frozen["name"], frozen["picks"]) == ("spring", first["counts"]["test"])
    (entry,) = AuditLog(home).entries()
    assert (entry.action, entry.of, entry.by) == ("hold_out_frozen", "spring", "eve")
    assert isinstance(run(home, "freeze").exception, HoldOutExists)
    folder = home / "datasets"
    assert b"parcel" not in (folder / "holdout.json").read_bytes()
    held = {row.slate_id for row in load_dataset(first["id"], folder).test}

    fill_log(home, 40, start=60)
    # Neither a lost memory of the splits nor another selection lets one of them into the training.
    (folder / "splits.json").unlink()
    for one in folder.iterdir():
        if one.is_dir():
            for file in one.iterdir():
                file.unlink()
            one.rmdir()
    for options in ((), ("--seed", 7), ("--since", "2026-11-23T20:01:00")):
        made = said(home, "build", *options)
        whole = load_dataset(made["id"], folder)
        assert made["frozen"] == len(held)
        assert held <= {row.slate_id for row in whole.test}
        assert held.isdisjoint(row.slate_id for row in (*whole.train, *whole.validation))
    (answer,) = said(home, "why", min(held))["answers"]
    assert answer["frozen"]

    tampered = (folder / "holdout.json").read_text()
    (folder / "holdout.json").write_text(tampered.replace('"name": "spring"', '"name": "autumn"'))
    assert isinstance(run(home, "build").exception, StateCorrupt)
    (folder / "holdout.json").write_text(tampered.replace('"format": 1', '"format": 9'))
    newer = run(home, "build").exception
    assert isinstance(newer, WrittenByNewer)
    assert "upgrade" in newer.message


def test_a_changed_row_of_the_hold_out_is_noticed_and_a_missing_one_counted(home: Path) -> None:
    said(home, "build")
    said(home, "freeze")
    hold_out = load_hold_out(home / "datasets")
    assert hold_out is not None
    one, other = hold_out.rows[0][0], hold_out.rows[1][0]
    with sqlite3.connect(home / "picktune.db") as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("DELETE FROM picks WHERE slate_id = ?", (other,))
    connection.close()
    assert said(home, "build")["frozen"] == len(hold_out.rows) - 1
    with sqlite3.connect(home / "picktune.db") as connection:
        connection.execute("UPDATE candidates SET text = 'Other words' WHERE slate_id = ?", (one,))
    connection.close()
    changed = run(home, "build").exception
    assert isinstance(changed, HoldOutChanged)
    assert one in changed.message


def test_a_dataset_of_a_newer_picktune_is_left_as_it_is(home: Path) -> None:
    made = said(home, "build")
    path = home / "datasets" / made["id"] / "manifest.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    before = path.read_bytes()
    for command in (("show",), ("list",), ("build",), ("why", "slate-0001")):
        newer = run(home, *command).exception
        assert isinstance(newer, WrittenByNewer), command
    assert path.read_bytes() == before


def test_an_empty_log_makes_an_empty_dataset(tmp_path: Path, fill_log: Callable[..., Path]) -> None:
    home = fill_log(tmp_path / "empty", 0)
    made = said(home, "build")
    assert made["counts"] == {"train": 0, "validation": 0, "test": 0}
    card = tmp_path / "card.html"
    assert run(home, "show", "--card", card, "--locale", "zh").exit_code == 0
    assert "没有选择数据" in card.read_text("utf-8")
    assert "holds nothing out" in str(run(home, "freeze").exception)
