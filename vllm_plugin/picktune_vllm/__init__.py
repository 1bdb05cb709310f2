"""A plugin for vLLM's CPU backend: each token goes through its own adapter, and the base's through none."""

from picktune_vllm.patch import register

__all__ = ["register"]
