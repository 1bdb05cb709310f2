"""Safetensors files, read without any tensor library: shapes from the header, numbers as bit patterns."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from safetensors import SafetensorError, safe_open

# Bits of the exponent: where all are set, the number is infinite or not a number. NumPy has no bfloat16,
# so every type is looked at as an unsigned integer of its width.
_EXPONENTS: dict[str, tuple[type[np.unsignedinteger], int]] = {
    "F64": (np.uint64, 0x7FF0_0000_0000_0000),
    "F32": (np.uint32, 0x7F80_0000),
    "F16": (np.uint16, 0x7C00),
    "BF16": (np.uint16, 0x7F80),
}
DTYPES = tuple(_EXPONENTS)
_HEADER_LIMIT = 100_000_000
_CHUNK = 1 << 20


class Tensor(Struct, frozen=True):
    """One tensor's entry in the header; ``data_offsets`` are bytes from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


class Tensors(Struct, frozen=True):
    """The tensors of one file by name, and where in the file their bytes begin."""

    path: Path
    start: int
    entries: dict[str, Tensor]


def read_tensors(path: Path) -> Tensors:
    """The header of a safetensors file, whose every offset lies within the file.

    Raises ``ValueError`` if the file is truncated or no safetensors, and ``OSError`` if it cannot be read.
    """
    tensors = read_header(path)
    try:
        # The library's own reading is the strict one: overlaps, holes, sizes that contradict the shapes.
        with safe_open(path, framework="numpy") as file:
            file.keys()
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    return tensors


def read_header(path: Path) -> Tensors:
    """Only the header, for files that are too large to look at whole; raises as ``read_tensors`` does."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= min(size - 8, _HEADER_LIMIT):
            raise ValueError(f"its {size} bytes hold no whole safetensors header")
        header = file.read(length)
    try:
        raw = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        raw.pop("__metadata__", None)
        entries = {name: msgspec.json.decode(entry, type=Tensor) for name, entry in raw.items()}
    except msgspec.MsgspecError as error:
        raise ValueError(f"its safetensors header is broken: {error}") from error
    return Tensors(path, 8 + length, entries)


def is_finite(tensors: Tensors, name: str) -> bool:
    """Whether all numbers of a tensor are finite; raises ``ValueError`` for a type outside ``DTYPES``."""
    entry = tensors.entries[name]
    if entry.dtype not in _EXPONENTS:
        raise ValueError(f"{name} holds {entry.dtype}; only {', '.join(DTYPES)} can be served")
    if not entry.size:
        return True
    kind, exponent = _EXPONENTS[entry.dtype]
    bits = np.memmap(
        tensors.path,
        dtype=np.dtype(kind).newbyteorder("<"),
        mode="r",
        offset=tensors.start + entry.data_offsets[0],
        shape=(entry.size,),
    )
    mask = kind(exponent)
    chunks = (bits[at : at + _CHUNK] for at in range(0, entry.size, _CHUNK))
    return not any(bool(((chunk & mask) == mask).any()) for chunk in chunks)
