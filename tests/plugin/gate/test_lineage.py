"""Which datasets hold a pick and which adapters learned from it, from the files that the night leaves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from picktune.errors import StateUnreadable
from picktune.lineage import DatasetHead, SplitName, adapters_of, datasets, keep_lineage, picks_of, uses_of
from picktune_adapters.registry import Registry

NOW = datetime(2026, 11, 24, 2, 15, 0, 123456, tzinfo=UTC)


def keep(home: Path, name: str, *picks: tuple[SplitName, str], later: int = 0) -> None:
    at = NOW + timedelta(days=later)
    counts = {split: sum(1 for one, _ in picks if one == split) for split in ("train", "validation", "test")}
    head = DatasetHead(dataset_id=name, until=at, created_at=at, counts=counts)
    keep_lineage(home, head, [(split, slate, NOW) for split, slate in picks])


def test_a_pick_leads_to_its_datasets_and_the_adapters_that_learned_from_it(
    home: Path, register: Any
) -> None:
    keep(home, "one", ("train", "a"), ("test", "b"))
    keep(home, "two", ("train", "a"), ("train", "b"), ("train", "c"), later=1)
    keep(home, "three", ("train", "d"), later=2)
    register("v1", dataset_id="one")
    register("v2", dataset_id="two")
    register("v3", dataset_id="three", parent="v1")
    found = [(use.dataset_id, use.split, use.adapters) for use in uses_of(home, ["b"])]
    assert found == [("one", "test", ("v1", "v3")), ("two", "train", ("v2",))]
    assert uses_of(home, ["b"])[0].decided_at == NOW
    assert adapters_of(home, ["a", "b"]) == {"v1": ("a",), "v2": ("a", "b"), "v3": ("a",)}
    assert adapters_of(home, []) == adapters_of(home, ["nothing"]) == {}
    assert [head.dataset_id for head in datasets(home)] == ["one", "two", "three"]


def test_a_removed_adapter_is_still_named(home: Path, register: Any, registry: Registry) -> None:
    keep(home, "one", ("train", "a"))
    register("v1", dataset_id="one")
    registry.remove("v1", by="ann", reason="space", now=NOW)
    assert adapters_of(home, ["a"]) == {"v1": ("a",)}


def test_a_dataset_from_before_is_read_itself(home: Path, register: Any) -> None:
    folder = home / "datasets" / "old"
    folder.mkdir(parents=True)
    manifest = {"id": "old", "until": NOW, "created_at": NOW, "counts": {"train": 1}, "annotators": 4}
    (folder / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    row = {"slate_id": "a", "decided_at": NOW, "replies": ["x", "y"], "chosen": 1}
    (folder / "train.jsonl").write_bytes(msgspec.json.encode(row) + b"\n")
    register("v1", dataset_id="old")
    assert adapters_of(home, ["a"]) == {"v1": ("a",)}
    assert list(picks_of(home, "old")) == [("train", "a", NOW)]
    assert list(picks_of(home, "unknown")) == []


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": 2}', b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_understood_is_named(home: Path, content: bytes) -> None:
    keep(home, "one", ("train", "a"))
    (home / "lineage" / "one.jsonl").write_bytes(content)
    with pytest.raises(StateUnreadable, match=r"one\.jsonl cannot be read"):
        adapters_of(home, ["a"])


def test_a_line_that_cannot_be_understood_is_no_missing_pick(home: Path) -> None:
    keep(home, "one", ("train", "a"))
    with (home / "lineage" / "one.jsonl").open("ab") as file:
        file.write(b'["nowhere", "b", 1]\n')
    with pytest.raises(StateUnreadable, match=r"one\.jsonl cannot be read"):
        uses_of(home, ["b"])
