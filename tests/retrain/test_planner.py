"""``picktune plan``: what it says to people and to programs, and whether the figures make sense."""

from __future__ import annotations

import json
import os
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from picktune.errors import InvalidInput
from picktune_retrain import activations, cards, memory
from picktune_retrain.activations import Row, bundle
from picktune_retrain.cards import rule
from picktune_retrain.memory import GIB, Method, Precision, Work
from picktune_retrain.planner import amount, plan
from picktune_retrain.shape import Shape, shape

SEVEN = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
    "num_attention_heads": 32, "vocab_size": 32000,
}  # fmt: skip
unhurried = settings(deadline=None)  # the machine may be busy with other things


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("PICKTUNE_") and name != "PICKTUNE_CACHE"]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seven")
    (folder / "config.json").write_text(json.dumps(SEVEN), "utf-8")
    return folder


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(plan, [str(argument) for argument in arguments], env={"COLUMNS": "140"})


def planned(*arguments: object) -> dict[str, Any]:
    result = invoke(*arguments, "--json")
    assert result.exit_code in (0, 3), result.output
    return dict(json.loads(result.stdout))


def test_it_is_reached_through_the_entry_point() -> None:
    (found,) = [point for point in entry_points(group="picktune.commands") if point.name == "plan"]
    assert found.load() is plan


def test_the_rule_of_thumb() -> None:
    assert rule(6_500_000_000, 4, 24 * GIB) == cards.Rule(bytes_a_number=4, total=104 * 10**9, cards=5)
    assert round(104e9 / GIB) == 97
    assert rule(7_000_000_000, 4, 24 * GIB) == cards.Rule(bytes_a_number=4, total=112 * 10**9, cards=5)
    assert rule(7_000_000_000, 1).total * 4 == rule(7_000_000_000, 4).total


def test_what_people_are_told(seven: Path) -> None:
    result = invoke("--model", seven, "--method", "full", "--precision", "fp32", "--gpu", "24GB")
    assert result.exit_code == 3, result.output
    for words in (
        "6,738,415,616 parameters (llama, 32 layers), of which 6,738,415,616 are trained (100.00%)",
        "does not fit into a card of 24.00 GiB",
        "Rule of thumb, no more (parameters × 4 bytes × 4): 107.8 GB = 100.41 GiB, 5 cards",
        "Rule of thumb, no more (parameters × a byte × 4): 27.0 GB = 25.10 GiB, 2 cards",
        "it would fit with --cards",
        "planned from published formulas, not measured",
    ):
        assert words in result.stdout, words
    result = invoke("--model", seven, "--gpu", "80GB", "--tokens", 1024)
    assert result.exit_code == 0, result.output
    assert "fits into a card of 80.00 GiB" in result.stdout
    assert "on a GPU it is planned from formulas, not measured" in result.stdout
    assert "\x1b" not in result.stdout
    assert "was compared with measured peaks" in invoke("--model", seven).stdout


def test_programs_are_told_the_same_in_bytes(seven: Path) -> None:
    found = planned(
        "--model", seven, "--method", "full", "--precision", "bf16", "--gpu", "80GB", "--cards", 8
    )
    parts, parameters = found["parts"], found["shape"]["parameters"]
    # ZeRO, section 3.1: 2 + 2 + 12 bytes a parameter.
    assert parts["weights"] + parts["gradients"] + parts["optimiser"] == 16 * parameters
    assert (found["fits"], found["checked"], found["ours"], found["changes"]) == (True, False, False, [])
    assert found["each"] < found["peak"]
    assert found["needed"] <= 8


def test_quantised_bases_are_as_small_as_is_published(seven: Path) -> None:
    one = shape(seven)
    weights = {p: memory.measure(one, Work(method="qlora", precision=p)).weights for p in ("int8", "nf4")}
    kept = 2 * (one.parameters - one.linear)
    # QLoRA, section 3: double quantisation leaves 0.127 bits a parameter for constants.
    assert (weights["nf4"] - kept) * 8 / one.linear == pytest.approx(4.127, abs=1e-3)
    assert (weights["int8"] - kept) / one.linear == pytest.approx(1.0, abs=2e-3)


def test_every_proposal_fits(seven: Path) -> None:
    arguments = ("--model", seven, "--method", "full", "--precision", "fp32", "--gpu", "24GB")
    found = planned(*arguments)
    assert found["fits"] is False
    assert len(found["changes"]) >= 3
    for change in found["changes"]:
        again = planned(*arguments, *change["options"].split())
        assert again["fits"] is True, change
        assert again["each"] == change["peak"]


def test_too_long_a_row_is_not_mended_by_more_cards(seven: Path) -> None:
    found = planned("--model", seven, "--gpu", "24GB", "--tokens", 100_000)
    assert (found["fits"], found["needed"]) == (False, None)
    assert any("--tokens" in change["options"] for change in found["changes"])
    assert "a row alone is too long" in invoke("--model", seven, "--gpu", "24GB", "--tokens", 100_000).stdout


@unhurried
@given(
    method=st.sampled_from(get_args(Method)),
    precision=st.sampled_from(get_args(Precision)),
    prompt=st.integers(1, 4000),
    reply=st.integers(1, 600),
    replies=st.integers(1, 8),
    batch=st.integers(1, 16),
    rank=st.integers(1, 256),
    card=st.integers(2, 200),
)
def test_more_of_anything_never_takes_less(card: int, **fields: Any) -> None:
    one = shape_of()
    work = Work(on_gpu=True, **fields)
    try:
        found = cards.plan(one, work, card=card * GIB)
    except InvalidInput:
        assert (work.method, work.precision) in {
            *(("full", p) for p in ("int8", "nf4")), *(("qlora", p) for p in ("fp32", "bf16")),
        }  # fmt: skip
        return
    assert min(structs.astuple(found.parts)) >= 0
    assert found.peak >= found.parts.weights
    for name in ("prompt", "reply", "replies", "rank"):
        more = structs.replace(
            work, batch=1, **{name: getattr(work, name) + (name != "rank" or work.rank < 256)}
        )
        less = structs.replace(work, batch=1)
        assert cards.plan(one, more).peak >= cards.plan(one, less).peak, name
    if found.needed:
        assert cards.plan(one, work, card=card * GIB, cards=found.needed).fits
        if found.needed > 1:
            assert not cards.plan(one, work, card=card * GIB, cards=found.needed - 1).fits


def shape_of() -> Shape:
    return Shape(
        family="llama", parameters=135_000_000, outside=28_000_000, linear=106_000_000, linear_sides=305_000,
        rows=170_000, layers=30, hidden=576, intermediate=1536, heads=9, kv_heads=3, head_dim=64,
        vocabulary=49152, written_out=True,
    )  # fmt: skip


def test_the_constants_are_those_of_the_trainer() -> None:
    from picktune_retrain import attention, decoder, fused, packing
    from picktune_retrain import shape as shapes

    assert attention._BLOCK == activations.BLOCK
    assert packing.ROW_TOKENS == activations.ROW_TOKENS
    assert packing.ALONE == activations.ALONE
    assert fused._ROWS == activations.HEAD_ROWS
    assert decoder._FAMILIES == shapes._WRITTEN_OUT


@pytest.mark.parametrize(
    ("prompt", "reply", "replies", "batch"), [(500, 90, 4, 2), (7, 1, 3, 1), (30, 250, 2, 9)]
)
def test_a_row_is_as_long_as_the_packing_makes_it(prompt: int, reply: int, replies: int, batch: int) -> None:
    from picktune_retrain.encoding import EncodedSet
    from picktune_retrain.packing import bundles, pack

    tokens = iter(range(10**6))  # no two alike
    sets = [
        EncodedSet(
            slate_id=str(i),
            prompt=tuple(next(tokens) for _ in range(prompt)),
            replies=tuple(tuple(next(tokens) for _ in range(reply)) for _ in range(replies)),
            chosen=0,
        )
        for i in range(batch)
    ]
    row = bundle(prompt=prompt, reply=reply, replies=replies, batch=batch)
    real = pack(next(bundles(sets, batch)))
    assert real.ids.shape[1] == row.tokens
    assert len(real.targets) == row.targets
    blocks = [(b.stop - b.start, sum(y - x for x, y in b.seen)) for b in real.layout.blocks()]
    assert sum(queries * keys for queries, keys in blocks) == row.pairs
    assert row == Row(sets=row.sets, prompt=prompt, reply=reply, replies=replies)


def test_memory_as_makers_of_cards_write_it() -> None:
    for text in ("24GB", "24", "24 gb", "24G", "24GiB", "24576MB", " 24gib "):
        assert amount(text) == 24 * GIB
    assert amount("1.5TB") == 1536 * GIB
    for text in ("", "GB", "-24GB", "24 apples", "0", "1e3GB", "٢٤GB", "9" * 30, "nan"):
        with pytest.raises(click.BadParameter, match="24GB"):
            amount(text)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--method", "qlora", "--precision", "bf16"), 1, "is an adapter on a quantised base"),
        (("--method", "full", "--precision", "nf4"), 1, "have no gradient"),
        (("--method", "freeze", "--trained-layers", "33"), 1, "the model has 32"),
        (("--cards", "2"), 2, "--cards needs --gpu"),
        (("--gpu", "much"), 2, "write it like 24GB"),
        (("--tokens", "0"), 2, "--tokens"),
    ],
)
def test_what_cannot_be_planned(seven: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    from picktune.cli import main

    result = CliRunner().invoke(main, ["plan", "--model", str(seven), *arguments])
    assert result.exit_code == code, result.output
    assert words in result.stderr
