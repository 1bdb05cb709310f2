"""The base model of a night: where it lies, what adapters call it, and the hash that it is known by."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from picktune.engines import smollm2
from picktune.errors import EngineDown
from picktune.records import Record

_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
_TEXTS = ("config.json", "tokenizer*.json", "tokenizer.model", "chat_template*", "special_tokens_map.json")


class BaseModel(Record, frozen=True, kw_only=True):
    """``name`` is what adapters name as their base; ``sha256`` covers the weights, tokenizer and template."""

    name: str
    folder: str
    sha256: str


def base_model(model: str | None) -> BaseModel:
    """Find the model (a folder, or an id in Hugging Face's cache; ``None`` is the sample model) and hash it.

    Nothing is downloaded. Raises ``EngineDown`` if it is not on this machine.
    """
    name = model or str(smollm2.model_folder())
    if name.startswith("~"):
        name = str(Path(name).expanduser())
    folder = Path(name)
    if not folder.is_dir():
        folder = _cached(name)
    return BaseModel(name=name, folder=str(folder), sha256=_hash(folder))


def _cached(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, HfHubHTTPError, OSError) as error:
        raise EngineDown(
            f"the base model {name!r} is neither a folder nor in Hugging Face's cache on this machine; "
            f"fetch it with: hf download {name}   (or name another with --model)"
        ) from error


def _hash(folder: Path) -> str:
    files = sorted({file for pattern in (*_WEIGHTS, *_TEXTS) for file in folder.glob(pattern)})
    if not any(file.name.endswith(".safetensors") for file in files):
        raise EngineDown(f"the base model in {folder} has no *.safetensors; name another with --model")
    digest = hashlib.sha256()
    for file in files:
        stat = file.stat()
        content = _content(file, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        digest.update(f"{content}  {file.name}\n".encode())
    return digest.hexdigest()


@lru_cache(maxsize=1024)
def _content(file: Path, inode: int, size: int, changed: int) -> str:
    """The hash of a file as it is now: a night asks several times, and weights are large."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
