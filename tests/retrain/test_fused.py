"""The fused functions give the values and the gradients of what they stand for."""

from __future__ import annotations

import torch
from peft import LoraConfig, get_peft_model
from picktune_retrain.fused import fuse, token_log_probs
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM


def test_token_log_probs_are_those_of_a_whole_log_softmax() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(300, 16, generator=generator, requires_grad=True)
    head = torch.randn(50, 16, generator=generator)
    bias = torch.randn(50, generator=generator)
    tokens = torch.randint(50, (300,), generator=generator)
    weights = torch.randn(300, generator=generator)

    ours = token_log_probs(hidden, head, bias, tokens)
    (ours * weights).sum().backward()
    gradient, hidden.grad = hidden.grad, None
    whole = (hidden @ head.T + bias).log_softmax(-1)[torch.arange(300), tokens]
    (whole * weights).sum().backward()

    torch.testing.assert_close(ours, whole)
    torch.testing.assert_close(gradient, hidden.grad)


def test_token_log_probs_stay_finite_where_the_probability_is_not() -> None:
    hidden = torch.tensor([[1000.0, 0.0]], requires_grad=True)
    ours = token_log_probs(hidden, torch.eye(2), None, torch.tensor([1]))
    ours.sum().backward()
    assert ours.tolist() == [-1000.0]
    assert hidden.grad is not None
    assert hidden.grad.isfinite().all()


def network(dropout: float = 0.0) -> nn.Module:
    config = LlamaConfig(
        vocab_size=60,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        attention_bias=True,
    )
    torch.manual_seed(3)
    lora = LoraConfig(r=4, target_modules="all-linear", lora_dropout=dropout, init_lora_weights=False)
    return get_peft_model(LlamaForCausalLM(config), lora).eval()


def test_a_fused_network_gives_the_values_and_gradients_of_pefts_own() -> None:
    model = network()
    ids = torch.arange(20)[None] % 60

    def run() -> list[torch.Tensor]:
        model.zero_grad()
        logits = model(input_ids=ids).logits
        logits.pow(2).sum().backward()
        with model.disable_adapter(), torch.no_grad():
            base = model(input_ids=ids).logits
        gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        return [logits.detach(), base, *gradients]

    before = run()
    assert fuse(model) == 14
    after = run()
    assert len(before) == len(after) == 2 + 28
    for ours, expected in zip(after, before, strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


def test_layers_with_dropout_keep_pefts_forward() -> None:
    assert fuse(network(dropout=0.1)) == 0
