"""What the base gives the replies of a row, kept from night to night.

    <home>/references.txt      a line for each row: its key, the values in fp32, and a checksum of both

A row's key covers its token ids, the base's files and all that can change the last bit of a value: the
layout, the type, the code that computes it, libraries and machine. So a value that is found is the one that
would be computed. A line that was cut off or damaged is passed over, and its row computed again. The file
holds no text, and may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import logging
import platform
import struct
from base64 import b64decode, b64encode
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from zlib import crc32

import torch
import transformers
from picktune_adapters import disk

from picktune_retrain import forward
from picktune_retrain.basemodel import base_model
from picktune_retrain.encoding import EncodedSet
from picktune_retrain.models import Model
from picktune_retrain.records import Recipe

logger = logging.getLogger(__name__)

LIMIT = 64 * 2**20
_KEY_BYTES = 16
_ROOM = "the night goes on without; free space, or delete the file"

Values = list[tuple[float, ...]]


class References:
    """The base's log-probabilities of rows, out of a file if they are there, otherwise computed and kept.

    Without a file all are computed. ``found`` and ``computed`` count rows. The first row that is found is
    computed as well: if that gives another value, nothing in the file is believed. ``limit`` is the most
    bytes that the file may have; what was used longest ago makes room.
    """

    def __init__(self, path: Path | None, model: Model, recipe: Recipe, *, limit: int = LIMIT) -> None:
        self.path = path
        self.model = model
        self.limit = limit
        self.found = 0
        self.computed = 0
        self._context = b"" if path is None else _context(model, recipe)
        self._known, self._damaged = _read(path) if path is not None and path.exists() else ({}, 0)
        self._believed = False
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
        try:
            if self.path is not None and self.path.exists():
                too_long = self.path.stat().st_size > self.limit
                if too_long or self._damaged:
                    # Half as long as it may be, so that this is rare.
                    self._write_anew(self.path, self.limit // 2 if too_long else self.limit)
        except OSError as problem:
            logger.warning("%s cannot be written anew: %s; %s", self.path, problem, _ROOM)

    def of_row(self, row: Sequence[EncodedSet]) -> Values:
        """log π_base(y_j|x) in nats of the replies of each set in a row, as ``forward`` computes them."""
        if self.path is None:
            self.computed += 1
            return forward.reference_log_probs(self.model, row)
        key = _key(self._context, row)
        known = _unpacked(self._known.get(key), row)
        if known is not None and self._believed:
            self.found += 1
            self._use(key)
            return known
        values = forward.reference_log_probs(self.model, row)
        self.computed += 1
        if known is not None and known != values:
            logger.warning(
                "%s has other values than this machine computes; all are computed again", self.path
            )
            self._known.clear()
        elif known is not None:
            self._believed = True
            self._use(key)
            return values
        self._keep(key, values)
        return values

    def _use(self, key: bytes) -> None:
        """Move a row to the end: what stands in front is dropped first."""
        self._known[key] = self._known.pop(key)

    def _keep(self, key: bytes, values: Values) -> None:
        packed = b"".join(struct.pack(f"<{len(one)}f", *one) for one in values)
        self._known[key] = packed
        if self.path is None:
            return
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("ab", buffering=0)
                self._file.write(b"\n")  # whoever was killed in the midst of a line has left it open
            self._file.write(_line(key, packed))
        except OSError as problem:
            logger.warning("%s cannot be written: %s; %s", self.path, problem, _ROOM)
            self._file, self.path = None, None

    def _write_anew(self, path: Path, limit: int) -> None:
        """Keep what was used last, as much as fits."""
        lines: list[bytes] = []
        for key, packed in reversed(self._known.items()):
            line = _line(key, packed)
            limit -= len(line)
            if limit < 0:
                break
            lines.append(line)
        disk.replace(path, reversed(lines))


def _context(model: Model, recipe: Recipe) -> bytes:
    """Whatever decides the last bit of a value beside the tokens of its row."""
    on_gpu = model.device.type == "cuda"
    parts = (
        base_model(model.name).sha256,
        str(model.dtype),
        recipe.quantised if recipe.method == "qlora" else None,
        model.packed,
        (model.written_out, model.kernel) if model.kernel not in ("blocks", "sdpa") else model.written_out,
        model.network.config._attn_implementation,
        torch.__version__,
        transformers.__version__,
        torch.get_num_threads(),
        torch.cuda.get_device_name() if on_gpu else torch.backends.cpu.get_cpu_capability(),
        platform.machine(),
        _code(),
    )
    return hashlib.sha256(repr(parts).encode()).digest()


@cache
def _code() -> str:
    """A hash of the modules that compute the values: who changes one of them gets new values."""
    digest = hashlib.sha256()
    for name in ("attention", "decoder", "flex", "forward", "fused", "packing"):
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return digest.hexdigest()


def _key(context: bytes, row: Sequence[EncodedSet]) -> bytes:
    tokens = repr([(one.prompt, one.replies) for one in row]).encode()
    return hashlib.sha256(context + tokens).digest()[:_KEY_BYTES]


def _unpacked(packed: bytes | None, row: Sequence[EncodedSet]) -> Values | None:
    """The values of each set; ``None`` if there are none, or not as many as the row has replies."""
    counts = [len(one.replies) for one in row]
    if packed is None or len(packed) != 4 * sum(counts):
        return None
    values = iter(struct.unpack(f"<{sum(counts)}f", packed))
    return [tuple(next(values) for _ in range(count)) for count in counts]


def _line(key: bytes, packed: bytes) -> bytes:
    return b"%s %s %08x\n" % (key.hex().encode(), b64encode(packed), crc32(key + packed))


def _read(path: Path) -> tuple[dict[bytes, bytes], int]:
    """The rows whose lines are whole, those that were written last at the end; how many lines are not."""
    known: dict[bytes, bytes] = {}
    damaged = 0
    try:
        with path.open("rb") as file:
            for line in file:
                if line == b"\n":
                    continue
                try:
                    name, values, check = line.split()
                    key, packed = bytes.fromhex(name.decode()), b64decode(values, validate=True)
                    whole = int(check, 16) == crc32(key + packed)
                except ValueError:
                    whole = False
                if whole:
                    known.pop(key, None)
                    known[key] = packed
                else:
                    damaged += 1
    except OSError as problem:
        logger.warning("%s cannot be read: %s; the values of the base are computed again", path, problem)
    if damaged:
        logger.warning("%s: %d lines are damaged; their rows are computed again", path, damaged)
    return known, damaged
