"""What a training changes and what it leaves behind, by method.

``lora`` and ``qlora`` train matrices beside frozen weights and make an adapter. ``full``, ``freeze`` and
``progressive`` train weights of the model itself and make a checkpoint: a model folder of its own. The prompt
methods train virtual tokens and make an adapter that only the local engine serves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from picktune.errors import InvalidInput
from torch import nn

from picktune_retrain import models, prompts
from picktune_retrain.mixture import OWN_WEIGHTS, PROMPT_METHODS
from picktune_retrain.models import Model
from picktune_retrain.records import Recipe

_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")


def prepare(model: Model, recipe: Recipe) -> None:
    """Make trainable what the recipe trains. Raises ``InvalidInput`` for layers that are not there."""
    if recipe.method in PROMPT_METHODS:
        prompts.add_prompt(model, recipe)
        return
    if recipe.method not in OWN_WEIGHTS:
        models.add_adapter(model, recipe)
        return
    model.plain = False
    network = model.network
    if recipe.method == "freeze":
        for name in thawed(network, recipe.thawed):
            network.get_parameter(name).requires_grad_(True)
    else:
        network.requires_grad_(True)


def save(model: Model, recipe: Recipe, folder: Path) -> None:
    """Write what was trained: an adapter as PEFT does, or the whole model with tokenizer and template."""
    if recipe.method in PROMPT_METHODS:
        prompts.save_prompt(model, folder)
        return
    if recipe.method not in OWN_WEIGHTS:
        models.save_adapter(model, folder)
        return
    model.network.save_pretrained(str(folder))
    model.tokenizer.save_pretrained(str(folder))


def thawed(network: Any, wanted: str) -> list[str]:
    """The parameters of the last ``wanted`` layers, or those whose path begins with or ends in a named part.

    Raises ``InvalidInput`` if there are none.
    """
    names = [name for name, _ in network.named_parameters()]
    if wanted.strip().isdecimal():
        layers = layer_count(names)
        first = layers - int(wanted)
        found = [name for name in names if (at := layer_of(name)) is not None and at >= first]
        if not 1 <= int(wanted) <= layers:
            raise InvalidInput(f"thawed: {wanted} of {layers} layers; name 1 to {layers}", field="thawed")
        return found
    parts = [part.strip() for part in wanted.split(",")]
    found = [name for name in names if any(f".{part}." in f".{name}." for part in parts)]
    for part in parts:
        if not any(f".{part}." in f".{name}." for name in names):
            raise InvalidInput(
                f"thawed: this model has no parameters under {part!r}; name how many of its last "
                f"{layer_count(names)} layers are trained, or modules, as lm_head or layers.1",
                field="thawed",
            )
    return found


def layer_of(name: str) -> int | None:
    """The number of the decoder layer that a parameter is in; ``None`` outside them."""
    found = _LAYER.search(name)
    return int(found[1]) if found else None


def layer_count(names: Sequence[str]) -> int:
    """How many decoder layers these parameters make up."""
    return 1 + max((at for name in names if (at := layer_of(name)) is not None), default=-1)


def thaw_stage(weights: dict[str, nn.Parameter], stage: int, stages: int) -> None:
    """Let stage 1 … ``stages`` train the last layers, more of them each time, and in the last one everything.

    Gradual unfreezing (Howard & Ruder 2018, *Universal Language Model Fine-tuning*, section 3.3), by equal
    shares of the layers. What stands after the layers, norm and head, is trained from the start; what stands
    before them in the last stage only.
    """
    layers = layer_count(list(weights))
    first = layers - -(-layers * stage // stages)
    last_seen = False
    for name, weight in weights.items():
        at = layer_of(name)
        last_seen = last_seen or at is not None
        open_now = stage == stages or (at >= first if at is not None else last_seen)
        weight.requires_grad_(open_now)
        if not open_now:
            weight.grad = None


def stage_of(step: int, total: int, stages: int) -> int:
    """Which of the stages, from 1, a step from 1 to ``total`` is in; they are of equal length."""
    return min(stages, 1 + (step - 1) * stages // total)
