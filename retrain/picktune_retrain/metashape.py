"""The shape of a network that transformers builds on PyTorch's meta device, where nothing has any memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from picktune.errors import InvalidInput, MissingExtra

from picktune_retrain.shape import MOST_LAYERS, Shape, stored


def built(path: Path) -> Shape:
    """Built on the meta device by transformers, and counted; nothing that comes with a model is run."""
    try:
        import torch
        from torch import nn
        from transformers import AutoConfig, AutoModelForCausalLM
        from transformers.pytorch_utils import Conv1D
    except ImportError as error:
        raise MissingExtra(f"counting the parameters of {path}", "retrain") from error
    try:
        config: Any = AutoConfig.from_pretrained(str(path), trust_remote_code=False)
        text: Any = config.get_text_config()
        if int(text.num_hidden_layers) > MOST_LAYERS:
            raise ValueError(f"it has more than {MOST_LAYERS} layers")
        hidden, heads = int(text.hidden_size), int(text.num_attention_heads)
        head_dim = int(getattr(text, "head_dim", None) or hidden // heads)
        with torch.device("meta"):
            build: Any = AutoModelForCausalLM.from_config
            network: Any = build(config, trust_remote_code=False)
    except Exception as error:  # a configuration may make a model's own code fail in any way
        raise InvalidInput(
            f"transformers cannot build a language model from {path}: {_first_line(error)}; "
            "name another model with attention, whose code comes with transformers"
        ) from error
    head, embeddings = network.get_output_embeddings(), network.get_input_embeddings()
    linears = [m for m in network.modules() if isinstance(m, (nn.Linear, Conv1D)) and m is not head]
    sides = [(m.weight.shape if isinstance(m, Conv1D) else m.weight.shape[::-1]) for m in linears]
    ends = {id(p): p.numel() for m in (head, embeddings) if m is not None for p in m.parameters()}
    return Shape(
        family=str(config.model_type),
        parameters=sum(p.numel() for p in network.parameters()),
        outside=sum(ends.values()) + hidden,
        linear=sum(m.weight.numel() for m in linears),
        linear_sides=sum(i + o for i, o in sides),
        rows=sum(o for _, o in sides),
        layers=int(text.num_hidden_layers),
        hidden=hidden,
        intermediate=_active(text, hidden),
        heads=heads,
        kv_heads=int(getattr(text, "num_key_value_heads", None) or heads),
        head_dim=head_dim,
        vocabulary=int(text.vocab_size),
        stored=stored(config.dtype),
    )


def _active(text: Any, hidden: int) -> int:
    experts = getattr(text, "num_experts_per_tok", None)
    if experts:
        width = getattr(text, "moe_intermediate_size", None) or text.intermediate_size
        shared = getattr(text, "n_shared_experts", None) or 0
        return int(width * (experts + shared) + (getattr(text, "shared_expert_intermediate_size", 0) or 0))
    width = getattr(text, "intermediate_size", None) or getattr(text, "n_inner", None)
    return int(width or 4 * hidden)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
