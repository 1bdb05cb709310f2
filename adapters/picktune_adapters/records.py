"""The records of adapters: a version, its lineage, and the aliases that name versions."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

AliasName = Literal["champion", "challenger"]
AdapterKind = Literal["lora", "prompt", "checkpoint", "remote"]
"""Matrices beside the base's weights, virtual tokens before its prompts, a model folder of its own, or the
address of a model that a platform serves."""


class AdapterVersion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One immutable version: what it is, what it hashes to, and the picks that it learned from.

    ``rank`` is that of a LoRA, the number of virtual tokens of a prompt adapter, and 0 of others.
    ``sha256`` covers the weights and the configuration, and a checkpoint's tokenizer: see ``kinds.digest``.
    ``metrics`` are the offline figures that it was judged by. ``simulated`` is true if any of its picks came
    from a simulated picker.
    """

    name: str
    base_model: str
    sha256: str
    kind: AdapterKind = "lora"
    method: str = "lora"
    rank: int
    run_id: str
    dataset_id: str
    picks: int
    picks_until: datetime | None = None
    parent: str | None = None
    simulated: bool = False
    metrics: dict[str, float] = {}
    created_at: datetime


class Aliases(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which adapter versions speak: the champion that people chose, and the challenger on trial."""

    champion: str | None = None
    challenger: str | None = None


class AliasChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One move of an alias: by whom and why.

    ``rollback`` says that the move went back to an earlier champion, so that the next one goes further back.
    """

    alias: AliasName
    before: str | None
    after: str | None
    by: str
    reason: str
    at: datetime
    rollback: bool = False


class RemovedAdapter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stays of a version whose files were removed: its name, never used again, and its lineage.

    ``version`` is ``None`` if its record could not be read any more.
    """

    name: str
    version: AdapterVersion | None
    by: str
    reason: str
    at: datetime
