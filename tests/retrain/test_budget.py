"""A night's budgets, and who hears how it ended."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from picktune.settings import Settings
from picktune_adapters.registry import Registry
from picktune_retrain import nights
from picktune_retrain.budget import Deadline, check_room, duration
from picktune_retrain.cli import nightly
from picktune_retrain.errors import DiskFull, NightStopped, TrainingInterrupted
from picktune_retrain.nightly import nightly as run
from picktune_retrain.plan import Plan, Quiet, Summary
from picktune_retrain.records import Recipe


@pytest.mark.parametrize(
    ("text", "minutes"), [("3h", 180), ("90m", 90), ("1h30m", 90), ("30s", 0.5), ("0h5m", 5)]
)
def test_lengths_of_time(text: str, minutes: float) -> None:
    assert duration(text) == timedelta(minutes=minutes)


@pytest.mark.parametrize("text", ["", "3", "h", "3 h", "-3h", "0m", "1.5h", "3hours", "9" * 30 + "h"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write it like 3h"):
        duration(text)


def test_the_deadline_is_noted_once() -> None:
    seconds, notes = [0.0], list[str]()
    deadline = Deadline(timedelta(seconds=10), lambda: False, notes.append, lambda: seconds[0])
    assert not deadline()
    seconds[0] = 10.0
    assert deadline()
    assert deadline()
    assert notes == ["the time of 0:00:10 is used up (--stop-after): saving"]
    assert not Deadline(None, lambda: False, notes.append, lambda: 1e9)()
    assert Deadline(None, lambda: True, notes.append)()


def test_a_disk_with_too_little_room(tmp_path: Path) -> None:
    check_room(tmp_path, 0.0)
    with pytest.raises(DiskFull, match="and a night wants 1e\\+09; free space or lower --min-free"):
        check_room(tmp_path, 1e9)


def test_a_night_that_ran_out_of_time_goes_on_and_ends_the_same(
    tiny_model: Path, tmp_path: Path, fill_log: Callable[..., Path]
) -> None:
    recipe = Recipe(learning_rate=3e-3, epochs=1)

    def settings(home: Path) -> Settings:
        return Settings(home=str(home), model=str(tiny_model), roles=("agent",))

    whole, cut = fill_log(tmp_path / "whole"), fill_log(tmp_path / "cut")
    assert run(settings(whole), Plan(recipe=recipe)).exit_code == Summary.ADMITTED

    class Notes(Quiet):
        said: list[str] = []  # noqa: RUF012

        def note(self, text: str) -> None:
            self.said.append(text)

    with pytest.raises((NightStopped, TrainingInterrupted)):
        run(settings(cut), Plan(recipe=recipe, stop_after=timedelta(microseconds=1)), watch=Notes())
    assert any("is used up" in note for note in Notes.said)
    assert [night.manifest.result for night in nights.all_nights(cut)] == [None]
    assert run(settings(cut), Plan(recipe=recipe)).exit_code == Summary.ADMITTED
    hashes = [Registry(settings(home).registry_path).versions()[0].sha256 for home in (whole, cut)]
    assert hashes[0] == hashes[1]


def test_the_command_tells_the_webhook(
    tiny_model: Path, tmp_path: Path, fill_log: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    got: list[dict[str, object]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    home = fill_log(tmp_path / "home")
    options = ["--home", str(home), "--model", str(tiny_model), "--role", "agent", "--json"]
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        monkeypatch.setenv("PICKTUNE_NOTIFY__URLS", f"http://127.0.0.1:{server.server_port}/hook")

        few = CliRunner().invoke(nightly, [*options, "--min-picks", "100000"])
        assert few.exit_code == Summary.NOTHING_TO_DO
        assert got == [], "of such ends one need not hear"
        full = CliRunner().invoke(nightly, [*options, "--min-free", "1e9"])
        assert full.exit_code == Summary.FAILED
        tried = CliRunner().invoke(nightly, [*options, "--dry-run"])
        assert tried.exit_code == Summary.ADMITTED
        monkeypatch.setenv("PICKTUNE_NOTIFY__ON", "nothing_to_do")
        CliRunner().invoke(nightly, [*options, "--min-picks", "100000"])
        server.shutdown()
        thread.join()
    assert [one["event"] for one in got] == ["nightly.failed", "nightly.nothing_to_do"]
    assert "GiB left" in str(got[0]["text"])
    assert nights.all_nights(home) == []

    monkeypatch.setenv("PICKTUNE_NOTIFY__URLS", "http://127.0.0.1:9/token")
    monkeypatch.setattr("picktune.notify.ATTEMPTS", 1)
    deaf = CliRunner().invoke(nightly, [*options, "--min-picks", "100000"])
    assert deaf.exit_code == Summary.NOTHING_TO_DO, "a webhook that is down makes no night a bad one"
    assert "note: the webhook at 127.0.0.1:9 was not told" in deaf.stderr
    assert json.loads(deaf.stdout.splitlines()[-1])["exit_code"] == Summary.NOTHING_TO_DO
