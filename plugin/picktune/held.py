"""What is held on a person, as one JSON document that is written as it is read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from picktune.forget import look
from picktune.log.held import held
from picktune.log.privacy import Scope
from picktune.redaction.redaction import vault_path
from picktune.redaction.vault import Vault
from picktune.settings import Settings


def parts(settings: Settings, scope: Scope, ref: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kind and content of each thing: the log's rows, the vault's entries, the adapters that learned."""
    conversations: dict[str, None] = {}
    for kind, row in held(settings.log_path, scope, ref):
        if kind == "conversation":
            conversations[row["id"]] = None
        elif kind == "slate":
            conversations[row["turn"]["conversation_id"]] = None
        yield kind, row
    if vault_path(settings.folder).exists():
        vault = Vault(vault_path(settings.folder))
        try:
            for conversation in conversations:
                for placeholder, entry in vault.entries(conversation).items():
                    yield (
                        "placeholder",
                        {
                            "conversation_id": conversation,
                            "placeholder": placeholder,
                            "kind": entry.kind,
                            "value": entry.value,
                        },
                    )
        finally:
            vault.close()
    found = look(settings, scope, ref)
    for adapter in found.adapters:
        yield "adapter", {"name": adapter}
    for dataset in found.datasets:
        yield "dataset", {"id": dataset}


def document(settings: Settings, scope: Scope, ref: str, now: datetime) -> Iterator[bytes]:
    """The document in pieces: ``{"format": 1, "scope": …, "of": …, "made_at": …, "held": […]}``."""
    head = {"format": 1, "scope": scope, "of": ref, "made_at": now.isoformat()}
    yield msgspec.json.encode(head)[:-1] + b',"held":['
    between = b"\n"
    for kind, content in parts(settings, scope, ref):
        yield between + msgspec.json.encode({"kind": kind, **content})
        between = b",\n"
    yield b"\n]}\n"
