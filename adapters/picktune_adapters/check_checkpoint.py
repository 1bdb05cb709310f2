"""What the folder of a checkpoint must be: a whole model of its base's shape, and finite numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from picktune_adapters.base import INDEX, tensor_shapes, weight_files
from picktune_adapters.contents import check_files, check_numbers, fault, read_config, read_weights
from picktune_adapters.kinds import MODEL_CONFIG, files_of

_TRAINED = "serve it beside the base model that it was trained from, or train it again from this one"
# What is computed from the configuration, and some versions write and others do not.
_COMPUTED = ".inv_freq"
_HEAD = "lm_head.weight"
# What the tensors' shapes alone do not say about how they are used.
_SAME = ("model_type", "num_attention_heads", "num_key_value_heads", "head_dim", "vocab_size")


class CheckpointShape(Struct, frozen=True, kw_only=True):
    """A sound checkpoint: how many numbers it holds, in how many bytes of weights."""

    parameters: int
    bytes: int


def check_checkpoint(folder: Path, *, base: Path | None) -> CheckpointShape:
    """Read a model folder in full: safetensors and JSON only, each file whole, every number finite.

    With ``base``, the folder of the base model, it must have that model's tensors, each of the same shape.
    Raises ``AdapterCorrupt``, saying what is wrong and how to mend it.
    """
    again = "write it again with save_pretrained"
    try:
        check_files(folder, [MODEL_CONFIG], mend=again)
        check_files(folder, files_of(folder, "checkpoint"), mend=again)
        config = read_config(folder, MODEL_CONFIG)
        if config.get("auto_map"):
            fault(folder, f"{MODEL_CONFIG} asks for code of its own (auto_map)", "use a model without any")
        if config.get("quantization_config"):
            fault(folder, "its weights are quantised", "save it as float32, bfloat16 or float16")
        try:
            files = weight_files(folder)
        except (ValueError, msgspec.MsgspecError) as error:
            fault(folder, f"{INDEX} cannot be understood ({error})", again)
        if not files:
            fault(folder, "it holds no safetensors", again)
        check_files(folder, [file.name for file in files], mend="copy or train it again")
        shapes: dict[str, tuple[int, ...]] = {}
        size = 0
        for file in files:
            tensors = read_weights(folder, file.name)
            check_numbers(folder, tensors)
            shapes |= {name: entry.shape for name, entry in tensors.entries.items()}
            size += file.stat().st_size
        if base is not None:
            _check_base(folder, config, shapes, base)
    except OSError as error:
        fault(folder, f"it cannot be read ({error})", "mend the folder's permissions, or write it again")
    return CheckpointShape(parameters=sum(map(_count, shapes.values())), bytes=size)


def _check_base(folder: Path, config: dict[str, Any], shapes: dict[str, tuple[int, ...]], base: Path) -> None:
    wanted = tensor_shapes(base)
    for name, shape in wanted.items():
        found = shapes.get(name)
        if found is None and not name.endswith(_COMPUTED):
            fault(folder, f"it lacks {name}, which the base {base} has", _TRAINED)
        if found is not None and found != shape:
            fault(folder, f"{name} has the shape {found}, and in the base {base} it is {shape}", _TRAINED)
    for name in shapes:
        # A head that is tied to the embeddings may be written or not.
        if name not in wanted and name != _HEAD and not name.endswith(_COMPUTED):
            fault(folder, f"it has {name}, which the base {base} lacks", _TRAINED)
    if not (base / MODEL_CONFIG).is_file():
        return
    theirs = read_config(base, MODEL_CONFIG)
    for key in _SAME:
        if key in config and key in theirs and config[key] != theirs[key]:
            fault(
                folder, f"its {key} is {config[key]!r}, and that of the base {base} {theirs[key]!r}", _TRAINED
            )


def _count(shape: tuple[int, ...]) -> int:
    total = 1
    for one in shape:
        total *= one
    return total
