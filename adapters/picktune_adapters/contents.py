"""What the checks of every kind of version share: files, JSON, weights, numbers, and how a fault is told."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from picktune_adapters.errors import AdapterCorrupt
from picktune_adapters.tensors import DTYPES, Tensors, is_finite, read_tensors

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

_PICKLED = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz")
_CONFIG_LIMIT = 1 << 20


def fault(folder: Path, what: str, mend: str) -> NoReturn:
    """Raise ``AdapterCorrupt``: what is wrong in the folder, and how it is mended."""
    raise AdapterCorrupt(f"the adapter in {folder} cannot be served: {what}; {mend}")


def check_files(folder: Path, names: Collection[str], *, mend: str) -> None:
    """The named files are there, none of them leads out of the folder, and nothing in it can hold code."""
    if not folder.is_dir():
        fault(folder, "there is no such folder", "name the folder that holds adapter_config.json")
    for entry in sorted(folder.iterdir()):
        if entry.suffix.lower() in _PICKLED:
            fault(
                folder,
                f"{entry.name} can hold pickled code",
                "save the adapter as safetensors (safe_serialization=True) and delete that file",
            )
    for name in names:
        path = folder / name
        # realpath, as resolve raises on links that go in a circle.
        if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
            fault(folder, f"{name} is a link out of the folder", "copy the file itself (cp -L)")
        if not path.is_file():
            fault(folder, f"{name} is missing", mend)


def read_config(folder: Path, name: str = CONFIG) -> dict[str, Any]:
    """A JSON object of at most a MiB."""
    mend = "write the adapter again with save_pretrained"
    with (folder / name).open("rb") as file:
        content = file.read(_CONFIG_LIMIT + 1)
    if len(content) > _CONFIG_LIMIT:
        fault(folder, f"{name} is larger than {_CONFIG_LIMIT} bytes", mend)
    try:
        config: dict[str, Any] = msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError) as error:
        fault(folder, f"{name} is no JSON object ({error})", mend)
    return config


def read_weights(folder: Path, name: str = WEIGHTS) -> Tensors:
    """The header of a safetensors file that is whole and holds something."""
    try:
        tensors = read_tensors(folder / name)
    except ValueError as error:
        fault(folder, f"{name} is truncated or no safetensors ({error})", "copy or train it again")
    if not tensors.entries:
        fault(folder, f"{name} holds no tensor", "train it again")
    return tensors


def check_numbers(folder: Path, tensors: Tensors) -> None:
    """Every number of a file is finite."""
    for name, entry in tensors.entries.items():
        if entry.dtype not in DTYPES:
            fault(folder, f"{name} holds {entry.dtype}", f"save it as {', '.join(DTYPES)}")
        if not is_finite(tensors, name):
            fault(
                folder,
                f"{name} holds a number that is infinite or not a number",
                "train again with a lower learning rate",
            )
