"""``picktune verify``, ``backup`` and ``prune``, as they are typed."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import Result
from picktune.log import SQLiteLog, SQLiteLogReader, schema
from picktune.log.verify import verify
from picktune.records import Candidate, Exposure, Message, Pick, Slate, Turn, new_id
from sqlite_utils import Database

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose log holds two picks."""

    async def write() -> None:
        async with SQLiteLog.open(tmp_path / "home" / "picktune.db") as log:
            for number in range(2):
                turn = Turn(
                    id=new_id(),
                    conversation_id=f"c{number}",
                    messages=(Message(role="user", content="Where is my order?"),),
                    created_at=NOW,
                )
                reply = Candidate(
                    id=new_id(),
                    arm="base",
                    kind="base",
                    model=None,
                    text="On its way.",
                    position=0,
                    propensity=1.0,
                    tokens=4,
                    latency=0.1,
                )
                slate = Slate(
                    id=new_id(),
                    turn=turn,
                    candidates=(reply,),
                    policy="base",
                    seed=1,
                    complete=True,
                    created_at=NOW,
                )
                await log.add_slate(slate)
                await log.add_exposure(
                    Exposure(slate_id=slate.id, viewer="mei", order=(reply.id,), shown_at=NOW)
                )
                await log.record(
                    Pick(
                        key="k",
                        slate_id=slate.id,
                        verdict="chosen",
                        candidate_id=reply.id,
                        annotator="mei",
                        decided_at=NOW,
                    )
                )

    asyncio.run(write())
    return tmp_path / "home"


def spoil(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("DROP TRIGGER picks_are_never_changed")
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_verify_a_sound_log(run: Run, home: Path) -> None:
    head = verify(home / "picktune.db").heads["picks"]

    output = run("verify").output

    assert f"{home / 'picktune.db'}: 2 slates, 2 picks, 0 reactions" in output
    assert head in output
    assert output.endswith("sound\n")
    assert json.loads(run("verify", "--json", "--expect", head).output)["sound"] is True


def test_verify_says_which_row_and_what_to_do(run: Run, home: Path) -> None:
    spoil(home / "picktune.db", "UPDATE picks SET role = 'expert' WHERE id = 2")

    output = run("verify", code=1).output

    assert "changed: pick 2 (of 'mei' on slate" in output
    assert "unguarded: the trigger picks_are_never_changed is missing" in output
    assert "NOT SOUND" in output
    assert "What to do:" in output
    told = json.loads(run("verify", "--json", code=1).output)
    assert told["sound"] is False
    assert [(one["kind"], one["id"]) for one in told["findings"]] == [
        ("unguarded", "picks_are_never_changed"),
        ("changed", 2),
    ]


def test_verify_says_what_it_cannot_check(run: Run, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear customer, " * 100)

    assert "no log at" in run("verify", "none.db", code=1).output
    assert "no SQLite database" in run("verify", "letter.txt", code=1).output
    assert "no end of a chain" in run("verify", "--expect", "2", code=1).output
    assert run("verify", "--nonsense", code=2).output


def test_backup_into_the_home_and_keep_a_few(run: Run, home: Path) -> None:
    folder = home / "backups"
    for _ in range(3):
        output = run("backup", "--keep", "2").output

    assert output.count("deleted picktune-") == 1
    kept = sorted(folder.glob("picktune-*.db"))
    assert len(kept) == 2
    assert str(kept[-1]) in output
    for one in kept:
        assert "2 picks" in run("verify", str(one)).output


def test_backup_to_a_file_and_into_a_folder(run: Run, tmp_path: Path) -> None:
    run("backup", "copy.db")
    assert "--force" in run("backup", "copy.db", code=1).output
    run("backup", "copy.db", "--force")
    run("backup", str(tmp_path))

    assert verify(tmp_path / "copy.db").sound
    assert len(list(tmp_path.glob("picktune-*.db"))) == 1
    assert "--keep" in run("backup", "other.db", "--keep", "1", code=2).output
    assert run("backup", "--keep", "0", code=2).output
    assert not (tmp_path / "other.db").exists()


def test_backup_of_what_is_not_sound_keeps_the_old_ones(run: Run, home: Path) -> None:
    run("backup")
    spoil(home / "picktune.db", "UPDATE picks SET role = 'expert' WHERE id = 2")

    output = run("backup", "--keep", "1", code=1).output

    assert "not sound" in output
    assert len(list((home / "backups").glob("picktune-*.db"))) == 1


def test_a_log_of_an_older_version_can_be_backed_up_but_not_verified(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "old" / "picktune.db"
    path.parent.mkdir()
    connection = sqlite3.connect(path, isolation_level=None)
    schema.migrations.apply(Database(connection), stop_before="hash_chain")
    connection.close()

    assert "older Picktune" in run("verify", "--home", str(path.parent), code=1).output
    assert "has no hash chain yet" in run("backup", "--home", str(path.parent)).output


def test_prune_asks_and_leaves_decisions_alone(run: Run, home: Path) -> None:
    assert "nothing to delete: there are 0 slates" in run("prune", "--older-than", "1h").output

    connection = sqlite3.connect(home / "picktune.db")
    connection.execute("DROP TRIGGER picks_are_never_deleted")  # one decision was never made
    connection.execute("DELETE FROM picks WHERE id = 2")
    connection.commit()
    connection.close()
    assert "would delete 1 slate drawn before" in run("prune", "--older-than", "1h", "--dry-run").output
    assert "Delete 1 slate drawn" in run("prune", "--older-than", "1h", code=1).output
    assert "would delete 1 slate" in run("prune", "--older-than", "1h", "--dry-run").output

    output = run("prune", "--older-than", "1h", "--yes").output

    assert "deleted: slates 1, replies 1, turns 1, exposures 1" in output
    assert "nothing to delete" in run("prune", "--older-than", "1h", "--yes").output
    assert run("prune", "--older-than", "9w").output


def test_prune_by_kind(run: Run, home: Path) -> None:
    kinds = ("--kind", "exposures", "--kind", "conversations", "--kind", "aliases")
    assert "nothing to delete: there are 0 exposures" in run("prune", "--older-than", "1h", *kinds).output
    connection = sqlite3.connect(home / "picktune.db")
    connection.execute("INSERT INTO exposures SELECT slate_id, 'bob', places, shown_at FROM exposures")
    connection.commit()
    (count,) = connection.execute("SELECT count(*) FROM exposures WHERE viewer = 'bob'").fetchone()
    connection.close()
    output = run("prune", "--older-than", "1h", *kinds, "--yes").output
    assert f"deleted: exposures {count}, conversations 0, aliases 0" in output
    assert run("verify").output


def test_vacuum(run: Run, home: Path) -> None:
    assert "MB are not in use" in run("vacuum", "--dry-run").output
    assert "MB before" in run("vacuum").output
    assert "sound" in run("verify").output
    with SQLiteLogReader(home / "picktune.db"):
        assert "stop the server" in run("vacuum", code=1).output
    assert "vacuumed" in run("audit").output


def test_repair(run: Run, home: Path) -> None:
    output = run("repair").output
    assert "picktune-repaired.db" in output
    assert "every table was read to its end" in output
    assert "sound" in run("verify", str(home / "picktune-repaired.db")).output
    assert "is there already" in run("repair", code=1).output


@pytest.mark.parametrize("age", ["", "0d", "-1d", "d", "1", "1y", "１d", "999999d", "1.5d"])
def test_prune_takes_ages_only(run: Run, age: str) -> None:
    assert "no age" in run("prune", "--older-than", age, code=2).output


def test_a_person_sees_a_bar(home: Path) -> None:
    """And whoever reads stdout does not."""
    terminal, end = pty.openpty()
    environ = {**os.environ, "PICKTUNE_HOME": str(home), "TERM": "xterm"}
    done = subprocess.run(
        [sys.executable, "-c", "from picktune.cli import main; main()", "verify"],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=end,
        check=True,
    )
    os.close(end)
    shown = os.read(terminal, 100_000).decode()
    os.close(terminal)

    assert "picks" in shown
    assert "━" in shown
    assert "━" not in done.stdout.decode()
