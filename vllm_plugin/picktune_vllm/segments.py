"""Products with the adapters' matrices, one for each run of tokens that share an adapter.

Rows are tokens. A run's ``slot`` says where its adapter's matrix lies in the stack of all; tokens of the base
have a slot below zero and are left as they are. Stacks are (slots, 1, out, in) or (slots, out, in).

``shrink``, ``expand`` and ``expand_slice`` are told the runs: where each starts, how many rows it has and its
slot; how many runs there are, the longest one and the number of rows come with them and are not needed.
``shrink_rows`` and ``expand_rows`` are told the slot of each row. The order of the arguments is that in which
vLLM's wrapper gives them.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

Run = tuple[int, int, int]


def shrink(
    inputs: Tensor,
    stack: Tensor,
    output: Tensor,
    starts: Tensor,
    lengths: Tensor,
    slots: Tensor,
    runs: int,
    longest: int,
    rows: int,
    scaling: float,
) -> None:
    """``output[row] = scaling * stack[slot] @ inputs[row]``, in the precision of ``output``."""
    _shrink(inputs, stack, output, _runs(starts, lengths, slots), scaling)


def expand(
    inputs: Tensor,
    stack: Tensor,
    output: Tensor,
    starts: Tensor,
    lengths: Tensor,
    slots: Tensor,
    runs: int,
    longest: int,
    rows: int,
    add_inputs: bool = False,
) -> None:
    """``output[row] += stack[slot] @ inputs[row]``, or ``=`` without ``add_inputs``; the narrower decides."""
    _expand(inputs, stack, output, _runs(starts, lengths, slots), add_inputs)


def expand_slice(
    inputs: Tensor,
    stack: Tensor,
    output: Tensor,
    starts: Tensor,
    lengths: Tensor,
    slots: Tensor,
    runs: int,
    longest: int,
    rows: int,
    offset: int,
    width: int,
    add_inputs: bool = False,
) -> None:
    """As ``expand``, into ``width`` columns of ``output`` from ``offset`` on."""
    part = output[:, offset : offset + width]
    _expand(inputs, stack, part, _runs(starts, lengths, slots), add_inputs)


def shrink_rows(inputs: Tensor, stack: Tensor, output: Tensor, slots: Tensor, scaling: float = 1.0) -> None:
    """As ``shrink``, with the slot of each row."""
    _shrink(inputs, stack, output, _runs_of_rows(slots), scaling)


def expand_rows(
    inputs: Tensor, stack: Tensor, output: Tensor, slots: Tensor, add_inputs: bool = True
) -> None:
    """As ``expand``, with the slot of each row."""
    _expand(inputs, stack, output, _runs_of_rows(slots), add_inputs)


def _shrink(inputs: Tensor, stack: Tensor, output: Tensor, runs: Iterable[Run], scaling: float) -> None:
    for start, end, slot in runs:
        product = _product(inputs[start:end], stack, slot, output.dtype)
        torch.mul(product, scaling, out=output[start:end, : product.shape[1]])


def _expand(inputs: Tensor, stack: Tensor, output: Tensor, runs: Iterable[Run], add: bool) -> None:
    # Either may be padded to more columns than the other.
    width = min(output.shape[1], stack.shape[-2])
    for start, end, slot in runs:
        product = _product(inputs[start:end], stack, slot, output.dtype)[:, :width]
        target = output[start:end, :width]
        if add:
            target += product
        else:
            target.copy_(product)


def _product(rows: Tensor, stack: Tensor, slot: int, dtype: torch.dtype) -> Tensor:
    matrix = stack[slot] if stack.dim() == 3 else stack[slot, 0]
    return rows.to(dtype) @ matrix.to(dtype).t()


def _runs(starts: Tensor, lengths: Tensor, slots: Tensor) -> list[Run]:
    told = zip(starts.tolist(), lengths.tolist(), slots.tolist(), strict=True)
    return [(start, start + length, slot) for start, length, slot in told if slot >= 0 and length > 0]


def _runs_of_rows(slots: Tensor) -> list[Run]:
    runs: list[Run] = []
    for row, slot in enumerate(slots.tolist()):
        if runs and runs[-1][1] == row and runs[-1][2] == slot:
            runs[-1] = (runs[-1][0], row + 1, slot)
        elif slot >= 0:
            runs.append((row, row + 1, slot))
    return runs
