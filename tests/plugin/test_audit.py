"""What administrators do is noted, whole and in order, and is not done where it cannot be noted."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from picktune.audit import AuditEntry, AuditLog, audited
from picktune.errors import LogUnavailable
from picktune.keys import KeyRing
from picktune_adapters.registry import Registry

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")


def entry(number: int = 0, **more: Any) -> AuditEntry:
    made = {"at": NOW + timedelta(minutes=number), "by": "ada", "action": "verified", "of": str(number)}
    return AuditEntry(**{**made, **more})


def done(home: Path) -> list[tuple[str, str, str]]:
    return [(one.by, one.action, one.of) for one in AuditLog(home).entries()]


# The file


def test_entries_are_kept_in_order_for_the_owner_only(home: Path) -> None:
    log = AuditLog(home)
    assert list(log.entries()) == []
    assert not home.exists()
    for number in range(3):
        log.note(entry(number, details={"reason": f"because\n{number} „…“"}))
    assert [one.of for one in log.entries()] == ["0", "1", "2"]
    assert [one.of for one in log.entries(since=NOW + timedelta(minutes=1))] == ["1", "2"]
    assert log.path.stat().st_mode & 0o777 == 0o600
    lines = log.path.read_text("utf-8").splitlines()
    assert len(lines) == 3
    assert json.loads(lines[0])["details"] == {"reason": "because\n0 „…“"}


def test_many_at_once_lose_nothing(home: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: AuditLog(home).note(entry(number)), range(60)))
    assert sorted(int(one.of) for one in AuditLog(home).entries()) == list(range(60))


def test_what_a_killed_writer_left_is_not_an_entry(home: Path) -> None:
    log = AuditLog(home)
    log.note(entry(1))
    with log.path.open("ab") as file:
        file.write(b'{"at":"2026-11-24T09:00:00Z","by":"m')
    assert [one.of for one in log.entries()] == ["1"]
    log.note(entry(2))
    assert [one.of for one in log.entries()] == ["1", "2"]


@pytest.mark.parametrize("broken", [b"{}", b"\xff\xfe", b'{"at": 1}', b""])
def test_a_line_that_is_no_entry_is_named(home: Path, broken: bytes) -> None:
    log = AuditLog(home)
    log.note(entry(1))
    with log.path.open("ab") as file:
        file.write(broken + b"\n")
    with pytest.raises(LogUnavailable, match=r"line 2 of .*audit\.jsonl"):
        list(log.entries())


def test_what_fails_is_not_noted(home: Path) -> None:
    log = AuditLog(home)
    with pytest.raises(RuntimeError), audited(log, "pruned", by="ada", now=NOW):
        raise RuntimeError
    with audited(log, "pruned", "it", by="ada", now=NOW, older_than="1d") as told:
        told["slates"] = "3"
    (one,) = log.entries()
    assert (one.of, one.details) == ("it", {"older_than": "1d", "slates": "3"})


def test_what_cannot_be_noted_is_not_begun(home: Path) -> None:
    log, begun = AuditLog(home), False
    log.path.mkdir(parents=True)
    with pytest.raises(LogUnavailable, match="cannot be used"), audited(log, "pruned", by="a", now=NOW):
        begun = True
    assert not begun


# The commands


def test_keys_and_links_are_noted_without_themselves(run: Run, home: Path) -> None:
    key = run("keys", "create", "--name", "shop", "--scope", "slate").stdout.strip()
    run("keys", "create", "--name", "shop", code=1)
    link = run("link", "mei", "--admin").stdout.strip()
    run("link", "a\nb", code=1)
    run("keys", "revoke", "--name", "shop")
    run("keys", "revoke", "--name", "shop", code=1)
    assert done(home) == [
        ("ada", "key_created", "shop"),
        ("ada", "link_made", "mei"),
        ("ada", "key_revoked", "shop"),
    ]
    text = AuditLog(home).path.read_text("utf-8")
    assert key not in text
    assert link.partition("token=")[2] not in text
    assert '"scopes":"slate"' in text
    assert '"admin":"yes"' in text


def test_moves_of_an_alias_are_noted_with_the_reason(run: Run, home: Path, tiny_adapter: Any) -> None:
    registry = Registry(home / "registry")
    registry.add(
        tiny_adapter("v1"), name="v1", base_model="tiny", run_id="r", dataset_id="d", picks=1, now=NOW
    )
    run("promote", "v1", "--reason", "people like it", "--by", "mei")
    run("promote", "v9", "--reason", "x", code=1)
    run("rollback", "--reason", "complaints")
    run("rollback", "--reason", "again", code=1)
    first, second = AuditLog(home).entries()
    assert (first.by, first.action, first.of) == ("mei", "promoted", "v1")
    assert first.details == {"reason": "people like it", "before": "the base"}
    assert (second.by, second.action) == ("ada", "rolled_back")
    assert second.details == {"reason": "complaints", "before": "v1", "after": "the base"}


@pytest.mark.anyio
async def test_moves_at_the_page_are_noted_for_who_is_signed_in(api: Any, tiny_adapter: Any) -> None:
    settings = api.service.settings
    Registry(settings.registry_path).add(
        tiny_adapter("v1"), name="v1", base_model="tiny", run_id="r", dataset_id="d", picks=1, now=NOW
    )
    headers = await api.signed_in("mei", "read", "admin")

    async def move(**body: str) -> int:
        answer = await api.post("/adapters/move", {"reason": "why not", **body}, key=None, headers=headers)
        return int(answer.status_code)

    assert await move(move="promote", name="v1") == 200
    assert await move(move="promote", name="v1") == 409  # the champion is another one by now
    assert await move(move="rollback", champion="v1") == 200
    noted = list(AuditLog(settings.folder).entries())
    assert [(one.by, one.action, one.of) for one in noted] == [
        ("mei", "promoted", "v1"),
        ("mei", "rolled_back", ""),
    ]
    assert noted[1].details == {"reason": "why not", "before": "v1", "after": "the base"}
    AuditLog(settings.folder).path.unlink()
    AuditLog(settings.folder).path.mkdir()
    assert await move(move="promote", name="v1") == 503
    assert Registry(settings.registry_path).aliases().champion is None


def test_what_is_done_with_the_log_is_noted(run: Run, home: Path, tmp_path: Path) -> None:
    run("import", "--samples", "--limit", "2")
    run("verify")
    run("backup", str(tmp_path / "copy.db"))
    run("export", "choice", "--out", str(tmp_path / "choice.jsonl"))
    run("export", "csv")
    assert done(home) == [
        ("ada", "verified", str(home / "picktune.db")),
        ("ada", "backed_up", str(tmp_path / "copy.db")),
        ("ada", "exported", str(tmp_path / "choice.jsonl")),
        ("ada", "exported", "stdout"),
    ]
    assert next(AuditLog(home).entries()).details == {"sound": "yes"}


def test_what_only_reads_goes_on_where_nothing_can_be_noted(run: Run, home: Path, tmp_path: Path) -> None:
    run("import", "--samples", "--limit", "2")
    run("backup", str(tmp_path / "copy.db"))
    AuditLog(home).path.unlink()
    AuditLog(home).path.mkdir()
    assert "not noted" in run("verify").stderr
    assert "not noted" in run("export", "choice", "--out", str(tmp_path / "choice.jsonl")).stderr
    refused = run("keys", "create", "--name", "shop", code=1)
    assert "audit log" in refused.stderr
    assert KeyRing(home / "keys.json").all() == ()
    # Elsewhere there is nothing to note it in, and nothing is made.
    run("verify", str(tmp_path / "copy.db"), "--home", str(tmp_path / "nowhere"))
    assert not (tmp_path / "nowhere").exists()


def test_the_list(run: Run, home: Path) -> None:
    assert run("audit").output == "Nothing was done yet.\n"
    assert json.loads(run("audit", "--json").output) == []
    AuditLog(home).note(entry(1, of="[bold]x", details={"reason": "[red]y"}))
    AuditLog(home).note(entry(2))
    table = run("audit").output
    assert "2026-11-24 09:01:00" in table
    assert "[bold]x" in table
    assert "reason: [red]y" in table
    rows = json.loads(run("audit", "--json", "--since", "2026-11-24T09:02:00").output)
    assert [row["of"] for row in rows] == ["2"]
    assert "since 2027-01-01" in run("audit", "--since", "2027-01-01").output
    AuditLog(home).path.write_bytes(b"x\n")
    assert "line 1" in run("audit", code=1).stderr
