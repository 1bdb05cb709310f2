"""When the plugin replaces vLLM's functions, and when it steps aside; the real vLLM is in tests/vllm."""

from __future__ import annotations

import logging
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from picktune_vllm import patch, register, segments
from picktune_vllm.patch import KNOWN_VERSIONS, WRAPPER, Unknown, replace

(VERSION, *_) = KNOWN_VERSIONS


def wrapper() -> ModuleType:
    """A module with functions of the names and arguments of vLLM's, which do what ours do."""
    module = ModuleType("stand_in")
    exec(  # noqa: S102 - the arguments' names are what is looked at
        """
from picktune_vllm import segments
def sgmv_shrink(inputs, lora_a_weights, output_tensor, b_seq_start_loc, seq_len_tensor, lora_indices_tensor,
                batches, max_seq_length, token_nums, scaling):
    segments.shrink(inputs, lora_a_weights, output_tensor, b_seq_start_loc, seq_len_tensor,
                    lora_indices_tensor, batches, max_seq_length, token_nums, scaling)
def sgmv_expand(inputs, lora_b_weights, output_tensor, b_seq_start_loc, seq_len_tensor, lora_indices_tensor,
                batches, max_seq_length, token_nums, add_inputs=False):
    segments.expand(inputs, lora_b_weights, output_tensor, b_seq_start_loc, seq_len_tensor,
                    lora_indices_tensor, batches, max_seq_length, token_nums, add_inputs)
def sgmv_expand_slice(inputs, lora_b_weights, output_tensor, b_seq_start_loc, seq_len_tensor,
                      lora_indices_tensor, batches, max_seq_length, token_nums, slice_offset, slice_size,
                      add_inputs=False):
    segments.expand_slice(inputs, lora_b_weights, output_tensor, b_seq_start_loc, seq_len_tensor,
                          lora_indices_tensor, batches, max_seq_length, token_nums, slice_offset,
                          slice_size, add_inputs)
def bgmv_shrink(inputs, lora_b_weights, output_tensor, lora_indices_tensor, scaling=1.0):
    segments.shrink_rows(inputs, lora_b_weights, output_tensor, lora_indices_tensor, scaling)
def bgmv_expand(inputs, lora_b_weights, output_tensor, lora_indices_tensor, add_inputs=True):
    segments.expand_rows(inputs, lora_b_weights, output_tensor, lora_indices_tensor, add_inputs)
""",
        module.__dict__,
    )
    return module


def test_it_replaces_what_it_knows_and_only_once() -> None:
    module = wrapper()
    replace(module, f"{VERSION}+cpu")
    assert module.sgmv_shrink is segments.shrink
    assert module.sgmv_expand_slice is segments.expand_slice
    rows = module.bgmv_expand
    replace(module, VERSION)
    assert module.bgmv_expand is rows


def test_another_version_is_left_alone() -> None:
    module = wrapper()
    theirs = module.sgmv_shrink
    with pytest.raises(Unknown, match=r"this is 0\.99\.0"):
        replace(module, "0.99.0")
    assert module.sgmv_shrink is theirs


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("bgmv_expand", None, "has no bgmv_expand"),
        ("sgmv_expand", lambda inputs, weights: None, r"sgmv_expand of stand_in takes \(inputs, weights\)"),
    ],
)
def test_other_functions_are_left_alone_all_of_them(name: str, value: Any, said: str) -> None:
    module = wrapper()
    theirs = module.sgmv_shrink
    setattr(module, name, value)
    with pytest.raises(Unknown, match=said):
        replace(module, VERSION)
    assert module.sgmv_shrink is theirs


def test_functions_that_mean_something_else_are_left_alone() -> None:
    module = wrapper()
    once = module.sgmv_shrink

    def sgmv_shrink(
        inputs: Any, lora_a_weights: Any, output_tensor: Any, b_seq_start_loc: Any, seq_len_tensor: Any,
        lora_indices_tensor: Any, batches: Any, max_seq_length: Any, token_nums: Any, scaling: Any,
    ) -> None:  # fmt: skip
        once(
            inputs, lora_a_weights, output_tensor, b_seq_start_loc, seq_len_tensor, lora_indices_tensor,
            batches, max_seq_length, token_nums, 2 * scaling,
        )  # fmt: skip

    module.sgmv_shrink = sgmv_shrink  # type: ignore[attr-defined]
    with pytest.raises(Unknown, match="computes something else"):
        replace(module, VERSION)
    assert module.sgmv_shrink is sgmv_shrink


def test_where_rows_and_slots_differ_in_number_theirs_decides() -> None:
    module = wrapper()
    asked: list[int] = []

    def bgmv_shrink(
        inputs: Any, lora_b_weights: Any, output_tensor: Any, lora_indices_tensor: Any, scaling: float = 1.0
    ) -> None:
        asked.append(len(inputs))
        if len(inputs) == len(lora_indices_tensor):
            segments.shrink_rows(inputs, lora_b_weights, output_tensor, lora_indices_tensor, scaling)

    module.bgmv_shrink = bgmv_shrink  # type: ignore[attr-defined]
    replace(module, VERSION)
    asked.clear()
    for rows in (3, 1):
        module.bgmv_shrink(
            torch.ones(rows, 2), torch.ones(1, 1, 4, 2), torch.ones(rows, 4), torch.tensor([0])
        )
    assert asked == [3]


@pytest.mark.parametrize(
    ("cpu", "version", "said"),
    [
        (True, VERSION, "replaces sgmv_shrink"),
        (True, "1.0", "steps aside: it knows vLLM"),
        (False, VERSION, "leaves this one alone"),
        (None, VERSION, "for it failed"),
    ],
)
def test_vllm_starts_whatever_is_found(
    cpu: bool | None, version: str, said: str, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    module = wrapper()
    platform = SimpleNamespace() if cpu is None else SimpleNamespace(is_cpu=lambda: cpu)
    fakes = {
        "vllm": SimpleNamespace(__version__=version),
        "vllm.platforms": SimpleNamespace(current_platform=platform),
        WRAPPER: module,
    }
    for name, fake in fakes.items():
        monkeypatch.setitem(sys.modules, name, fake)
    with caplog.at_level(logging.INFO, patch.logger.name):
        register()
    assert said in caplog.text
    assert (module.sgmv_shrink is segments.shrink) == ("replaces" in said)
