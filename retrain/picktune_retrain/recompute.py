"""Activation checkpointing: a layer keeps its input alone, and is computed again on the way back.

Chen et al. 2016, *Training Deep Nets with Sublinear Memory Cost*, section 4. It costs a third more
time; what is held is one number for each token, layer and unit of width, and a single layer as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from picktune.errors import InvalidInput
from torch import nn
from torch.utils.checkpoint import checkpoint

from picktune_retrain.models import Model


def recompute_layers(model: Model) -> int:
    """Let the decoder layers keep their inputs alone; returns how many there are.

    Call it once the layout is chosen: whatever a layer's forward is by then is what is computed twice. Raises
    ``InvalidInput`` for the prompt methods.
    """
    if model.virtual is not None:
        raise InvalidInput(
            "checkpointing does not go with the prompt methods: their virtual tokens are in place on the way "
            "forward only; leave it off, or train lora",
            field="checkpointing",
        )
    stacks = [module for module in model.network.modules() if isinstance(module, nn.ModuleList)]
    layers = max(stacks, key=len, default=())
    for layer in layers:
        layer.forward = partial(_forward, layer.forward)
    return len(layers)


def _forward(inner: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    if not torch.is_grad_enabled():
        return inner(*arguments, **named)
    return checkpoint(inner, *arguments, use_reentrant=False, **named)
