"""Putting our products in the place of vLLM's, where its version and its functions are those that we know."""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType, ModuleType
from typing import Any

# vLLM shows what is said under its own name.
logger = logging.getLogger("vllm.picktune")

KNOWN_VERSIONS = ("0.32.0",)
WRAPPER = "vllm.lora.punica_wrapper.punica_cpu"

_RUNS = (
    "b_seq_start_loc",
    "seq_len_tensor",
    "lora_indices_tensor",
    "batches",
    "max_seq_length",
    "token_nums",
)
_SHRINK_MATRIX, _EXPAND_MATRIX = "lora_a_weights", "lora_b_weights"
# What each function of theirs that we replace must take, by our function.
_SIGNATURES: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "sgmv_shrink": ("shrink", ("inputs", _SHRINK_MATRIX, "output_tensor", *_RUNS, "scaling")),
        "sgmv_expand": ("expand", ("inputs", _EXPAND_MATRIX, "output_tensor", *_RUNS, "add_inputs")),
        "sgmv_expand_slice": (
            "expand_slice",
            ("inputs", _EXPAND_MATRIX, "output_tensor", *_RUNS, "slice_offset", "slice_size", "add_inputs"),
        ),
        "bgmv_shrink": (
            "shrink_rows",
            ("inputs", _EXPAND_MATRIX, "output_tensor", "lora_indices_tensor", "scaling"),
        ),
        "bgmv_expand": (
            "expand_rows",
            ("inputs", _EXPAND_MATRIX, "output_tensor", "lora_indices_tensor", "add_inputs"),
        ),
    }
)


class Unknown(Exception):
    """This vLLM is not one that we know; the message says in what."""


def register() -> None:
    """vLLM's entry point, called in each of its processes, perhaps more than once; never raises."""
    try:
        import vllm
        from vllm.platforms import current_platform

        if not current_platform.is_cpu():
            logger.info("picktune_vllm is for the CPU backend and leaves this one alone")
            return
        replace(importlib.import_module(WRAPPER), vllm.__version__)
    except Unknown as unknown:
        logger.warning(
            "picktune_vllm steps aside: %s. Base requests may be answered by an adapter once all of "
            "--max-loras have been filled",
            unknown,
        )
    except Exception:
        logger.warning("picktune_vllm steps aside, for it failed", exc_info=True)


def replace(wrapper: ModuleType, version: str) -> None:
    """Put our functions into ``wrapper``, all or none; raises ``Unknown`` if it is not one that we know."""
    if getattr(wrapper, "_picktune", False):
        return
    if version.partition("+")[0] not in KNOWN_VERSIONS:
        raise Unknown(f"it knows vLLM {', '.join(KNOWN_VERSIONS)}, and this is {version}")
    from picktune_vllm import segments

    ours: dict[str, Callable[..., None]] = {}
    for name, (mine, expected) in _SIGNATURES.items():
        theirs = getattr(wrapper, name, None)
        if not callable(theirs):
            raise Unknown(f"{wrapper.__name__} has no {name}")
        found = tuple(inspect.signature(theirs).parameters)
        if found != expected:
            raise Unknown(f"{name} of {wrapper.__name__} takes ({', '.join(found)})")
        ours[name] = getattr(segments, mine)
        if name.startswith("bgmv"):
            ours[name] = _where_rows_agree(ours[name], theirs)
    _compare(wrapper, ours)
    for name, function in ours.items():
        setattr(wrapper, name, function)
    wrapper._picktune = True  # type: ignore[attr-defined]
    logger.info("picktune_vllm replaces %s in %s", ", ".join(ours), wrapper.__name__)


def _where_rows_agree(ours: Callable[..., None], theirs: Callable[..., None]) -> Callable[..., None]:
    """Ours where each row has a slot; the log-probabilities of prompts have more rows than slots."""

    @functools.wraps(ours)
    def either(inputs: Any, stack: Any, output: Any, slots: Any, *rest: Any, **named: Any) -> None:
        agrees = inputs.shape[0] == output.shape[0] == slots.shape[0]
        (ours if agrees else theirs)(inputs, stack, output, slots, *rest, **named)

    return either


def _compare(wrapper: ModuleType, ours: Mapping[str, Callable[..., None]]) -> None:
    """Whether theirs and ours still mean the same, where no token is the base's; raises ``Unknown``."""
    import torch

    def numbers(*shape: int) -> Any:
        count = torch.Size(shape).numel()
        return (torch.arange(count, dtype=torch.float32).reshape(shape) * 0.7).sin()

    slots, lengths = torch.tensor([1, 0, 1]), torch.tensor([2, 1, 3])
    runs = (torch.tensor([0, 2, 3]), lengths, slots, 3, 3, 6)
    rows = torch.repeat_interleave(slots, lengths)
    given: dict[str, tuple[tuple[int, ...], tuple[Any, ...]]] = {
        "sgmv_shrink": ((2, 1, 4, 5), (*runs, 0.5)),
        "sgmv_expand": ((2, 1, 7, 5), (*runs, True)),
        "sgmv_expand_slice": ((2, 1, 3, 5), (*runs, 2, 3, True)),
        "bgmv_shrink": ((2, 1, 4, 5), (rows, 0.5)),
        "bgmv_expand": ((2, 1, 7, 5), (rows, True)),
    }
    for name, (shape, rest) in given.items():
        results = []
        for function in (getattr(wrapper, name), ours[name]):
            output = numbers(6, 4 if name.endswith("shrink") else 7)
            function(numbers(6, 5), numbers(*shape), output, *rest)
            results.append(output)
        if not torch.allclose(results[0], results[1], atol=1e-5):
            raise Unknown(f"{name} of {wrapper.__name__} computes something else than it did")
