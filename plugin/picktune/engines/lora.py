"""LoRA adapters beside a base model: each row of a batch goes through its own adapter, or through none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from picktune_adapters import check_adapter
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import linear

from picktune.engines.kv import Entry
from picktune.errors import AdapterCorrupt

_PREFIX = "base_model.model."


class Lora:
    """A loaded adapter: for each adapted module, A of shape (rank, in) and scaled B of shape (out, rank).

    A prompt adapter has none, but a ``prefix``: keys and values of ``places`` tokens before every prompt.
    """

    def __init__(
        self, name: str, pairs: dict[str, tuple[Tensor, Tensor]], prefix: Entry | None = None
    ) -> None:
        self.name = name
        self.pairs = pairs
        self.prefix = prefix
        self.places = prefix[0][0].shape[1] if prefix else 0


class LoraRouter:
    """Adds to every linear layer's output what the rows' adapters have to add.

    PEFT's own mixed batch finds the rows of every adapter anew in each of a model's two hundred layers and
    gathers and scatters them; here the rows of one adapter lie side by side, and a slice is enough. The sums
    are the same (equation 3 of Hu et al. 2021).
    """

    def __init__(self, model: Any) -> None:
        self._sizes: dict[str, tuple[int, int]] = {}
        self._spans: list[tuple[int, int, dict[str, tuple[Tensor, Tensor]]]] = []
        self._rows = 0
        for name, module in model.named_modules():
            if isinstance(module, nn.Linear):
                self._sizes[name] = (module.in_features, module.out_features)
                module.register_forward_hook(self._hook(name))

    def route(self, adapters: Sequence[Lora | None]) -> None:
        """Say which adapter each row of the next forward passes goes through; ``None`` is the base."""
        self._rows = len(adapters)
        self._spans = []
        start = 0
        for end in range(1, len(adapters) + 1):
            if end == len(adapters) or adapters[end] is not adapters[start]:
                adapter = adapters[start]
                if adapter is not None:
                    self._spans.append((start, end, adapter.pairs))
                start = end

    def read(
        self, name: str, folder: Path, base: Path | None, device: torch.device, dtype: torch.dtype
    ) -> Lora:
        """Read an adapter from its folder; raises ``AdapterCorrupt`` if it does not fit the model."""
        check_adapter(folder, base=base)
        config = msgspec.json.decode((folder / "adapter_config.json").read_bytes())
        rank = config["r"]
        scale = config["lora_alpha"] / (math.sqrt(rank) if config.get("use_rslora") else rank)
        tensors = load_file(folder / "adapter_model.safetensors")
        pairs = {}
        for key in [key for key in tensors if key.endswith(".lora_A.weight")]:
            module = key.removeprefix(_PREFIX).removesuffix(".lora_A.weight")
            a, b = tensors[key], tensors[key.replace(".lora_A.", ".lora_B.")]
            if self._sizes.get(module) != (a.shape[1], b.shape[0]) or ".experts." in module:
                raise AdapterCorrupt(
                    f"adapter {name!r} adapts {module!r}, which is no linear layer of this model with those "
                    "sizes; train it on the base model that is served, on linear layers outside experts"
                )
            pairs[module] = (a.to(device, dtype), (b.float() * scale).to(device, dtype))
        return Lora(name, pairs)

    def _hook(self, name: str) -> Any:
        def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            if not self._spans:
                return output
            x = inputs[0]
            # Some models flatten rows and tokens into one dimension.
            each, rest = divmod(x.shape[0], self._rows)
            if rest:
                raise RuntimeError(f"{name} saw {x.shape[0]} rows, which do not divide into {self._rows}")
            for start, end, pairs in self._spans:
                pair = pairs.get(name)
                if pair is not None:
                    a, b = pair
                    span = slice(start * each, end * each)
                    output[span] += linear(linear(x[span], a), b)
            return output

        return add
