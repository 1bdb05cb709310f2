"""The modules of a base model, by name and shape, from the headers of its safetensors."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from picktune_adapters.errors import BaseUnreadable
from picktune_adapters.tensors import read_header

INDEX = "model.safetensors.index.json"
_WEIGHT = ".weight"


class _Index(Struct, frozen=True):
    weight_map: dict[str, str]


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that make up a model; raises ``OSError`` or ``ValueError`` if it is broken."""
    index = folder / INDEX
    if not index.is_file():
        return sorted(folder.glob("*.safetensors"))
    mapping = msgspec.json.decode(index.read_bytes(), type=_Index).weight_map
    # Only names of files in the folder itself: an index must not lead anywhere else.
    return [folder / Path(name).name for name in sorted(set(mapping.values()))]


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a model, from the headers; raises ``BaseUnreadable``."""
    try:
        return {
            name: entry.shape
            for file in weight_files(folder)
            for name, entry in read_header(file).entries.items()
        }
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise BaseUnreadable(folder, str(error)) from error


class BaseModules:
    """What an adapter may adapt: every weight of the base model with two dimensions."""

    def __init__(self, folder: Path, shapes: dict[str, tuple[int, ...]]) -> None:
        self.folder = folder
        self._shapes = shapes

    @classmethod
    def read(cls, folder: Path) -> BaseModules:
        """Read the headers, not the weights; raises ``BaseUnreadable`` if the folder holds no safetensors."""
        shapes: dict[str, tuple[int, ...]] = {
            name.removesuffix(_WEIGHT): shape
            for name, shape in tensor_shapes(folder).items()
            if name.endswith(_WEIGHT) and len(shape) == 2
        }
        if not shapes:
            raise BaseUnreadable(folder, "it holds no safetensors")
        return cls(folder, shapes)

    def shape(self, module: str) -> tuple[int, ...] | None:
        """The shape of a module's weight, (out, in) for a linear layer; ``None`` if there is no such module.

        Classes may nest a checkpoint's modules one level deeper or less deep than the file does, so a name
        is also found by its ending, from the layer's number on, if just one module ends like that. A head
        without a weight of its own is tied to the embeddings.
        """
        if module in self._shapes:
            return self._shapes[module]
        if module.rpartition(".")[2] == "lm_head":
            return self._ending("embed_tokens")
        parts = module.split(".")
        numbers = [at for at, part in enumerate(parts) if part.isdigit()]
        if not numbers or numbers[0] == 0:
            return None
        return self._ending(".".join(parts[numbers[0] - 1 :]))

    def _ending(self, tail: str) -> tuple[int, ...] | None:
        found = [shape for name, shape in self._shapes.items() if name == tail or name.endswith(f".{tail}")]
        return found[0] if len(found) == 1 else None
