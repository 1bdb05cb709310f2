"""The journal keeps what it is given across processes, within its limit, and gives back what can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from picktune.records import Exposure, utc_now
from picktune.spool import Spool


def exposure(number: int) -> Exposure:
    return Exposure(slate_id=f"s{number}", viewer="ann", order=("a", "b"), shown_at=utc_now())


def test_the_next_process_finds_it_and_nobody_else(tmp_path: Path) -> None:
    first, other = Spool(tmp_path / "spool", limit=10_000), Spool(tmp_path / "spool", limit=10_000)
    shown = [exposure(number) for number in range(3)]
    assert [first.add(one) for one in shown] == [True] * 3
    assert list(other.left()) == []  # its process is at work
    first.close()
    assert list(other.left()) == shown
    assert list(other.left()) == []
    assert not list((tmp_path / "spool").iterdir())


def test_what_is_in_the_log_is_gone_from_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", limit=10_000)
    spool.add(exposure(1))
    spool.clear()
    spool.add(exposure(2))
    spool.close()
    assert [one.slate_id for one in Spool(tmp_path / "spool", limit=1).left()] == ["s2"]  # type: ignore[union-attr]
    empty = Spool(tmp_path / "spool", limit=10_000)
    empty.add(exposure(3))
    empty.clear()
    empty.close()
    assert not list((tmp_path / "spool").iterdir())


def test_it_has_a_limit(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", limit=400)
    taken = [spool.add(exposure(number)) for number in range(9)]
    assert 0 < sum(taken) < 9
    assert spool.bytes <= 400
    spool.close()


def test_a_line_that_was_cut_off_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = Spool(tmp_path / "spool", limit=10_000)
    spool.add(exposure(1))
    spool.close()
    (file,) = (tmp_path / "spool").glob("*.jsonl")
    file.write_bytes(b"\xff\n" + file.read_bytes() + file.read_bytes()[:40])
    assert [one.slate_id for one in Spool(tmp_path / "spool", limit=1).left()] == ["s1"]  # type: ignore[union-attr]
    assert caplog.text.count("is lost") == 2


def test_where_it_cannot_be_written_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "spool").touch()
    spool: Any = Spool(tmp_path / "spool", limit=10_000)
    assert not spool.add(exposure(1))
    assert list(spool.left()) == []
    spool.close()
