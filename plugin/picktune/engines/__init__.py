"""Engines: where replies come from."""

from picktune.engines.base import Engine, Generation

__all__ = ["Engine", "Generation"]
