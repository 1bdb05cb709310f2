"""What the base gives a row is computed once, found on later nights, and never believed when it is wrong."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from picktune.records import ChoiceSet, Message
from picktune_adapters import disk
from picktune_retrain import forward, models
from picktune_retrain.choice import score
from picktune_retrain.encoding import EncodedSet, encode
from picktune_retrain.models import Model
from picktune_retrain.packing import ALONE, bundles
from picktune_retrain.records import Recipe
from picktune_retrain.references import References
from picktune_retrain.train import train

NOW = datetime(2026, 11, 24, tzinfo=UTC)
BF16 = Recipe(dtype="bfloat16", rank=4, batch=3, epochs=1, lam=0.0)


def choice_sets(count: int, start: int = 0) -> list[ChoiceSet]:
    replies = ("Sorry! Which order?", "Please wait.", "Call us.", "It is on its way to you.")
    return [
        ChoiceSet(
            slate_id=f"s{i}", conversation_id=f"c{i}", chosen=i % 4, annotator="a", role="agent",
            messages=(Message(role="user", content=f"Where is parcel {i}?"),), replies=replies,
            decided_at=NOW,
        )
        for i in range(start, start + count)
    ]  # fmt: skip


def loaded(base: Path, recipe: Recipe = BF16) -> tuple[Model, list[list[EncodedSet]]]:
    model = models.load(base, recipe)
    sets = [encode(one, model.tokenizer, recipe) for one in choice_sets(5)]
    forward.choose_layout(model, sets)
    return model, [[sets[0]], [sets[1], sets[2]], [sets[3]], [sets[4]]]


def night(
    path: Path, model: Model, rows: list[list[EncodedSet]], **options: Any
) -> tuple[References, list[Any]]:
    with References(path, model, BF16, **options) as base:
        return base, [base.of_row(row) for row in rows]


def test_a_second_night_computes_only_what_is_new(tiny_model: Path, tmp_path: Path) -> None:
    model, rows = loaded(tiny_model)
    path = tmp_path / "home" / "references.txt"
    first, values = night(path, model, rows[:3])
    assert (first.found, first.computed) == (0, 3)
    again, same = night(path, model, rows)
    assert (again.found, again.computed) == (2, 2)  # the first one that is found is computed as well
    assert same[:3] == values
    assert same == [forward.reference_log_probs(model, row) for row in rows]
    assert "parcel" not in path.read_text()
    # Neighbours belong to the row: in bf16 they may change its last bits.
    other, _ = night(path, model, [rows[0], [*rows[2], *rows[1]]])
    assert (other.found, other.computed) == (0, 2)


def test_another_base_type_or_machine_finds_nothing(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows = loaded(tiny_model)
    path = tmp_path / "references.txt"
    night(path, model, rows)
    base, _ = night(path, replace(model, written_out=not model.written_out), rows[:2])
    assert base.found == 0
    changed = tmp_path / "changed"
    shutil.copytree(tiny_model, changed)
    (changed / "chat_template.jinja").write_text("{{ messages }}")
    base, _ = night(path, replace(model, name=str(changed)), rows[:2])
    assert base.found == 0
    monkeypatch.setattr("torch.get_num_threads", lambda: 97)
    base, _ = night(path, model, rows[:2])
    assert base.found == 0
    model.network.set_attn_implementation("eager")
    base, _ = night(path, replace(model, packed=False), rows[:2])
    assert base.found == 0


def test_damage_is_noticed_passed_over_and_mended(
    tiny_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, rows = loaded(tiny_model)
    path = tmp_path / "references.txt"
    _, values = night(path, model, rows)
    lines = path.read_bytes().split(b"\n")
    # One with a flipped bit, one that a killed writer left half-written, one that is no line at all.
    flipped = bytearray(lines[2])
    flipped[40] ^= 1
    path.write_bytes(b"\n".join([lines[1], bytes(flipped), lines[3], b"\xff\x00 garbage", lines[4][:20]]))
    base, same = night(path, model, rows)
    assert (base.found, base.computed, same) == (1, 3, values)
    assert "3 lines are damaged" in caplog.text
    caplog.clear()
    base, same = night(path, model, rows)
    assert (base.found, base.computed, same) == (3, 1, values)
    assert not caplog.text

    path.write_bytes(b"\0" * 10_000)
    base, same = night(path, model, rows)
    assert (base.found, same) == (0, values)


def test_whole_lines_with_other_values_are_not_believed(
    tiny_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As from a machine that rounds otherwise and cannot be told apart."""
    model, rows = loaded(tiny_model)
    path = tmp_path / "references.txt"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forward, "reference_log_probs", lambda model, row: [(-1.0,) * 4 for _ in row])
        _, wrong = night(path, model, rows)
    base, values = night(path, model, rows)
    assert (base.found, base.computed) == (0, 4)
    assert values == [forward.reference_log_probs(model, row) for row in rows] != wrong
    assert "other values" in caplog.text
    base, same = night(path, model, rows)
    assert (base.found, same) == (3, values)


def test_what_was_used_longest_ago_makes_room(tiny_model: Path, tmp_path: Path) -> None:
    model, rows = loaded(tiny_model)
    path = tmp_path / "references.txt"
    night(path, model, [rows[0], rows[2]])
    line = len(path.read_bytes().split(b"\n")[1]) + 1
    night(path, model, [rows[2], rows[0]])  # used last: rows[0]
    night(path, model, [rows[0], rows[3]], limit=2 * line + line // 2)
    assert path.stat().st_size <= 2 * line + line // 2
    kept, _ = night(path, model, [rows[3], rows[3]])
    assert (kept.found, kept.computed) == (1, 1)  # were it not there: (0, 2)
    base, _ = night(path, model, [rows[3], rows[0], rows[2]])
    assert (base.found, base.computed) == (0, 3)  # rows[3] was found, and computed as well


def test_a_file_that_cannot_be_written_stops_nothing(
    tiny_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, rows = loaded(tiny_model)
    (tmp_path / "references.txt").mkdir()
    base, values = night(tmp_path / "references.txt", model, rows)
    assert (base.computed, len(values)) == (4, 4)
    assert "cannot be written" in caplog.text


def test_training_and_scoring_with_stored_values_come_to_the_same(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "references.txt"
    made = []
    for name, references in (("without", None), ("first", path), ("second", path)):
        run = train(
            choice_sets(12), choice_sets(3, 50), dataset_id="d", base_model=tiny_model, recipe=BF16,
            folder=tmp_path / name, references=references, now=NOW,
        )  # fmt: skip
        made.append(
            (disk.sha256(tmp_path / name / "adapter_model.safetensors"), [step.loss for step in run.steps])
        )
    assert made[0] == made[1] == made[2]
    assert made[0][1][0] == pytest.approx(math.log(4), abs=1e-7)

    size = path.stat().st_size
    options: dict[str, Any] = {"base_model": tiny_model, "adapter": tmp_path / "first", "recipe": BF16}
    plain = score(choice_sets(9), **options)
    assert score(choice_sets(9), **options, references=path) == plain
    assert path.stat().st_size > size
    assert score(choice_sets(9), **options, references=path) == plain


def test_big_sets_stand_alone_unless_they_begin_alike() -> None:
    def one(start: int, shared: int = 0) -> EncodedSet:
        prompt = (*range(shared), *range(start, start + ALONE - shared))
        return EncodedSet(slate_id=str(start), prompt=prompt, replies=((1, 2), (3,)), chosen=0)

    assert [len(row) for row in bundles([one(1000), one(2000), one(3000)], 4)] == [1, 1, 1]
    together = [one(1000, 200), one(2000, 200), one(3000, 200)]
    assert [len(row) for row in bundles(together, 4)] == [3]
    assert [len(row) for row in bundles([one(1000, 200), one(2000, 40)], 4)] == [1, 1]
