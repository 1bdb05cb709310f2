"""The written-out layers give the values and the gradients of the model's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from picktune_retrain import attention
from picktune_retrain.decoder import fuse_layers, release_layers
from picktune_retrain.encoding import EncodedSet
from picktune_retrain.fused import fuse
from picktune_retrain.packing import pack
from transformers import AutoConfig, AutoModelForCausalLM

ROW = pack(
    [
        EncodedSet(
            slate_id="s",
            prompt=tuple(i % 50 for i in range(150)),
            replies=((1, 2, 3, 4), (9,), (5, 6, 7)),
            chosen=0,
        )
    ]
)


def network(family: str, **options: Any) -> Any:
    config = AutoConfig.for_model(
        family,
        vocab_size=60,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
        initializer_range=0.2,
        **options,
    )
    torch.manual_seed(4)
    base = AutoModelForCausalLM.from_config(config)
    for name, p in base.named_parameters():
        if name.endswith(("norm.weight", "bias")):
            p.data.normal_(1.0, 0.3)
    base.set_attn_implementation(attention.install())
    return base


def hidden(base: Any) -> torch.Tensor:
    body = base.base_model
    result: torch.Tensor = body(
        input_ids=ROW.ids, position_ids=ROW.positions, use_cache=False, layout=ROW.layout
    )[0]
    return result


@pytest.mark.parametrize(
    ("family", "options"),
    [("llama", {}), ("llama", {"attention_bias": True}), ("mistral", {}), ("qwen2", {})],
)
def test_values_and_gradients_are_the_models_own(family: str, options: dict[str, Any]) -> None:
    base = network(family, **options)
    lora = LoraConfig(r=4, lora_alpha=12, target_modules="all-linear", init_lora_weights=False)
    tuned = get_peft_model(base, lora).eval()
    fuse(tuned)

    def run() -> list[torch.Tensor]:
        tuned.zero_grad()
        values = hidden(base)
        (values * torch.linspace(-1, 1, values.shape[-1])).sum().backward()
        with tuned.disable_adapter(), torch.no_grad():
            plain = hidden(base)
        return [values.detach(), plain, *(p.grad.clone() for p in tuned.parameters() if p.grad is not None)]

    own = run()
    assert fuse_layers(base)
    ours = run()
    release_layers(base)
    again = run()
    assert len(ours) == len(own) == 2 + 28
    for one, other, last in zip(ours, own, again, strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-3)
        assert torch.equal(other, last)
    assert not torch.allclose(own[0], own[1], atol=0.1)


def test_rows_of_its_own_and_other_families_are_left_to_the_model() -> None:
    base = network("llama")
    assert fuse_layers(base)
    plain = {"input_ids": ROW.ids[:, :20], "use_cache": False}
    base.set_attn_implementation("sdpa")
    values = base(**plain).logits
    release_layers(base)
    assert torch.equal(values, base(**plain).logits)
    assert not fuse_layers(network("qwen3"))
    assert not fuse_layers(network("llama", hidden_act="gelu"))


def test_layers_with_dropout_keep_their_own_forward() -> None:
    base = network("llama")
    tuned = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", lora_dropout=0.5)).eval()
    fuse(tuned)
    before = hidden(base)
    fuse_layers(base)
    assert torch.equal(hidden(base), before)
