"""What the folder of a LoRA must be before anything may serve it.

An engine answers 200 and silently says the wrong words for most of these faults, and one adapter with a NaN
in it can poison a server for all, so every fault is caught here, before publishing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from picktune_adapters.base import BaseModules
from picktune_adapters.contents import (
    CONFIG,
    WEIGHTS,
    check_files,
    check_numbers,
    fault,
    read_config,
    read_weights,
)
from picktune_adapters.kinds import PROMPTS
from picktune_adapters.tensors import Tensors

MAX_RANK = 64

_PREFIX = "base_model.model."

# Initialisations that touch only the adapter. Others (PiSSA, OLoRA, CorDA, LoftQ) change the base weights
# too, so that the adapter alone is wrong on the base that is served.
_INITS = ("gaussian", "eva", "orthogonal", "mica", "lora_ga")

# Features of PEFT that change what the adapter means and that not every engine knows; with how they are said.
_UNSERVABLE = {
    "use_dora": "DoRA",
    "lora_bias": "a LoRA bias",
    "modules_to_save": "modules saved whole (modules_to_save)",
    "rank_pattern": "ranks of their own for some modules (rank_pattern)",
    "alpha_pattern": "scalings of their own for some modules (alpha_pattern)",
    "alora_invocation_tokens": "activated LoRA",
    "layer_replication": "layer replication",
    "trainable_token_indices": "trainable tokens",
    "target_parameters": "adapted parameters (target_parameters)",
    "use_qalora": "QALoRA",
    "use_bdlora": "block-diagonal LoRA",
}


class AdapterShape(Struct, frozen=True, kw_only=True):
    """A sound adapter: its rank and α, the modules it adapts (base names), how many numbers it holds."""

    rank: int
    alpha: float
    modules: tuple[str, ...]
    parameters: int


def check_adapter(folder: Path, *, base: Path | None, max_rank: int = MAX_RANK) -> AdapterShape:
    """Read an adapter folder in full, and say what is in it.

    It must hold a plain PEFT LoRA as safetensors: finite numbers, A of shape (rank, in) and B of shape
    (out, rank) for every adapted module, the rank that the configuration says. With ``base``, the folder of
    the base model, each module must exist there with those in and out sizes. Raises ``AdapterCorrupt``,
    saying what is wrong and how to mend it.
    """
    try:
        check_files(folder, (CONFIG, WEIGHTS), mend="write the adapter with save_pretrained")
        config = read_config(folder)
        rank, alpha = _check_config(folder, config, max_rank)
        tensors = read_weights(folder)
        sizes = _check_shapes(folder, tensors, rank)
        _check_targets(folder, config, sizes)
        if base is not None:
            _check_base(folder, config, sizes, BaseModules.read(base))
        check_numbers(folder, tensors)
    except OSError as error:
        fault(folder, f"it cannot be read ({error})", "mend the folder's permissions, or write it again")
    return AdapterShape(
        rank=rank,
        alpha=alpha,
        modules=tuple(sorted(sizes)),
        parameters=sum(entry.size for entry in tensors.entries.values()),
    )


def _check_config(folder: Path, config: Mapping[str, Any], max_rank: int) -> tuple[int, float]:
    again = "train a plain LoRA: LoraConfig without that"
    if config.get("peft_type") in PROMPTS:
        fault(
            folder,
            f"it is a prompt adapter ({config['peft_type']}), which only the local engine serves, and not "
            "vLLM",
            'serve it with the setting engine = "local", or train a LoRA',
        )
    if config.get("peft_type") != "LORA":
        fault(folder, f"its peft_type is {config.get('peft_type')!r} and only 'LORA' can be served", again)
    if config.get("task_type") not in (None, "CAUSAL_LM"):
        fault(folder, f"its task_type is {config['task_type']!r}", "train with task_type='CAUSAL_LM'")
    for key, what in _UNSERVABLE.items():
        if config.get(key):
            fault(folder, f"it uses {what}", again)
    if config.get("bias", "none") != "none":
        fault(folder, f"it trains biases (bias={config['bias']!r})", "train with bias='none'")
    init = config.get("init_lora_weights", True)
    if not isinstance(init, bool) and not (isinstance(init, str) and init.lower() in _INITS):
        fault(
            folder,
            f"init_lora_weights={init!r} changes the base model too",
            "convert it with PEFT's path_initial_model_for_weight_conversion, or train with True",
        )
    rank: Any = config.get("r")
    alpha: Any = config.get("lora_alpha")
    if not _is_number(rank) or rank != int(rank) or rank < 1:
        fault(folder, f"its rank r is {rank!r}", "write a whole number of at least 1")
    if rank > max_rank:
        fault(folder, f"its rank {rank} is above {max_rank}", "train with a lower rank, or raise the limit")
    if not _is_number(alpha) or alpha <= 0:
        fault(folder, f"its lora_alpha is {alpha!r}", "write a number above 0")
    return int(rank), float(alpha)


def _check_shapes(folder: Path, tensors: Tensors, rank: int) -> dict[str, tuple[int, int]]:
    """The (in, out) sizes of every adapted module."""
    halves: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, entry in tensors.entries.items():
        module, _, half = name.removesuffix(".weight").rpartition(".lora_")
        if not name.startswith(_PREFIX) or not name.endswith(".weight") or half not in ("A", "B"):
            fault(
                folder,
                f"the tensor {name!r} is no LoRA matrix",
                f"name them {_PREFIX}MODULE.lora_A.weight and .lora_B.weight, as save_pretrained does",
            )
        halves.setdefault(module.removeprefix(_PREFIX), {})[half] = entry.shape
    sizes = {}
    for module, shapes in halves.items():
        if len(shapes) != 2:
            missing = "A" if "B" in shapes else "B"
            fault(folder, f"{module} lacks lora_{missing}", "write both halves; train it again")
        a, b = shapes["A"], shapes["B"]
        if len(a) != 2 or len(b) != 2 or 0 in (*a, *b):
            fault(folder, f"{module} has shapes {a} and {b}, which are no matrices", "train it again")
        if a[0] != rank or b[1] != rank:
            fault(
                folder,
                f"{module} has shapes {a} and {b}, and {CONFIG} says rank {rank}",
                "put back the configuration that belongs to these weights",
            )
        sizes[module] = (a[1], b[0])
    return sizes


def _check_targets(folder: Path, config: Mapping[str, Any], sizes: Mapping[str, tuple[int, int]]) -> None:
    targets = config.get("target_modules")
    if not isinstance(targets, list):
        return  # a regular expression from a file is not run here
    names = {target for target in targets if isinstance(target, str)}
    for module in sizes:
        parts = module.split(".")
        if names.isdisjoint(".".join(parts[at:]) for at in range(len(parts))):
            fault(
                folder,
                f"{module} is not among target_modules ({', '.join(sorted(names))})",
                "put back the configuration that belongs to these weights",
            )


def _check_base(
    folder: Path, config: Mapping[str, Any], sizes: Mapping[str, tuple[int, int]], base: BaseModules
) -> None:
    for module, (fan_in, fan_out) in sizes.items():
        shape = base.shape(module)
        if shape is None:
            fault(
                folder,
                f"the base model {base.folder} has no module {module!r}",
                "serve the base model that it was trained on, or train it again on this one",
            )
        wanted = (fan_in, fan_out) if config.get("fan_in_fan_out") else (fan_out, fan_in)
        if shape != wanted:
            fault(
                folder,
                f"{module} fits a weight of shape {wanted}, and in the base {base.folder} it is {shape}",
                "serve the base model that it was trained on, or train it again on this one",
            )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
