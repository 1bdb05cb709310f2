"""The check that fits a version's kind."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from picktune_adapters.check import MAX_RANK, check_adapter
from picktune_adapters.check_checkpoint import check_checkpoint
from picktune_adapters.check_prompt import check_prompt
from picktune_adapters.check_remote import check_remote
from picktune_adapters.kinds import kind_of
from picktune_adapters.records import AdapterKind


class Sound(Struct, frozen=True, kw_only=True):
    """What was found sound: its kind, and its size as ``AdapterVersion.rank`` has it."""

    kind: AdapterKind
    rank: int


def check_version(folder: Path, *, base: Path | None, max_rank: int = MAX_RANK) -> Sound:
    """Read a folder in full, whatever it holds, and say what that is.

    See ``check_adapter``, ``check_prompt``, ``check_checkpoint`` and ``check_remote``; ``max_rank`` is for
    LoRA. Raises ``AdapterCorrupt``.
    """
    kind = kind_of(folder)
    if kind == "lora":
        return Sound(kind=kind, rank=check_adapter(folder, base=base, max_rank=max_rank).rank)
    if kind == "prompt":
        return Sound(kind=kind, rank=check_prompt(folder, base=base).tokens)
    if kind == "remote":
        check_remote(folder)
        return Sound(kind=kind, rank=0)
    check_checkpoint(folder, base=base)
    return Sound(kind=kind, rank=0)
