"""``picktune export``, and ``picktune import`` of picks: files, cards, lists of what was refused."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from picktune.cli import main
from picktune.interchange import EXPORTERS
from picktune.log import SQLiteLog, SQLiteLogReader
from picktune.records import DecidedSlate, Selection

Run = Callable[..., Result]
Decide = Callable[..., DecidedSlate]
PICKTUNE = [sys.executable, "-c", "from picktune.cli import main; main()"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command on a home of its own; ``code`` is the exit code that it must end with."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("PICKTUNE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PICKTUNE_HOME", str(tmp_path / "home"))

    def invoke(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == code, result.output + repr(result.exception)
        return result

    return invoke


def keep(home: Path, *decisions: DecidedSlate) -> None:
    async def write() -> None:
        async with SQLiteLog.open(home / "picktune.db") as log:
            await asyncio.gather(*map(log.add_decided, decisions))

    asyncio.run(write())


@pytest.fixture
def home(tmp_path: Path, decide: Decide) -> Path:
    """Four picks by an agent, one of them edited and one of a Chinese refund, and one simulated pick."""
    home = tmp_path / "home"
    keep(
        home,
        decide("chosen", 1, at=0),
        decide("chosen", 0, at=60, edited_text="Mended."),
        decide("chosen", 1, at=120, tags=("退款",), locale="zh", texts=["一", "二"]),
        decide("tie", at=180),
        decide("chosen", 3, at=240, role="model"),
    )
    return home


def test_the_help_lists_the_formats(run: Run) -> None:
    said = run("export", "--help").output
    for name, exporter in EXPORTERS.items():
        assert f"  {name} " in said
        assert exporter.SUMMARY[:40] in said


def test_to_a_file_with_its_card(run: Run, home: Path, tmp_path: Path) -> None:
    said = run("export", "trl-preference", "--out", "pairs.jsonl").output
    assert said == "pairs.jsonl: 7 rows from 3 decisions; 1 more without a row in this format\n"
    assert len((tmp_path / "pairs.jsonl").read_text("utf-8").splitlines()) == 7
    card = json.loads((tmp_path / "pairs.jsonl.card.json").read_text("utf-8"))
    assert (card["rows"], card["simulated"]) == (7, False)
    assert card["selection"]["roles"] == ["user", "agent", "expert", "crowd"]
    run("export", "sft", "--out", "sft.jsonl", "--card", "about.json")
    assert json.loads((tmp_path / "about.json").read_text("utf-8"))["file"] == "sft.jsonl"
    assert not (tmp_path / "sft.jsonl.card.json").exists()


def test_selecting(run: Run, home: Path) -> None:
    def count(*options: str) -> int:
        return len(run("export", "choice", *options).stdout_bytes.splitlines())

    assert count() == 4
    assert count("--role", "model") == 1
    assert count("--role", "model", "--role", "agent") == 5
    assert count("--tag", "退款") == count("--locale", "zh") == 1
    assert count("--tag", "退款", "--tag", "order") == 4
    assert count("--since", "2026-11-24T09:01:00", "--until", "2026-11-24 09:03:00") == 2
    assert count("--since", "2026-11-24T17:01:00+0800") == 3
    assert count("--until", "2026-11-24") == 0
    assert "simulated picks are among them" in run("export", "csv", "--role", "model", "--out", "m").output


def test_to_stdout(run: Run, home: Path, tmp_path: Path) -> None:
    output = run("export", "csv", "--bom", "--card", "card.json").stdout_bytes
    assert output.startswith(b'\xef\xbb\xbf"decided_at"')
    card = json.loads((tmp_path / "card.json").read_text("utf-8"))
    assert (card["file"], card["size"], card["rows"]) == (None, len(output), 4)


def test_a_bar_is_shown_to_a_person(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "choice export" in run("export", "choice", "--out", "c.jsonl").stderr
    assert run("export", "choice").stderr == ""
    assert "importing c.jsonl" in run("import", "c.jsonl").stderr
    monkeypatch.delenv("FORCE_COLOR")
    assert run("export", "choice", "--out", "c.jsonl").stderr == ""


def test_what_is_refused(run: Run, home: Path, tmp_path: Path) -> None:
    assert "is the log itself" in run("export", "choice", "--out", "home/picktune.db", code=1).stderr
    (tmp_path / "sly").symlink_to(home / "picktune.db-wal")
    assert "is the log itself" in run("export", "choice", "--out", "sly", code=1).stderr
    assert "is the log itself" in run("export", "csv", "--card", "home/picktune.db", code=1).stderr
    assert "only csv" in run("export", "sft", "--bom", "--out", "x", code=1).stderr
    assert "make it first" in run("export", "sft", "--out", "no/x", code=1).stderr
    run("export", "xml", code=2)
    run("export", "choice", "--since", "yesterday", code=2)
    run("export", "choice", "--role", "boss", code=2)
    assert "there is no log" in run("export", "choice", "--home", "elsewhere", code=1).stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "sly"]


def test_killed_half_way(home: Path, decide: Decide, tmp_path: Path) -> None:
    keep(home, *(decide("chosen", 0, texts=[f"{n}" * 50_000, "b"], at=1000 + n) for n in range(200)))
    file = tmp_path / "out" / "choice.jsonl"
    file.parent.mkdir()
    file.write_text("before")
    command = [*PICKTUNE, "export", "choice", "--home", str(home), "--out", str(file)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    limit = time.monotonic() + 30
    # Killed as soon as the temporary file grows.
    while not any(part.stat().st_size for part in file.parent.glob(".tmp-choice.jsonl-*")):
        assert process.poll() is None
        assert time.monotonic() < limit
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert file.read_text() == "before"
    assert not (tmp_path / "out" / "choice.jsonl.card.json").exists()


def test_a_disk_that_is_full(home: Path, decide: Decide, tmp_path: Path) -> None:
    keep(home, decide("chosen", 0, texts=["x" * 100_000, "b"], at=1000))
    (tmp_path / "out").mkdir()
    # No file may grow beyond 64 KiB.
    command = (
        f"ulimit -f 64; {sys.executable} -c 'from picktune.cli import main; main()' export choice --out c"
    )
    environ = os.environ | {"PICKTUNE_HOME": str(home)}
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        env=environ,
        cwd=tmp_path / "out",
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: c: File too large; nothing of it was written: make room")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_reader_that_has_had_enough(home: Path) -> None:
    command = (
        f"{sys.executable} -c 'from picktune.cli import main; main()' export trl-preference | head -c 10"
    )
    environ = os.environ | {"PICKTUNE_HOME": str(home)}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, env=environ)
    assert done.stderr == ""
    assert len(done.stdout) == 10


# Import


def test_picks_from_another_log(run: Run, home: Path, tmp_path: Path) -> None:
    everyone = ("--role", "agent", "--role", "model")
    run("export", "choice", "--out", "choice.jsonl", *everyone)
    fresh = ("--home", "fresh")
    assert run("import", "choice.jsonl", *fresh).output == "choice.jsonl: 5 picks new, 0 known already\n"
    assert run("import", "choice.jsonl", *fresh).output == "choice.jsonl: 0 picks new, 5 known already\n"
    assert run("support", "--json", *everyone, *fresh).output == run("support", "--json", *everyone).output
    run("verify", *fresh)
    with (
        SQLiteLogReader(home / "picktune.db") as original,
        SQLiteLogReader(tmp_path / "fresh" / "picktune.db") as copy,
    ):
        assert list(copy.decided_slates(Selection())) == list(original.decided_slates(Selection()))


def test_two_imports_at_once_finish_what_one_began(
    home: Path, decide: Decide, tmp_path: Path, run: Run
) -> None:
    keep(home, *(decide("chosen", 0, at=n) for n in range(296)))
    run("export", "choice", "--out", "choice.jsonl")
    assert "100 picks new" in run("import", "choice.jsonl", "--home", "fresh", "--limit", "100").output
    both = [
        subprocess.Popen(
            [*PICKTUNE, "import", "choice.jsonl", "--home", "fresh"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [one.communicate(timeout=60) for one in both]
    assert [error for _, error in said] == ["", ""]
    assert sum(int(out.split()[1]) for out, _ in said) == 200
    with SQLiteLogReader(tmp_path / "fresh" / "picktune.db") as reader:
        assert reader.counts()["picks"] == reader.counts()["slates"] == 300


def test_rows_that_do_not_go_in_are_listed(run: Run, home: Path, tmp_path: Path) -> None:
    run("export", "choice", "--out", "choice.jsonl")
    good = (tmp_path / "choice.jsonl").read_bytes()
    # Broken, and one that only the log can refuse: the same decision under another key.
    other = json.loads(good.splitlines()[0]) | {"key": "another", "annotator": "lin"}
    twice = other | {"turn_id": "t", "slate_id": "s"}
    rows = [json.dumps(other).encode(), json.dumps(twice).encode(), *[b"{"] * 30]
    (tmp_path / "bad.jsonl").write_bytes(good + b"\n".join(rows))
    done = run("import", "bad.jsonl", "--home", "fresh")
    assert "5 picks new, 0 known already, 31 refused (listed in bad.jsonl.rejects.jsonl)" in done.output
    assert "bad.jsonl: line 7: " in done.stderr
    assert "and 11 more; all are in bad.jsonl.rejects.jsonl" in done.stderr
    listed = [json.loads(line) for line in (tmp_path / "bad.jsonl.rejects.jsonl").read_text().splitlines()]
    assert sorted(row["line"] for row in listed) == [6, *range(7, 37)]
    assert next(row for row in listed if row["line"] == 6)["id"] == "s"
    again = run("import", "bad.jsonl", "--home", "fresh", "--rejects", "list.jsonl")
    assert "0 picks new, 5 known already, 31 refused (listed in list.jsonl)" in again.output
    assert len((tmp_path / "list.jsonl").read_text().splitlines()) == 31


def test_rejects_of_conversations_are_listed_too(run: Run, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"id": "a", "message": "Hi"}\n{"id": "b"}\n')
    assert "1 new, 0 known already, 1 refused" in run("import", "t.jsonl").output
    (row,) = map(json.loads, (tmp_path / "t.jsonl.rejects.jsonl").read_text().splitlines())
    assert row["line"] == 2
    run("import", "t.jsonl", "t.jsonl", "--rejects", "x", code=2)
    # Where no list can be written, nothing is lost but the list.
    done = run("import", "t.jsonl", "--rejects", "no/list")
    assert "name another file with --rejects" in done.stderr
    assert "t.jsonl: line 2" in done.stderr
    assert done.stdout == "t.jsonl: 0 new, 1 known already, 1 refused\n"


def test_votes(run: Run, tmp_path: Path) -> None:
    row: dict[str, Any] = {"idx": 1, "cmp_key": "a_b", "instruction": "Say hello.", "input": ""}
    row |= {"response1": "Hello.", "response2": "你好。", "annotator1": 2, "annotator2": 1, "annotator3": 0}
    (tmp_path / "votes.json").write_text(json.dumps([row]))
    assert run("import", "votes.json").output == "votes.json: 3 picks new, 0 known already\n"
    assert run("import", "votes.json", "--format", "pandalm").output == (
        "votes.json: 0 picks new, 3 known already\n"
    )
    assert len(run("export", "trl-preference").stdout_bytes.splitlines()) == 2
    run("import", "votes.json", "--format", "xml", code=2)
