"""The log-probabilities of replies: packed into one row, or each in a row of its own."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from picktune_retrain import attention, models, prompts
from picktune_retrain.decoder import fuse_layers, release_layers
from picktune_retrain.encoding import EncodedSet
from picktune_retrain.fused import token_log_probs
from picktune_retrain.models import Model
from picktune_retrain.packing import SHARED, pack

logger = logging.getLogger(__name__)

# Nats over a reply. Right layouts differ by rounding (6e-5 measured over 100 tokens), wrong ones by nats.
TOLERANCE = 1e-3
_PROBE_PROMPT, _PROBE_REPLY, _PROBE_REPLIES = 96, 24, 3


def policy_log_probs(model: Model, sets: Sequence[EncodedSet], *, grad: bool = True) -> tuple[Tensor, ...]:
    """log π_θ(y_j|x) of each set's replies in nats, fp32 [K], with the adapter on; one row for all sets."""
    with torch.set_grad_enabled(grad):
        if model.virtual is not None:
            prompts.place(model)
            try:
                return _packed(model, prompts.before(model, sets), shared=1)
            finally:
                prompts.lift(model)
        return (_packed if model.packed else _rows)(model, sets)


def reference_log_probs(model: Model, sets: Sequence[EncodedSet]) -> list[tuple[float, ...]]:
    """log π_base(y_j|x) of each set's replies in nats: the same layout with the adapter off."""
    off = (
        model.network.disable_adapter() if hasattr(model.network, "peft_config") else contextlib.nullcontext()
    )
    with off, torch.no_grad():
        values = (_packed if model.packed else _rows)(model, sets)
    return [tuple(one.tolist()) for one in values]


def choose_layout(model: Model, sets: Sequence[EncodedSet]) -> None:
    """Use packed rows if this model gives, in fp32, the same for them as for a row for each reply.

    The probe is made of the longest set. A model that refuses the layout, or whose values differ by
    more than ``TOLERANCE`` nats a reply, gets plain rows, and the log says why. So it is with what computes
    the attention: the first that gives the same is taken, see ``attention.kernels``.
    """
    if not sets:
        return
    longest = max(sets, key=lambda one: len(one.prompt) + max(map(len, one.replies)))
    start = replace(
        longest,
        prompt=longest.prompt[:_PROBE_PROMPT],
        replies=tuple(reply[:_PROBE_REPLY] for reply in longest.replies[:_PROBE_REPLIES]),
        chosen=0,
    )
    # A second set that begins as the first and goes on otherwise, so that the row is a tree.
    probes = [start, replace(start, prompt=start.prompt[: 2 * len(start.prompt) // 3] + start.prompt[:5])]
    own = model.network.config._attn_implementation
    window = getattr(model.network.config, "sliding_window", None) or math.inf
    with models.float32(model), torch.no_grad():
        plain = torch.cat(_rows(model, probes))

        def difference() -> float:
            return float((torch.cat(_packed(model, probes)) - plain).abs().max())

        why = None
        try:
            if pack([longest]).layout.longest > window:
                raise attention.Unpackable(f"its attention sees only the last {window} tokens")
            model.network.set_attn_implementation(attention.install())
            model.kernel = _choose_kernel(model, probes, difference)
            model.written_out = model.plain and model.kernel == "blocks" and fuse_layers(_base(model))
            if model.written_out and not difference() <= TOLERANCE:
                release_layers(_base(model))
                model.written_out = False
            if not (nats := difference()) <= TOLERANCE:
                why = f"packed and plain rows differ by {nats:.3g} nats"
        except (attention.Unpackable, TypeError, ValueError, AttributeError, RuntimeError) as error:
            why = f"it refuses packed rows: {error}"
    model.packed = why is None
    model.written_out = model.written_out and model.packed
    if why is not None:
        model.network.set_attn_implementation(own)
        logger.warning("%s is trained and scored a row for each reply, which is slower: %s", model.name, why)


def _choose_kernel(model: Model, probes: Sequence[EncodedSet], difference: Callable[[], float]) -> str:
    """The first that gives what plain rows give and, where something is trained, has a gradient."""
    *tried, last = attention.kernels(model.wanted, model.device.type)
    for kernel in tried:
        model.kernel = kernel
        try:
            if not (nats := difference()) <= TOLERANCE:
                raise attention.Unpackable(f"packed and plain rows differ by {nats:.3g} nats")
            if weights := list(model.parameters().values()):
                with torch.enable_grad():
                    torch.autograd.grad(torch.cat(_packed(model, probes)).sum(), weights, allow_unused=True)
            return kernel
        except Exception as error:  # whatever a compiler raises
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            logger.warning("%s: attention by %s is not used here, %s is: %s", model.name, kernel, last, why)
    return last


def _packed(model: Model, sets: Sequence[EncodedSet], shared: int = SHARED) -> tuple[Tensor, ...]:
    row = pack(sets, model.device, shared=shared)
    network = _base(model)
    body = network.base_model
    packing: dict[str, Any] = {"layout": row.layout, "kernel": model.kernel}
    hidden = body(input_ids=row.ids, position_ids=row.positions, use_cache=False, **packing)[0][0]
    head = network.get_output_embeddings()
    values = token_log_probs(hidden[row.sources], head.weight, head.bias, row.targets)
    sums = values.new_zeros(sum(row.replies)).index_add(0, row.owners, values)
    return torch.split(sums, list(row.replies))


def _rows(model: Model, sets: Sequence[EncodedSet]) -> tuple[Tensor, ...]:
    return tuple(torch.stack([_row(model, one.prompt, reply) for reply in one.replies]) for one in sets)


def _row(model: Model, prompt: Sequence[int], reply: Sequence[int]) -> Tensor:
    ids = torch.tensor([[*prompt, *reply[:-1]]], device=model.device)
    logits = model.network(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 :]
    targets = torch.tensor(reply, device=model.device)
    return -torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum")


def _base(model: Model) -> Any:
    """The transformers model inside PEFT's wrapper: its layers carry the adapter."""
    network = model.network
    return network.get_base_model() if hasattr(network, "peft_config") else network
