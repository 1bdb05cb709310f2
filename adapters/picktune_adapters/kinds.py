"""The kinds of versions, told apart by their folders: which files make one up, and what they hash to."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from picktune_adapters import disk
from picktune_adapters.check_remote import REMOTE
from picktune_adapters.contents import CONFIG, WEIGHTS
from picktune_adapters.records import AdapterKind

PROMPTS = ("PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING")
MODEL_CONFIG = "config.json"

# What a model folder is made of. Anything else, readmes and training states, is not taken along.
_MODEL_FILES = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer*.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template*.jinja",
    "chat_template*.json",
)


def kind_of(folder: Path) -> AdapterKind:
    """What a folder holds, by its names and its configuration; whether that is sound is another question."""
    if (folder / MODEL_CONFIG).is_file() and not (folder / CONFIG).exists():
        return "checkpoint"
    if (folder / REMOTE).is_file() and not (folder / CONFIG).exists():
        return "remote"
    try:
        config = msgspec.json.decode((folder / CONFIG).read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return "lora"
    return "prompt" if config.get("peft_type") in PROMPTS else "lora"


def telling_file(kind: AdapterKind) -> str:
    """The name of the file without which no version of the kind is there."""
    return {"checkpoint": MODEL_CONFIG, "remote": REMOTE}.get(kind, WEIGHTS)


def files_of(folder: Path, kind: AdapterKind) -> list[str]:
    """The names of the files that a version consists of, in the order in which they are hashed."""
    if kind == "remote":
        return [REMOTE]
    if kind != "checkpoint":
        return [CONFIG, WEIGHTS]
    found = {path.name for pattern in _MODEL_FILES for path in folder.glob(pattern)}
    return sorted(name for name in found if name[0] != ".")


def digest(folder: Path, kind: AdapterKind) -> str:
    """SHA-256 of a version, which can be checked without Picktune.

    An adapter's is ``cat adapter_config.json adapter_model.safetensors | sha256sum``; a model folder's is
    that of what ``sha256sum FILE…`` prints for its files in the order of their names.
    """
    names = files_of(folder, kind)
    if kind != "checkpoint":
        return disk.sha256(*(folder / name for name in names))
    lines = "".join(f"{disk.sha256(folder / name)}  {name}\n" for name in names)
    return hashlib.sha256(lines.encode()).hexdigest()
