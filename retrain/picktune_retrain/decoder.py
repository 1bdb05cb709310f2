"""A decoder layer of the Llama kind as one differentiable function, for packed rows on a CPU.

Written out by hand, a layer computes and keeps less than autograd makes of it: projections that read the same
input share a product with their LoRA matrices, sums happen inside products, and nothing is computed for
weights that are frozen. Before it is used, ``forward.choose_layout`` compares it with the model's own layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    """Linear layers that read the same input, as one: x Wᵀ + b, and their LoRA pairs on top of it.

    Their matrices stand below one another, so that a group is one product forwards and one backwards; ``up``
    has the B of each pair at its place and nought elsewhere.
    """

    def __init__(self, layers: Sequence[LinearParts]) -> None:
        self.layers = layers
        self.weight = _joined([layer.weight for layer in layers])
        biases = [layer.bias for layer in layers if layer.bias is not None]
        self.bias = torch.cat(biases) if len(biases) == len(layers) else None
        self.uneven = 0 < len(biases) < len(layers)
        self.widths = [len(layer.weight) for layer in layers]
        self.pairs = [matrix for layer in layers if layer.pair for matrix in layer.pair]
        if self.pairs:
            self.ranks = [len(a) for a in self.pairs[::2]]
            self.down = torch.cat([a.detach() for a in self.pairs[::2]]).to(self.weight.dtype)
            self.up = self.weight.new_zeros(len(self.weight), len(self.down))
            for place, b, layer in zip(self._places(self.up), self.pairs[1::2], layers, strict=True):
                torch.mul(b.detach(), layer.scaling, out=place)

    @classmethod
    def of(cls, *layers: Any) -> _Group | None:
        """``None`` if one of them keeps a forward of its own, as with dropout."""
        taken = [taken for layer in layers if (taken := parts(layer)) is not None]
        group = cls(taken) if len(taken) == len(layers) else None
        return None if group is None or group.uneven else group

    def _places(self, up: Tensor) -> Iterator[Tensor]:
        row = column = 0
        for width, rank in zip(self.widths, self.ranks, strict=True):
            yield up[row : row + width, column : column + rank]
            row, column = row + width, column + rank

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The outputs side by side, and the inner activations of the LoRA pairs."""
        y = F.linear(x, self.weight, self.bias)
        if not self.pairs:
            return y, None
        inner = x @ self.down.T
        return y.addmm_(inner, self.up.T), inner

    def backward(self, dy: Tensor, x: Tensor, inner: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The gradient of the inner activations, and those of every A and B."""
        d_inner = dy @ self.up
        d_downs = torch.split((d_inner.T @ x).float(), self.ranks)
        d_ups = self._places(dy.T @ inner)
        d_pairs = []
        for d_down, d_up, layer in zip(d_downs, d_ups, self.layers, strict=True):
            d_pairs += [d_down, d_up.float().mul_(layer.scaling)]
        return d_inner, d_pairs

    def backward_to_input(self, dy: Tensor, d_inner: Tensor) -> Tensor:
        return (dy @ self.weight).addmm_(d_inner, self.down)


def _joined(weights: Sequence[Tensor]) -> Tensor:
    """The matrices as one, below one another; they become parts of it, so that it takes no memory."""
    first, *others = weights
    at = first.storage_offset() + first.numel()
    for weight in others:
        apart = weight.untyped_storage().data_ptr() != first.untyped_storage().data_ptr()
        if apart or weight.storage_offset() != at:
            break
        at += weight.numel()
    else:
        rows = sum(map(len, weights))
        return first.detach().as_strided((rows, first.shape[1]), (first.shape[1], 1))
    whole = torch.cat([weight.detach() for weight in weights])
    for weight, part in zip(weights, torch.split(whole, list(map(len, weights))), strict=True):
        weight.data = part
    return whole


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
        q, k, v = (part.view(len(x), -1, frozen.width) for part in torch.split(qkv, to_qkv.widths, 1))
        # A copy of v, so that what q and k were before they were turned need not be kept.
        q, k, v = _rotate(q, cos, sin), _rotate(k, cos, sin), v.transpose(0, 1).contiguous()
        del qkv
        attended, weights = attend(q, k, v, frozen.layout, frozen.scaling)
        attended = attended.view(len(x), -1)
        y, out_inner = to_out.forward(attended)
        y += x
        n, y_scale = _norm(y, *frozen.norms[1])
        gate_up, gate_up_inner = to_gate_up.forward(n)
        gate, up = torch.split(gate_up, to_gate_up.widths, 1)
        silu = F.silu(gate)
        product = silu * up
        z, down_inner = to_down.forward(product)
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
        d_inner, d_down = to_down.backward(dz, product, down_inner)
        d_product = to_down.backward_to_input(dz, d_inner)
        d_gate_up = d_product.new_empty(len(x), sum(to_gate_up.widths))
        d_gate, d_up = torch.split(d_gate_up, to_gate_up.widths, 1)
        torch.mul(d_product, silu, out=d_up)
        torch.ops.aten.silu_backward.grad_input(d_product.mul_(up), gate, grad_input=d_gate)
        d_inner, d_gate_up_pairs = to_gate_up.backward(d_gate_up, n, gate_up_inner)
        dn = to_gate_up.backward_to_input(d_gate_up, d_inner)
        dy = _norm_backward(dn, y, y_scale, frozen.norms[1][0]).add_(dz)
        d_inner, d_out = to_out.backward(dy, attended, out_inner)
        d_attended = to_out.backward_to_input(dy, d_inner).view(len(x), -1, frozen.width)
        dq, dk, dv = attend_backward(
            d_attended.transpose(0, 1), q, k, v, weights, frozen.layout, frozen.scaling
        )
        d_qkv = dq.new_empty(len(x), sum(to_qkv.widths))
        to_q, to_k, to_v = torch.split(d_qkv.view(len(x), -1, frozen.width), [len(dq), len(dk), len(dv)], 1)
        back = -sin
        _rotate(dq.transpose(0, 1), cos, back, out=to_q)
        _rotate(dk.transpose(0, 1), cos, back, out=to_k)
        to_v.copy_(dv.transpose(0, 1))
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


def _rotate(x: Tensor, cos: Tensor, sin: Tensor, out: Tensor | None = None) -> Tensor:
    """Rotary positions, [L, H, D] -> [H, L, D]; with −sin it is its own inverse and transpose."""
    half = x.shape[-1] // 2
    y = torch.mul(x, cos, out=out)
    y[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-1)
    y[..., half:].addcmul_(x[..., :half], sin[..., half:])
    return y.transpose(0, 1)
