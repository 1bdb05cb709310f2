"""The two places where a training step spends its time, each as one differentiable function.

Both are for weights that are frozen: they never compute a gradient that nobody wants.
"""

from __future__ import annotations

from types import MethodType
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

_ROWS = 128


def token_log_probs(hidden: Tensor, head: Tensor, bias: Tensor | None, tokens: Tensor) -> Tensor:
    """log softmax(hidden · headᵀ + bias)[tokens] in nats: hidden [T, d], head [V, d], tokens [T] -> fp32 [T].

    The logits exist for a few rows at a time. Their gradient, head[token] − softmax · head, is made on the
    way forward while the softmax is at hand, so that nothing of size V is kept. A head that is trained itself
    takes the plain way.
    """
    if head.requires_grad and torch.is_grad_enabled():
        pieces = zip(torch.split(hidden, _ROWS), torch.split(tokens, _ROWS), strict=True)
        losses = [F.cross_entropy(F.linear(x, head, bias).float(), y, reduction="none") for x, y in pieces]
        return -torch.cat(losses)
    result: Tensor = _TokenLogProbs.apply(hidden, head, bias, tokens)  # type: ignore[no-untyped-call]
    return result


class _TokenLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, bias: Tensor | None, tokens: Tensor) -> Tensor:
        chosen = torch.empty(len(tokens), dtype=torch.float32, device=hidden.device)
        gradient = torch.empty_like(hidden) if hidden.requires_grad else None
        for start in range(0, len(tokens), _ROWS):
            rows = slice(start, start + _ROWS)
            logits = F.linear(hidden[rows], head, bias)
            log_probs = torch.log_softmax(logits, -1, dtype=torch.float32)
            chosen[rows] = log_probs.gather(1, tokens[rows, None])[:, 0]
            if gradient is not None:
                gradient[rows] = head[tokens[rows]] - log_probs.exp_().to(head.dtype) @ head
        ctx.save_for_backward(gradient)
        return chosen

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return (gradient * gradients[0][:, None]).to(gradient.dtype), None, None, None


def fuse(network: nn.Module) -> int:
    """Give PEFT's LoRA layers a forward that is one function; returns how many could take it.

    Layers with dropout keep PEFT's own, as do layers that are not plain matrices.
    """
    from peft.tuners.lora.layer import Linear

    count = 0
    for module in network.modules():
        if not isinstance(module, Linear) or type(module.base_layer) is not nn.Linear:
            continue
        (name,) = module.active_adapters
        if not isinstance(module.lora_dropout[name], nn.Identity) or module.lora_variant:
            continue
        module.forward = MethodType(_forward, module)  # type: ignore[method-assign]
        count += 1
    return count


class LinearParts(NamedTuple):
    """A linear layer taken apart: W [o, i], bias, and its pair A [r, i], B [o, r] if that is switched on."""

    weight: Tensor
    bias: Tensor | None
    pair: tuple[Tensor, Tensor] | None
    scaling: float


def parts(layer: Any) -> LinearParts | None:
    """What a linear layer, PEFT's or a plain one, is made of; ``None`` if it was not fused."""
    if type(layer) is nn.Linear:
        return LinearParts(layer.weight, layer.bias, None, 0.0)
    if "forward" not in layer.__dict__:
        return None
    base = layer.base_layer
    if layer.disable_adapters:
        return LinearParts(base.weight, base.bias, None, 0.0)
    (name,) = layer.active_adapters
    pair = layer.lora_A[name].weight, layer.lora_B[name].weight
    return LinearParts(base.weight, base.bias, pair, layer.scaling[name])


def _forward(self: Any, x: Tensor) -> Tensor:
    weight, bias, pair, scaling = parts(self)  # type: ignore[misc]
    if pair is None:
        return F.linear(x, weight, bias)
    result: Tensor = _LoRALinear.apply(x, weight, bias, *pair, scaling)  # type: ignore[no-untyped-call]
    return result


class _LoRALinear(torch.autograd.Function):
    """x Wᵀ + scaling · x Aᵀ Bᵀ: x [..., i], W [o, i] frozen, A [r, i] and B [o, r] in fp32.

    PEFT's own layer casts x to fp32, makes two results and adds them; here A and B are cast to x's type,
    their product is added in place, and backwards dx is one sum as well.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scaling: float
    ) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        a, b = a.to(x.dtype), (b * scaling).to(x.dtype)
        inner = flat @ a.T
        y = F.linear(flat, weight, bias).addmm_(inner, b.T)
        ctx.save_for_backward(flat, weight, a, b, inner)
        ctx.scaling = scaling
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        flat, weight, a, b, inner = ctx.saved_tensors
        shape = gradients[0].shape
        dy = gradients[0].reshape(-1, shape[-1])
        d_inner = dy @ b
        d_a = (d_inner.T @ flat).float()
        d_b = (dy.T @ inner).float() * ctx.scaling
        dx = (dy @ weight).addmm_(d_inner, a).view(*shape[:-1], -1) if ctx.needs_input_grad[0] else None
        return dx, None, None, d_a, d_b, None
