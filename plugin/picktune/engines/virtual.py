"""Prompt adapters: virtual tokens before every prompt, as the keys and values that they come to.

Prompt tuning and P-tuning learn the embeddings of such tokens, prefix tuning their keys and values in every
layer. Either way they stand before all else and see nothing but one another, so that their keys and values
are the same for every prompt: computed once, they are a known beginning like any other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from picktune.engines.kv import Entry
from picktune.engines.prompted import kind_of
from picktune.errors import AdapterCorrupt

_MOST = 1024


def read_prompt(folder: Path, model: Any, caches: dict[str, Any]) -> Entry:
    """The keys and values of a prompt adapter's tokens, layer by layer: [heads, tokens, size] each.

    ``caches`` is an empty cache of the model's, by the name under which it takes it. Raises
    ``AdapterCorrupt`` if the adapter does not fit the model.
    """
    text = model.config.get_text_config()
    weight = model.get_input_embeddings().weight
    heads = text.num_key_value_heads
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    width = text.hidden_size
    if kind_of(folder) == "PREFIX_TUNING":
        width = 2 * text.num_hidden_layers * heads * size
    learned = _learned(folder, width).to(weight.device, weight.dtype)
    if kind_of(folder) == "PREFIX_TUNING":
        layers = learned.view(len(learned), text.num_hidden_layers, 2, heads, size).permute(1, 2, 3, 0, 4)
        return [(keys.contiguous(), values.contiguous()) for keys, values in layers]
    with torch.inference_mode():
        model(inputs_embeds=learned[None], use_cache=True, **caches)
    return [(layer.keys[0].clone(), layer.values[0].clone()) for layer in next(iter(caches.values())).layers]


def _learned(folder: Path, width: int) -> Tensor:
    try:
        tensors = load_file(folder / "adapter_model.safetensors")
    except (OSError, SafetensorError) as error:
        raise AdapterCorrupt(
            f"the prompt adapter in {folder} cannot be read ({error}); save it again"
        ) from error
    learned = tensors.get("prompt_embeddings")
    if learned is None or learned.dim() != 2 or learned.shape[1] != width or not 0 < len(learned) <= _MOST:
        found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        raise AdapterCorrupt(
            f"the prompt adapter in {folder} holds {found}, and this model wants prompt_embeddings of "
            f"(1 to {_MOST}, {width}); train it on the model that is served"
        )
    if not bool(torch.isfinite(learned).all()):
        raise AdapterCorrupt(
            f"the prompt adapter in {folder} holds numbers that are not finite; train it again"
        )
    return learned
