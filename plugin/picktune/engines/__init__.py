"""Engines: where replies come from."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from msgspec import structs

from picktune.engines.base import Engine, Generation

if TYPE_CHECKING:
    from picktune.settings import Settings

__all__ = ["Engine", "Generation", "create_engine"]


def create_engine(settings: Settings) -> Engine:
    """The engine that the settings ask for, not yet started; nothing heavy is imported before that.

    Without ``settings.model`` the embedded engine serves the sample model, which is unpacked if need be.
    Raises ``MissingExtra`` if the embedded engine's packages are not installed.
    """
    if settings.engine == "vllm":
        from picktune.engines.vllm import VLLMEngine

        urls = settings.vllm.urls or (settings.vllm_url,)
        # An arm is given up after ``timeout``: a replica that is silent for so long has failed, and its
        # breaker must hear of that.
        whole = min(settings.vllm.whole, 0.95 * settings.timeout)
        return VLLMEngine(*urls, key=settings.vllm_key, limits=structs.replace(settings.vllm, whole=whole))

    from picktune.engines.local import LocalEngine
    from picktune.engines.smollm2 import model_folder
    from picktune.errors import MissingExtra

    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("transformers") is None:
        raise MissingExtra("the embedded engine", "local")
    return LocalEngine(settings.model or model_folder(), queue=settings.queue, batch=settings.batch)
