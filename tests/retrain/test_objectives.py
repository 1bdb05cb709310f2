"""The other objectives: their values beside TRL's own on the same batch, their gradients, their limits."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from picktune.errors import InvalidInput
from picktune_retrain.choice import choice_loss
from picktune_retrain.objectives import dpo_loss, kl_reference_point, kto_loss, mismatched, nll_loss

BETA = 0.3
PROMPTS = ("Where is my parcel?", "Refund me.", "The blue one is broken!", "Hi")
GOOD = ("Sorry! Which order?", "Of course; it is on its way.", "So sorry.", "Hello, how can I help?")
BAD = ("Wait.", "No refunds are given by us, none at all.", "It was whole when it left.", "Yes?")
LABELS = (True, False, False, True)

nats = st.floats(-300.0, 0.0)
unhurried = settings(deadline=None)  # the machine may be busy with other things


def vectors(count: int) -> st.SearchStrategy[list[torch.Tensor]]:
    """So many vectors [N] of one length N."""

    def of_length(n: int) -> st.SearchStrategy[list[torch.Tensor]]:
        one = st.lists(nats, min_size=n, max_size=n).map(lambda xs: torch.tensor(xs, dtype=torch.float64))
        return st.lists(one, min_size=count, max_size=count)

    return st.integers(1, 5).flatmap(of_length)


@unhurried
@given(vectors(4), st.floats(0.01, 1.0), st.floats(0.0, 0.4))
def test_a_pair_is_a_choice_out_of_two(xs: list[torch.Tensor], beta: float, epsilon: float) -> None:
    losses = dpo_loss(*xs, beta=beta, label_smoothing=0.0)
    for i, loss in enumerate(losses):
        policy, reference = (torch.stack((a[i], b[i])) for a, b in ((xs[0], xs[1]), (xs[2], xs[3])))
        torch.testing.assert_close(loss, choice_loss(policy, reference, 0, tokens=1, beta=beta))
    # Conservative DPO is the mean over both ways to read the pair.
    swapped = dpo_loss(xs[1], xs[0], xs[3], xs[2], beta=beta)
    smoothed = dpo_loss(*xs, beta=beta, label_smoothing=epsilon)
    torch.testing.assert_close(smoothed, (1 - epsilon) * losses + epsilon * swapped)


@unhurried
@given(vectors(2), st.floats(0.01, 1.0), st.floats(0.0, 50.0), st.randoms())
def test_kto_rewards_what_was_liked_and_is_bounded(
    xs: list[torch.Tensor], beta: float, point: float, rng: Any
) -> None:
    liked = torch.tensor([rng.random() < 0.5 for _ in xs[0]])
    fixed: dict[str, Any] = {"beta": beta, "desirable_weight": 1.5, "undesirable_weight": 0.5}
    losses = kto_loss(*xs, liked, torch.tensor(point), **fixed)
    assert bool(((losses >= 0) & (losses <= torch.where(liked, 1.5, 0.5))).all())
    better = kto_loss(xs[0] + torch.where(liked, 1.0, -1.0), xs[1], liked, torch.tensor(point), **fixed)
    assert bool((better <= losses).all())


def test_gradients_are_right() -> None:
    generator = torch.Generator().manual_seed(3)
    xs = [torch.randn(5, generator=generator, dtype=torch.float64) * 4 - 9 for _ in range(4)]
    for x in xs[:2]:
        x.requires_grad_()
    liked = torch.tensor([True, False, True, True, False])
    lengths = torch.tensor([3, 1, 8, 5, 2]), torch.tensor([4, 4, 1, 2, 9])
    point = kl_reference_point(xs[0], xs[2])
    assert not point.requires_grad

    def smoothed(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return dpo_loss(a, b, xs[2], xs[3], beta=BETA, label_smoothing=0.1, tokens=lengths)

    def kto(a: torch.Tensor) -> torch.Tensor:
        return kto_loss(a, xs[2], liked, point, beta=BETA, desirable_weight=2.0)

    assert torch.autograd.gradcheck(smoothed, xs[:2])
    assert torch.autograd.gradcheck(lambda a, b: dpo_loss(a, b, xs[2], xs[3], beta=BETA), xs[:2])
    assert torch.autograd.gradcheck(kto, xs[:1])
    assert torch.autograd.gradcheck(lambda a: nll_loss(a, lengths[0]), xs[:1])


def test_values_that_can_be_worked_out_by_hand() -> None:
    one = torch.tensor([0.0])
    assert float(dpo_loss(one - 1, one - 5, one - 2, one - 3, beta=0.5)) == pytest.approx(
        math.log1p(math.exp(-0.5 * (1 + 2)))
    )
    by_length = dpo_loss(
        one - 1, one - 5, one - 2, one - 3, beta=0.5, tokens=(torch.tensor([2]), torch.tensor([4]))
    )
    assert float(by_length) == pytest.approx(math.log1p(math.exp(-0.5 * (1 / 2 + 2 / 4))))
    assert float(nll_loss(torch.tensor([-6.0, -2.0]), torch.tensor([3, 1]))) == pytest.approx(2.0)
    assert float(kl_reference_point(one - 1, one - 4)) == 3.0
    assert float(kl_reference_point(one - 4, one - 1)) == 0.0
    losses = kto_loss(
        torch.tensor([-1.0, -1.0]), torch.tensor([-4.0, -4.0]), torch.tensor([True, False]),
        torch.tensor(3.0), beta=0.7, undesirable_weight=3.0,
    )  # fmt: skip
    assert losses.tolist() == pytest.approx([0.5, 1.5])  # at the reference point both are halves
    assert mismatched(["a", "b", "c"]) == ["c", "a", "b"]
    assert mismatched([]) == []


def test_an_extreme_margin_stays_finite() -> None:
    far = torch.tensor([-1e5, -1.0], requires_grad=True)
    loss = dpo_loss(far, far.flip(0), torch.zeros(2) - 1, torch.zeros(2) - 1, beta=1.0, label_smoothing=0.1)
    kto = kto_loss(far, torch.zeros(2), torch.tensor([True, False]), torch.tensor(0.0), beta=1.0)
    (loss.sum() + kto.sum()).backward()  # type: ignore[no-untyped-call]
    assert bool(loss.isfinite().all())
    assert far.grad is not None
    assert bool(far.grad.isfinite().all())


def test_what_cannot_be_meant_is_refused() -> None:
    one, two = torch.zeros(1), torch.zeros(2)
    column = torch.zeros(2, 1)
    with pytest.raises(InvalidInput, match="same N"):
        dpo_loss(two, two, one, two, beta=0.1)
    with pytest.raises(InvalidInput, match="same N"):  # would be broadcast to four losses
        kto_loss(two, column, two.bool(), torch.tensor(0.0), beta=0.1)
    with pytest.raises(InvalidInput, match="N > 0"):
        nll_loss(torch.zeros(0), torch.zeros(0))
    with pytest.raises(InvalidInput, match="label smoothing"):
        dpo_loss(two, two, two, two, beta=0.1, label_smoothing=0.5)
    with pytest.raises(InvalidInput, match="length 0"):
        nll_loss(two, torch.tensor([3, 0]))
    with pytest.raises(InvalidInput, match="length 0"):
        dpo_loss(two, two, two, two, beta=0.1, tokens=(two + 1, two))


def test_importing_the_objectives_does_not_import_torch() -> None:
    code = "import sys, picktune_retrain.objectives; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Beside TRL: its own trainers on a tiny model with a reference that differs from it, a batch of theirs, and
# our losses of log-probabilities that transformers gives for the very token ids of that batch.


class Networks:
    """A policy and its reference, which say different things."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.policy, self.reference = (
            AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32) for _ in range(2)
        )
        generator = torch.Generator().manual_seed(11)
        with torch.no_grad():
            for weight in self.policy.parameters():
                weight += 0.02 * torch.randn(weight.shape, generator=generator)

    def log_probs(self, network: Any, batch: dict[str, Any], prefix: str = "") -> torch.Tensor:
        """Of each row of a batch of TRL's, summed over its completion; one row at a time, unpadded."""
        rows = []
        for ids, seen, mask in zip(
            batch[f"{prefix}input_ids"], batch[f"{prefix}attention_mask"], batch[f"{prefix}completion_mask"],
            strict=True,
        ):  # fmt: skip
            kept, said = ids[seen.bool()], mask[seen.bool()].bool()
            with torch.no_grad():
                values = network(input_ids=kept[None]).logits[0, :-1].log_softmax(-1)
            rows.append(values.gather(1, kept[1:, None])[:, 0][said[1:]].sum())
        return torch.stack(rows)


@pytest.fixture(scope="module")
def networks(tiny_model: Path) -> Networks:
    return Networks(tiny_model)


@pytest.fixture(autouse=True)
def _their_own_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def arguments(folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder), "per_device_train_batch_size": 4, "use_cpu": True, "bf16": False,
        "gradient_checkpointing": False, "report_to": [], "disable_tqdm": True, "save_strategy": "no",
        "beta": BETA, "max_length": None,
    }  # fmt: skip


def test_pairs_and_demonstrations_are_as_in_trl(networks: Networks, tmp_path: Path) -> None:
    trl, datasets = pytest.importorskip("trl"), pytest.importorskip("datasets")
    rows = [{"prompt": p, "chosen": g, "rejected": b} for p, g, b in zip(PROMPTS, GOOD, BAD, strict=True)]
    trainer = trl.DPOTrainer(
        model=networks.policy,
        ref_model=networks.reference,
        args=trl.DPOConfig(**arguments(tmp_path)),
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=networks.tokenizer,
    )
    trainer.model.eval()
    batch = next(iter(trainer.get_train_dataloader()))
    policy, reference = (networks.log_probs(one, batch) for one in (networks.policy, networks.reference))
    tokens = batch["completion_mask"].sum(1)
    pairs = (*policy.chunk(2), *reference.chunk(2))
    (chosen, _), (chosen_tokens, rejected_tokens) = policy.chunk(2), tokens.chunk(2)
    assert float((policy - reference).abs().mean()) > 1.0  # or nothing would be tested

    def theirs(loss: str, inputs: dict[str, Any], epsilon: float = 0.0) -> float:
        trainer.loss_types, trainer.label_smoothing = [loss], epsilon
        with torch.no_grad():
            return float(trainer.compute_loss(networks.policy, inputs))

    assert float(dpo_loss(*pairs, beta=BETA).mean()) == pytest.approx(theirs("sigmoid", batch), abs=1e-4)
    by_length = dpo_loss(*pairs, beta=BETA, tokens=(chosen_tokens, rejected_tokens)).mean()
    assert float(by_length) == pytest.approx(theirs("sigmoid_norm", batch), abs=1e-5)
    assert float(nll_loss(chosen, chosen_tokens)) == pytest.approx(theirs("sft", batch), abs=1e-5)
    # Its only loss with conservative smoothing sorts the pairs of a batch first: of one pair it is the same.
    for i in range(4):
        alone = {key: value[[i, i + 4]] for key, value in batch.items() if torch.is_tensor(value)}
        smoothed = dpo_loss(*(x[i : i + 1] for x in pairs), beta=BETA, label_smoothing=0.2)
        assert float(smoothed) == pytest.approx(theirs("aot", alone, 0.2), abs=1e-4)


@pytest.mark.parametrize("above", [True, False])  # with an estimate above nought, and one that is cut off
def test_reactions_are_as_in_trl(networks: Networks, tmp_path: Path, above: bool) -> None:
    trl, datasets = pytest.importorskip("trl"), pytest.importorskip("datasets")
    replies = [g if liked else b for g, b, liked in zip(GOOD, BAD, LABELS, strict=True)]
    rows = [
        {"prompt": p, "completion": c, "label": liked}
        for p, c, liked in zip(PROMPTS, replies, LABELS, strict=True)
    ]
    both = (networks.policy, networks.reference) if above else (networks.reference, networks.policy)
    trainer = trl.KTOTrainer(
        model=both[0],
        ref_model=both[1],
        args=trl.KTOConfig(**arguments(tmp_path), desirable_weight=1.2, undesirable_weight=0.8),
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=networks.tokenizer,
    )
    trainer.model.eval()
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(4)])
    assert list(trainer.train_dataset["KL_completion_ids"]) == mismatched(
        list(trainer.train_dataset["completion_ids"])
    )
    point = kl_reference_point(*(networks.log_probs(one, batch, "KL_") for one in both))
    assert (float(point) > 0.5) is above
    losses = kto_loss(
        *(networks.log_probs(one, batch) for one in both),
        torch.as_tensor(batch["label"]).bool(),
        point,
        beta=BETA,
        desirable_weight=1.2,
        undesirable_weight=0.8,
    )
    with torch.no_grad():
        theirs = float(trainer.compute_loss(both[0], batch))
    assert float(losses.mean()) == pytest.approx(theirs, abs=1e-5)
    assert 0.01 < theirs < 1.19
