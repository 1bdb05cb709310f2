"""How a prompt adapter is told from a LoRA, by its folder; nothing here imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from picktune_adapters.kinds import PROMPTS


def kind_of(folder: Path) -> str | None:
    """Which kind of prompt adapter lies in a folder; ``None`` if it is something else."""
    try:
        config = msgspec.json.decode((folder / "adapter_config.json").read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    kind = config.get("peft_type")
    return kind if kind in PROMPTS else None
