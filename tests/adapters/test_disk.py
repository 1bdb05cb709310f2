from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from picktune_adapters import disk


def test_replace_leaves_no_temporary_file_when_it_fails(tmp_path: Path) -> None:
    target = tmp_path / "taken"
    target.mkdir()
    (target / "file").touch()
    with pytest.raises(OSError, match="taken"):
        disk.replace(target, b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]


@given(
    whole=st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line), max_size=5),
    torn=st.binary(max_size=9),
)
def test_append_cuts_off_a_torn_line_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, whole: list[bytes], torn: bytes
) -> None:
    path = tmp_path_factory.mktemp("append") / "lines"
    torn = torn.replace(b"\n", b"")
    before = b"".join(line + b"\n" for line in whole)
    path.write_bytes(before + torn)
    disk.append(path, b"next\n")
    assert path.read_bytes() == before + b"next\n"


def test_sha256_is_that_of_the_bytes_one_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"two" * 1_000_000)
    assert (
        disk.sha256(tmp_path / "a", tmp_path / "b") == hashlib.sha256(b"one" + b"two" * 1_000_000).hexdigest()
    )


def test_sweep_takes_only_temporary_entries_and_follows_no_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    folder = tmp_path / "folder"
    (folder / ".tmp-half").mkdir(parents=True)
    (folder / ".tmp-half" / "file").touch()
    (folder / ".tmp-link").symlink_to(outside)
    (folder / ".tmp-file").touch()
    (folder / "kept").mkdir()
    (folder / ".lock").touch()
    disk.sweep(folder)
    assert sorted(entry.name for entry in folder.iterdir()) == [".lock", "kept"]
    assert (outside / "precious").exists()


def test_sweep_of_a_missing_folder_is_nothing(tmp_path: Path) -> None:
    disk.sweep(tmp_path / "missing")
