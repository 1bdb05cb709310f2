"""A decoder layer of the Llama kind as one differentiable function, for packed rows on a CPU.

Written out by hand, a layer computes and keeps less than autograd makes of it: projections that read the same
input share a product with their LoRA matrices, sums happen inside products, and nothing is computed for
weights that are frozen. Before it is used, ``forward.choose_layout`` compares it with the model's own layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from picktune_retrain.attention import Layout, attend, attend_backward
from picktune_retrain.fused import LinearParts, parts

_FAMILIES = ("llama", "mistral", "qwen2")


def fuse_layers(network: Any) -> bool:
    """Let packed rows take the written-out layers, if the model is of a family that they are written for."""
    config = network.config
    known = config.model_type in _FAMILIES and config.hidden_act == "silu" and not config.attention_dropout
    if not known or network.device.type != "cpu" or not _uniform(network):
        return False
    for layer in network.base_model.layers:
        layer.forward = MethodType(_forward, layer)
    return True


def _uniform(network: Any) -> bool:
    """Whether all matrices of a layer have an adapter, or none: a sum of some is not written out."""
    for layer in network.base_model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        linears = (
            attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj,
            mlp.gate_proj, mlp.up_proj, mlp.down_proj,
        )  # fmt: skip
        if len({type(linear) is nn.Linear for linear in linears}) > 1:
            return False
    return True


def release_layers(network: Any) -> None:
    """Give the model its own layers back."""
    for layer in network.base_model.layers:
        layer.__dict__.pop("forward", None)


def _forward(self: Any, hidden_states: Tensor, *arguments: Any, **named: Any) -> Any:
    layout = named.get("layout")
    attention, mlp = self.self_attn, self.mlp
    groups = [
        _Group.of(attention.q_proj, attention.k_proj, attention.v_proj),
        _Group.of(attention.o_proj),
        _Group.of(mlp.gate_proj, mlp.up_proj),
        _Group.of(mlp.down_proj),
    ]
    whole = [group for group in groups if group is not None]
    if layout is None or len(whole) < len(groups):
        return type(self).forward(self, hidden_states, *arguments, **named)
    cos, sin = (x[0, :, None] for x in named["position_embeddings"])
    first, second = self.input_layernorm, self.post_attention_layernorm
    frozen = _Frozen(
        norms=((first.weight, first.variance_epsilon), (second.weight, second.variance_epsilon)),
        groups=whole,
        width=attention.head_dim,
        scaling=attention.scaling,
        layout=layout,
    )
    pairs = [matrix for group in frozen.groups for matrix in group.pairs]
    result: Tensor = _Layer.apply(hidden_states[0], cos, sin, frozen, *pairs)  # type: ignore[no-untyped-call]
    return result[None]


class _Group:
    """Linear layers that read the same input: x Wᵀ + b, and their LoRA pairs on top of it."""

    def __init__(self, layers: Sequence[LinearParts]) -> None:
        self.layers = layers
        self.pairs = [matrix for layer in layers if layer.pair for matrix in layer.pair]
        if self.pairs:
            dtype = layers[0].weight.dtype
            self.down = torch.cat([a.detach() for a in self.pairs[::2]]).to(dtype)
            self.up = [
                (b.detach() * layer.scaling).to(dtype)
                for b, layer in zip(self.pairs[1::2], layers, strict=True)
            ]
            self.ranks = [len(a) for a in self.pairs[::2]]

    @classmethod
    def of(cls, *layers: Any) -> _Group | None:
        """``None`` if one of them keeps a forward of its own, as with dropout."""
        taken = [taken for layer in layers if (taken := parts(layer)) is not None]
        return cls(taken) if len(taken) == len(layers) else None

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """The outputs, and the inner activations of the LoRA pairs side by side."""
        outputs = [F.linear(x, layer.weight, layer.bias) for layer in self.layers]
        if not self.pairs:
            return outputs, None
        inner = x @ self.down.T
        for y, part, b in zip(outputs, torch.split(inner, self.ranks, 1), self.up, strict=True):
            y.addmm_(part, b.T)
        return outputs, inner

    def backward(self, upstream: Sequence[Tensor], x: Tensor, inner: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The gradient of the inner activations, and those of every A and B."""
        d_inner = torch.cat([dy @ b for dy, b in zip(upstream, self.up, strict=True)], 1)
        d_downs = torch.split((d_inner.T @ x).float(), self.ranks)
        inners = torch.split(inner, self.ranks, 1)
        d_pairs = []
        for dy, part, d_down, layer in zip(upstream, inners, d_downs, self.layers, strict=True):
            d_pairs += [d_down, (dy.T @ part).float().mul_(layer.scaling)]
        return d_inner, d_pairs

    def backward_to_input(self, upstream: Sequence[Tensor], d_inner: Tensor) -> Tensor:
        dx = d_inner @ self.down
        for dy, layer in zip(upstream, self.layers, strict=True):
            dx.addmm_(dy, layer.weight)
        return dx


@dataclass(slots=True)
class _Frozen:
    """All of a layer that has no gradient."""

    norms: tuple[tuple[Tensor, float], tuple[Tensor, float]]
    groups: list[_Group]
    width: int
    scaling: float
    layout: Layout


class _Layer(torch.autograd.Function):
    """[L, d] -> [L, d]: y = x + out(attend(qkv(norm x))), then y + down(silu(gate n) · up n), n = norm y."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor, frozen: _Frozen, *pairs: Tensor) -> Tensor:
        to_qkv, to_out, to_gate_up, to_down = frozen.groups
        h, x_scale = _norm(x, *frozen.norms[0])
        qkv, qkv_inner = to_qkv.forward(h)
        q, k, v = (part.view(len(x), -1, frozen.width) for part in qkv)
        q, k, v = _rotate(q, cos, sin), _rotate(k, cos, sin), v.transpose(0, 1)
        attended, weights = attend(q, k, v, frozen.layout, frozen.scaling)
        attended = attended.view(len(x), -1)
        (y,), out_inner = to_out.forward(attended)
        y += x
        n, y_scale = _norm(y, *frozen.norms[1])
        (gate, up), gate_up_inner = to_gate_up.forward(n)
        silu = F.silu(gate)
        product = silu * up
        (z,), down_inner = to_down.forward(product)
        z += y
        if pairs and any(ctx.needs_input_grad):
            ctx.frozen = frozen
            ctx.save_for_backward(
                x, cos, sin, h, x_scale, qkv_inner, q, k, v, attended, out_inner, y, n, y_scale,
                gate, up, gate_up_inner, silu, product, down_inner, *weights,
            )  # fmt: skip
        return z

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (
            x, cos, sin, h, x_scale, qkv_inner, q, k, v, attended, out_inner, y, n, y_scale,
            gate, up, gate_up_inner, silu, product, down_inner, *weights,
        ) = ctx.saved_tensors  # fmt: skip
        frozen: _Frozen = ctx.frozen
        to_qkv, to_out, to_gate_up, to_down = frozen.groups
        dz = gradients[0]
        d_inner, d_down = to_down.backward([dz], product, down_inner)
        d_product = to_down.backward_to_input([dz], d_inner)
        d_up = d_product * silu
        d_gate_up = [torch.ops.aten.silu_backward(d_product.mul_(up), gate), d_up]
        d_inner, d_gate_up_pairs = to_gate_up.backward(d_gate_up, n, gate_up_inner)
        dn = to_gate_up.backward_to_input(d_gate_up, d_inner)
        dy = _norm_backward(dn, y, y_scale, frozen.norms[1][0]).add_(dz)
        d_inner, d_out = to_out.backward([dy], attended, out_inner)
        d_attended = to_out.backward_to_input([dy], d_inner).view(len(x), -1, frozen.width)
        dq, dk, dv = attend_backward(
            d_attended.transpose(0, 1), q, k, v, weights, frozen.layout, frozen.scaling
        )
        dq, dk = (_rotate(d.transpose(0, 1), cos, -sin) for d in (dq, dk))
        d_qkv = [d.transpose(0, 1).reshape(len(x), -1) for d in (dq, dk, dv)]
        d_inner, d_qkv_pairs = to_qkv.backward(d_qkv, h, qkv_inner)
        dx = None
        if ctx.needs_input_grad[0]:  # the first layer reads the embeddings, which are frozen
            dh = to_qkv.backward_to_input(d_qkv, d_inner)
            dx = _norm_backward(dh, x, x_scale, frozen.norms[0][0]).add_(dy)
        return dx, None, None, None, *d_qkv_pairs, *d_out, *d_gate_up_pairs, *d_down


def _norm(x: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """RMSNorm as transformers rounds it, and the scale 1/rms of every row in fp32."""
    wide = x.float()
    scale = wide.square().mean(-1, keepdim=True).add_(epsilon).rsqrt_()
    return (wide * scale).to(x.dtype).mul_(weight), scale


def _norm_backward(dy: Tensor, x: Tensor, scale: Tensor, weight: Tensor) -> Tensor:
    """scale · (g − x̂ · mean(g · x̂)) with g = dy · weight and x̂ = x · scale, in fp32 until the end."""
    g = dy.float().mul_(weight)
    unit = x.float().mul_(scale)
    g -= unit * (g * unit).mean(-1, keepdim=True)
    return g.mul_(scale).to(dy.dtype)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions, [L, H, D] -> [H, L, D]; with −sin it is its own inverse and transpose."""
    half = x.shape[-1] // 2
    y = x * cos
    y[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-1)
    y[..., half:].addcmul_(x[..., :half], sin[..., half:])
    return y.transpose(0, 1)
