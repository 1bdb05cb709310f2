"""What the folder of a prompt adapter must be: virtual tokens of the base's own width, and finite numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct

from picktune_adapters.contents import (
    CONFIG,
    WEIGHTS,
    check_files,
    check_numbers,
    fault,
    read_config,
    read_weights,
)
from picktune_adapters.kinds import MODEL_CONFIG, PROMPTS

MAX_TOKENS = 1024
_TENSOR = "prompt_embeddings"
_OTHER_BASE = "serve the base model that it was trained on, or train it again on this one"


class PromptShape(Struct, frozen=True, kw_only=True):
    """A sound prompt adapter: how many virtual tokens of how many numbers each, and of which PEFT type."""

    tokens: int
    width: int
    type: str


def check_prompt(folder: Path, *, base: Path | None) -> PromptShape:
    """Read a prompt adapter in full; with ``base``, the base model's folder, its width must fit that model.

    Raises ``AdapterCorrupt``, saying what is wrong and how to mend it.
    """
    try:
        check_files(folder, (CONFIG, WEIGHTS), mend="write the adapter with save_pretrained")
        config = read_config(folder)
        kind = config.get("peft_type")
        if kind not in PROMPTS:
            fault(folder, f"its peft_type is {kind!r}", f"one of {', '.join(PROMPTS)} is a prompt adapter")
        tensors = read_weights(folder)
        entry = tensors.entries.get(_TENSOR)
        if len(tensors.entries) != 1 or entry is None or len(entry.shape) != 2:
            found = {name: one.shape for name, one in tensors.entries.items()}
            fault(folder, f"{WEIGHTS} holds {found}", f"save one tensor of two dimensions, {_TENSOR}")
        tokens, width = entry.shape
        if not 1 <= tokens <= MAX_TOKENS or not width:
            fault(folder, f"it has {tokens} virtual tokens of {width} numbers", f"train 1 to {MAX_TOKENS}")
        if config.get("num_virtual_tokens") not in (None, tokens):
            said = config["num_virtual_tokens"]
            fault(
                folder,
                f"it has {tokens} virtual tokens, and {CONFIG} says {said}",
                "put back the configuration that belongs to these weights",
            )
        if base is not None:
            wanted = _width(read_config(base, MODEL_CONFIG), prefix=kind == "PREFIX_TUNING")
            if wanted is not None and wanted != width:
                fault(
                    folder, f"its tokens have {width} numbers each, and the base {base} {wanted}", _OTHER_BASE
                )
        check_numbers(folder, tensors)
    except OSError as error:
        fault(folder, f"it cannot be read ({error})", "mend the folder's permissions, or write it again")
    return PromptShape(tokens=tokens, width=width, type=str(kind))


def _width(config: dict[str, Any], *, prefix: bool) -> int | None:
    """How many numbers a virtual token has; ``None`` if this configuration does not say it in those words."""
    text = config.get("text_config") or config
    try:
        hidden, layers, heads = (
            int(text[name]) for name in ("hidden_size", "num_hidden_layers", "num_attention_heads")
        )
        size = int(text.get("head_dim") or hidden // heads)
        shared = int(text.get("num_key_value_heads") or heads)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return 2 * layers * shared * size if prefix else hidden
