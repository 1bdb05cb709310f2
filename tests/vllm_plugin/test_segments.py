"""Products by runs against the plain definition: each row by its own adapter's matrix, the base's by none."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from picktune_vllm import segments
from torch import Tensor

TOLERANCE = 1e-5


class Batch(NamedTuple):
    """Rows of several runs; ``slots`` has one for each row, ``told`` is what vLLM tells of the runs."""

    inputs: Tensor
    stack: Tensor
    slots: Tensor
    told: tuple[Tensor, Tensor, Tensor, int, int, int]


@st.composite
def batches(draw: st.DrawFn, most_runs: int = 5) -> Batch:
    runs = draw(st.lists(st.tuples(st.integers(-1, 3), st.integers(1, 6)), max_size=most_runs))
    slots = torch.tensor([slot for slot, _ in runs], dtype=torch.long)
    lengths = torch.tensor([length for _, length in runs], dtype=torch.long)
    starts = torch.cumsum(lengths, 0) - lengths
    rows = int(lengths.sum())
    fan_in, fan_out = draw(st.sampled_from([1, 2, 8, 16])), draw(st.sampled_from([1, 5, 16]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    shape = (4, 1, fan_out, fan_in) if draw(st.booleans()) else (4, fan_out, fan_in)
    return Batch(
        torch.randn(rows, fan_in, generator=generator),
        torch.randn(*shape, generator=generator),
        torch.repeat_interleave(slots, lengths),
        (starts, lengths, slots, len(runs), max([0, *lengths.tolist()]), rows),
    )


def plain(batch: Batch, output: Tensor, offset: int, width: int, scaling: float, add: bool) -> Tensor:
    """The definition, row by row, in float64."""
    output = output.double()
    for row, slot in enumerate(batch.slots.tolist()):
        if slot >= 0:
            matrix = batch.stack.double().reshape(4, *batch.stack.shape[-2:])[slot, :width]
            said = scaling * (matrix @ batch.inputs[row].double())
            columns = slice(offset, offset + width)
            output[row, columns] = said + (output[row, columns] if add else 0.0)
    return output


def same(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one.double(), other.double(), atol=TOLERANCE, rtol=TOLERANCE)


@given(batches(), st.sampled_from([1.0, 0.5, -3.0]), st.integers(0, 3))
def test_shrink(batch: Batch, scaling: float, spare: int) -> None:
    width = batch.stack.shape[-2]
    output = torch.full((len(batch.slots), width + spare), 7.0)
    expected = plain(batch, output, 0, width, scaling, add=False)
    by_rows = output.clone()
    segments.shrink(batch.inputs, batch.stack, output, *batch.told, scaling)
    assert same(output, expected)
    segments.shrink_rows(batch.inputs, batch.stack, by_rows, batch.slots, scaling)
    assert same(by_rows, expected)


@given(batches(), st.booleans(), st.integers(-1, 3))
def test_expand(batch: Batch, add: bool, spare: int) -> None:
    width = batch.stack.shape[-2]
    output = torch.randn(len(batch.slots), max(1, width + spare))
    expected = plain(batch, output, 0, min(width, output.shape[1]), 1.0, add)
    by_rows = output.clone()
    segments.expand(batch.inputs, batch.stack, output, *batch.told, add)
    assert same(output, expected)
    segments.expand_rows(batch.inputs, batch.stack, by_rows, batch.slots, add)
    assert same(by_rows, expected)


@given(batches(), st.booleans(), st.integers(0, 4), st.integers(0, 3))
def test_expand_slice(batch: Batch, add: bool, offset: int, spare: int) -> None:
    width = batch.stack.shape[-2]
    output = torch.randn(len(batch.slots), offset + width + spare)
    expected = plain(batch, output, offset, width, 1.0, add)
    segments.expand_slice(batch.inputs, batch.stack, output, *batch.told, offset, width, add)
    assert same(output, expected)


@given(batches())
def test_rows_of_the_base_keep_every_bit(batch: Batch) -> None:
    output = torch.randn(len(batch.slots), batch.stack.shape[-2])
    before = output.clone()
    segments.expand(batch.inputs, batch.stack, output, *batch.told, True)
    of_the_base = batch.slots < 0
    assert torch.equal(output[of_the_base], before[of_the_base])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_multiplied_in_that_of_the_output(dtype: torch.dtype) -> None:
    inputs, stack = torch.randn(3, 64).to(dtype), torch.randn(2, 1, 8, 64).to(dtype)
    output = torch.zeros(3, 8)
    one_run = (torch.tensor([0]), torch.tensor([3]), torch.tensor([1]), 1, 3, 3)
    segments.shrink(inputs, stack, output, *one_run, 1.0)
    assert same(output, inputs.double() @ stack[1, 0].double().t())


def test_an_empty_batch_is_no_error() -> None:
    none = torch.zeros(0, dtype=torch.long)
    output = torch.zeros(0, 4)
    segments.shrink(torch.zeros(0, 8), torch.zeros(2, 1, 4, 8), output, none, none, none, 0, 0, 0, 1.0)
    segments.expand_rows(torch.zeros(0, 8), torch.zeros(2, 1, 4, 8), output, none)
    assert output.shape == (0, 4)
