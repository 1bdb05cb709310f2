"""The choice likelihood, and the scores of real sets under tiny models of several families."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from picktune.records import ChoiceSet, Message, utc_now
from picktune_retrain import forward, models
from picktune_retrain.choice import choice_loss, score
from picktune_retrain.encoding import encode
from picktune_retrain.records import Recipe

nats = st.floats(-300.0, 0.0)
unhurried = settings(deadline=None)  # the machine may be busy with other things


@st.composite
def choices(draw: st.DrawFn, least: int = 1) -> tuple[torch.Tensor, torch.Tensor, int]:
    k = draw(st.integers(least, 6))
    policy, reference = (draw(st.lists(nats, min_size=k, max_size=k)) for _ in range(2))
    chosen = draw(st.integers(0, k - 1))
    return torch.tensor(policy, dtype=torch.float64), torch.tensor(reference, dtype=torch.float64), chosen


@unhurried
@given(choices(least=2), st.floats(0.01, 1.0))
def test_two_replies_are_dpo(case: tuple[torch.Tensor, torch.Tensor, int], beta: float) -> None:
    policy, reference, _ = (x[:2] if isinstance(x, torch.Tensor) else x for x in case)
    ratio = (policy - reference).tolist()
    # Rafailov et al. 2023, eq. 7: -log σ(β log π(y_w)/π_ref(y_w) - β log π(y_l)/π_ref(y_l)).
    dpo = math.log1p(math.exp(-abs(margin := beta * (ratio[0] - ratio[1])))) + max(0.0, -margin)
    assert float(choice_loss(policy, reference, 0, tokens=5, beta=beta)) == pytest.approx(dpo, abs=1e-9)


@unhurried
@given(choices(), st.floats(0.0, 0.9), st.floats(0.0, 1.0), st.randoms())
def test_the_order_of_the_replies_does_not_matter(
    case: tuple[torch.Tensor, torch.Tensor, int], epsilon: float, lam: float, rng: Any
) -> None:
    policy, reference, chosen = case
    order = list(range(len(policy)))
    rng.shuffle(order)
    fixed: dict[str, Any] = {"tokens": 7, "beta": 0.2, "epsilon": epsilon, "lam": lam, "weight": 0.5}
    loss = choice_loss(policy, reference, chosen, **fixed)
    shuffled = choice_loss(policy[order], reference[order], order.index(chosen), **fixed)
    torch.testing.assert_close(loss, shuffled)


@unhurried
@given(choices())
def test_a_copy_of_the_picked_reply_counts_as_picked(case: tuple[torch.Tensor, torch.Tensor, int]) -> None:
    policy, reference, chosen = case
    doubled = [torch.cat((x, x[chosen : chosen + 1])) for x in (policy, reference)]
    same = [j in (chosen, len(policy)) for j in range(len(policy) + 1)]
    alone = choice_loss(policy, reference, chosen, tokens=1, beta=0.1)
    together = choice_loss(*doubled, chosen, tokens=1, beta=0.1, same=same)
    apart = choice_loss(*doubled, chosen, tokens=1, beta=0.1)
    assert together <= alone + 1e-9
    assert together <= apart + 1e-9
    if len(policy) == 1:
        assert float(together) == pytest.approx(0.0, abs=1e-9)


@unhurried
@given(choices(), st.floats(0.001, 0.9))
def test_smoothing_bounds_the_loss(case: tuple[torch.Tensor, torch.Tensor, int], epsilon: float) -> None:
    policy, reference, chosen = case
    loss = float(choice_loss(policy, reference, chosen, tokens=1, beta=0.2, epsilon=epsilon))
    assert -math.log(1 - epsilon + epsilon / len(policy)) - 1e-9 <= loss
    assert loss <= -math.log(epsilon / len(policy)) + 1e-9


@unhurried
@given(choices())
def test_without_smoothing_it_is_never_negative_and_log_k_without_training(
    case: tuple[torch.Tensor, torch.Tensor, int],
) -> None:
    policy, reference, chosen = case
    assert choice_loss(policy, reference, chosen, tokens=1, beta=0.2) >= -1e-12
    untrained = choice_loss(reference, reference, chosen, tokens=1, beta=0.2)
    assert float(untrained) == pytest.approx(math.log(len(policy)), abs=1e-12)


def test_offsets_weight_and_likelihood_enter_as_the_formula_says() -> None:
    policy, reference = torch.tensor([-10.0, -12.0, -9.0]), torch.tensor([-11.0, -11.0, -11.0])
    offsets = torch.tensor([0.3, 0.0, -0.3])
    s = [0.5 * (p + 11.0) + b for p, b in zip(policy.tolist(), offsets.tolist(), strict=True)]
    share = math.exp(s[1]) / sum(map(math.exp, s))
    expected = -2.0 * math.log(0.9 * share + 0.1 / 3) + 0.05 * 12.0 / 4
    loss = choice_loss(
        policy, reference, 1, tokens=4, beta=0.5, lam=0.05, epsilon=0.1, weight=2.0, offsets=offsets
    )
    assert float(loss) == pytest.approx(expected, rel=1e-6)


def a_set(
    *replies: str, chosen: int = 0, content: str = "Where is my parcel? It was due on Monday."
) -> ChoiceSet:
    return ChoiceSet(
        slate_id="s1",
        conversation_id="c1",
        messages=(Message(role="system", content="Be brief."), Message(role="user", content=content)),
        replies=replies,
        chosen=chosen,
        annotator="a",
        role="agent",
        decided_at=utc_now(),
    )


REPLIES = ("Sorry! Which order?", "It is on its way.", "", "Please tell me your order number, I will look.")
FAMILIES = ("llama", "qwen2", "qwen3", "mistral", "phi3", "gemma3_text", "gpt2")


@pytest.fixture(scope="module")
def family(
    request: pytest.FixtureRequest, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A tiny random model of the family, in fp32, with the tiny model's tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    sizes = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "initializer_range": 0.3,
    }
    ids = {"bos_token_id": None, "eos_token_id": 0, "pad_token_id": 0}
    config = AutoConfig.for_model(request.param, **sizes, **ids)
    torch.manual_seed(5)
    folder = tmp_path_factory.mktemp(request.param) / "model"
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def separate_rows(folder: Path, one: ChoiceSet, recipe: Recipe) -> list[float]:
    """Each reply behind its own copy of the prompt, through transformers alone."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    encoded = encode(one, AutoTokenizer.from_pretrained(folder), recipe)
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    totals = []
    for reply in encoded.replies:
        ids = torch.tensor([[*encoded.prompt, *reply]])
        with torch.no_grad():
            log_probs = network(input_ids=ids).logits[0].log_softmax(-1)
        start = len(encoded.prompt) - 1
        totals.append(sum(float(log_probs[start + i, token]) for i, token in enumerate(reply)))
    return totals


@pytest.mark.parametrize("family", FAMILIES, indirect=True)
def test_packed_scores_equal_separate_rows(family: Path, caplog: pytest.LogCaptureFixture) -> None:
    recipe = Recipe(dtype="float32")
    sets = [
        a_set(*REPLIES),
        a_set(*REPLIES[1:], content="Where is my refund?"),
        a_set("Hm.", content="Hello"),
    ]
    results = score(sets, base_model=family, recipe=recipe)
    assert not caplog.records  # no family of these fell back to plain rows
    for one, scores in zip(sets, results, strict=True):
        assert scores.base == pytest.approx(separate_rows(family, one, recipe), abs=1e-3)
        assert scores.adapter == scores.base
    assert results[0].tokens == (20, 18, 1, 47)


@pytest.mark.parametrize("family", ["gemma2"], indirect=True)
def test_a_model_that_refuses_packed_rows_is_scored_row_by_row(
    family: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = Recipe(dtype="float32")
    one = a_set(*REPLIES)
    (scores,) = score([one], base_model=family, recipe=recipe)
    assert "a row for each reply" in caplog.text
    assert scores.base == pytest.approx(separate_rows(family, one, recipe), abs=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("k", [2, 3, 4])
def test_before_the_first_step_the_loss_is_exactly_log_k(tiny_model: Path, dtype: Any, k: int) -> None:
    recipe = Recipe(dtype=dtype)
    model = models.load(tiny_model, recipe)
    models.add_adapter(model, recipe)
    sets = [a_set(*REPLIES[:k]), a_set(*REPLIES[-k:], content="Where is my order?")]
    row = [encode(one, model.tokenizer, recipe) for one in sets]
    forward.choose_layout(model, row)
    assert model.packed
    for policy, base in zip(
        forward.policy_log_probs(model, row), forward.reference_log_probs(model, row), strict=True
    ):
        assert policy.requires_grad
        assert policy.tolist() == list(base)
        loss = choice_loss(policy.detach(), torch.tensor(base), 0, tokens=1, beta=0.2)
        assert float(loss) == float(torch.zeros(k).log_softmax(-1).neg()[0]) == pytest.approx(math.log(k))


def test_scores_do_not_depend_on_the_order_of_the_replies(tiny_model: Path) -> None:
    recipe = Recipe(dtype="float32")
    orders: list[Sequence[int]] = list(permutations(range(4)))[::7]
    sets = [a_set(*(REPLIES[i] for i in order)) for order in orders]
    results = score(sets, base_model=tiny_model, recipe=recipe)
    for order, one in zip(orders, results, strict=True):
        assert one.base == pytest.approx([results[0].base[i] for i in order], abs=1e-3)


def test_an_adapter_is_scored_beside_its_base(tiny_model: Path, tiny_adapter: Any) -> None:
    seen = []
    adapter = tiny_adapter("scored", scale=0.5)
    (one,) = score(
        [a_set(*REPLIES)],
        base_model=tiny_model,
        adapter=adapter,
        recipe=Recipe(dtype="float32"),
        progress=lambda done, total: seen.append((done, total)),
    )
    (alone,) = score([a_set(*REPLIES)], base_model=tiny_model, recipe=Recipe(dtype="float32"))
    assert one.base == pytest.approx(alone.base, abs=1e-3)
    assert max(abs(t - b) for t, b in zip(one.adapter, one.base, strict=True)) > 1.0
    assert seen == [(1, 1)]


def test_importing_the_likelihood_does_not_import_torch() -> None:
    code = "import sys, picktune_retrain.choice; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.model
def test_packed_scores_equal_separate_rows_on_the_real_model(smollm2: Path) -> None:
    recipe = Recipe(dtype="float32")
    one = a_set(*REPLIES, content="Where is my parcel? " * 20)
    (scores,) = score([one], base_model=None, recipe=recipe)
    assert scores.base == pytest.approx(separate_rows(smollm2, one, recipe), abs=1e-3)
