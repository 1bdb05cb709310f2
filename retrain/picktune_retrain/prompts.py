"""Virtual tokens before the prompt: prompt tuning, P-tuning and prefix tuning, in the formats of PEFT.

In a packed row they are the beginning that all paths share, with ids beyond the vocabulary, and are computed
once for all sets. The base is the same row without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from picktune.errors import AdapterCorrupt, EngineError
from torch import Tensor, nn

from picktune_retrain.encoding import EncodedSet
from picktune_retrain.models import Model
from picktune_retrain.records import Recipe

_PEFT = {"prompt": "PROMPT_TUNING", "p-tuning": "P_TUNING", "prefix": "PREFIX_TUNING"}


class VirtualTokens(nn.Module):
    """What is learned of ``count`` tokens, and what they come to.

    ``values`` are embeddings [count, d], or, of a prefix, keys and values [count, layers · 2 · heads · size].
    P-tuning (Liu et al. 2021, *GPT Understands, Too*) learns them through a perceptron.
    """

    def __init__(self, kind: str, start: Tensor, seed: int) -> None:
        super().__init__()
        self.kind = kind
        self.count = len(start)
        self.start = nn.Parameter(start.float().clone())
        self.encoder: Any = None
        if kind == "p-tuning":
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                width = start.shape[1]
                self.encoder = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
            # It begins as the tokens themselves, and learns what to add to them.
            nn.init.zeros_(self.encoder[2].weight)
            nn.init.zeros_(self.encoder[2].bias)

    def values(self) -> Tensor:
        """What the tokens come to now, in fp32."""
        return self.start if self.encoder is None else self.start + self.encoder(self.start)


def add_prompt(model: Model, recipe: Recipe) -> None:
    """Put virtual tokens before the model, which begin as words of its vocabulary, drawn from the seed.

    That is how Lester et al. 2021 (*The Power of Scale for Parameter-Efficient Prompt Tuning*, section 3.2)
    and Li & Liang 2021 (*Prefix-Tuning*, section 7.4) begin.
    """
    embedding = model.network.get_input_embeddings()
    drawn = torch.randint(
        embedding.num_embeddings,
        (recipe.virtual_tokens,),
        generator=torch.Generator().manual_seed(recipe.seed),
    ).to(model.device)
    with torch.no_grad():
        start = embedding(drawn)
        if recipe.method == "prefix":
            cache = model.network(input_ids=drawn[None], use_cache=True).past_key_values
            layers = [torch.stack((one.keys[0], one.values[0])) for one in cache.layers]
            start = torch.stack(layers).permute(3, 0, 1, 2, 4).flatten(1)
    _attach(model, VirtualTokens(recipe.method, start, recipe.seed).to(model.device))


def save_prompt(model: Model, folder: Path) -> None:
    """Write the tokens as PEFT does: its configuration, and ``prompt_embeddings``."""
    from peft import PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig
    from safetensors.torch import save_file

    tokens = model.virtual
    text = model.network.config.get_text_config()
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    kinds: dict[str, Any] = {
        "prompt": PromptTuningConfig,
        "p-tuning": PromptEncoderConfig,
        "prefix": PrefixTuningConfig,
    }
    more: dict[str, Any] = {"encoder_hidden_size": text.hidden_size} if tokens.kind == "p-tuning" else {}
    prefix = tokens.kind == "prefix"
    config = kinds[tokens.kind](
        task_type="CAUSAL_LM",
        num_virtual_tokens=tokens.count,
        token_dim=text.num_key_value_heads * size if prefix else text.hidden_size,
        num_attention_heads=text.num_key_value_heads if prefix else text.num_attention_heads,
        num_layers=text.num_hidden_layers,
        num_transformer_submodules=1,
        base_model_name_or_path=model.name,
        inference_mode=True,
        **more,
    )
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(str(folder))
    values = tokens.values().detach().cpu().contiguous()
    save_file({"prompt_embeddings": values}, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def load_prompt(model: Model, folder: Path, peft_type: str) -> None:
    """Put saved virtual tokens before the model. Raises ``AdapterCorrupt`` if they do not fit."""
    from safetensors.torch import load_file

    kind = next(name for name, peft in _PEFT.items() if peft == peft_type)
    try:
        values = load_file(folder / "adapter_model.safetensors")["prompt_embeddings"]
        # What P-tuning's perceptron came to is all that is kept of it.
        _attach(model, VirtualTokens("prefix" if kind == "prefix" else "prompt", values, 0).to(model.device))
    except Exception as error:  # safetensors raises more than it says
        raise AdapterCorrupt(f"the prompt adapter in {folder} does not load: {error}") from error


def before(model: Model, sets: Sequence[EncodedSet]) -> list[EncodedSet]:
    """The sets with the virtual tokens before their prompts. Raises ``EngineError`` without packed rows."""
    if not model.packed:
        raise EngineError(
            f"{model.name} cannot be trained or scored with virtual tokens, which need packed rows; use lora"
        )
    ids = model.virtual_ids
    return [replace(one, prompt=(*ids, *one.prompt)) for one in sets]


def place(model: Model) -> None:
    """Before a pass: let the attention of every layer know the keys and values of a prefix."""
    tokens = model.virtual
    layers = model.network.base_model.layers
    if tokens.kind != "prefix":
        return
    heads, size = layers[0].self_attn.config.num_key_value_heads, layers[0].self_attn.head_dim
    values = tokens.values().to(model.dtype).view(tokens.count, len(layers), 2, heads, size)
    for layer, pair in zip(layers, values.permute(1, 2, 3, 0, 4), strict=True):
        layer.self_attn.picktune_prefix = pair[0], pair[1]


def lift(model: Model) -> None:
    """After the pass: take them away again, so that the base is the base."""
    for layer in model.network.base_model.layers:
        layer.self_attn.__dict__.pop("picktune_prefix", None)


def _attach(model: Model, tokens: VirtualTokens) -> None:
    embedding = model.network.get_input_embeddings()
    known = embedding.num_embeddings
    plain = type(embedding).forward

    def forward(self: Any, ids: Tensor) -> Tensor:
        words: Tensor = plain(self, ids.clamp(max=known - 1))
        mine = ids >= known
        if tokens.kind == "prefix" or not bool(mine.any()):
            return words
        learned = tokens.values().to(words.dtype)[(ids - known).clamp(min=0)]
        return torch.where(mine[..., None], learned, words)

    embedding.forward = MethodType(forward, embedding)
    model.network.add_module("picktune_virtual", tokens)
    model.plain = False
    model.virtual = tokens
    model.virtual_ids = tuple(range(known, known + tokens.count))
