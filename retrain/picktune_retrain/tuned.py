"""A base and what was trained on it, side by side in plain rows: LoRA, virtual tokens, or a model of its own.

No packing, and a prompt adapter goes the way by which it is served: what this gives is what a server should.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs
from picktune_adapters.kinds import kind_of

from picktune_retrain import models
from picktune_retrain.models import Model
from picktune_retrain.records import Recipe

if TYPE_CHECKING:
    from picktune.engines.kv import Entry
    from torch import Tensor


class Tuned:
    """``base`` is the base model; ``own`` the trained one, unless an adapter on the base was trained."""

    def __init__(self, base: Model, *, own: Model | None = None, prompt: Path | None = None) -> None:
        self.base = base
        self._own = own
        self._prompt = prompt
        self._known: tuple[Any, Entry] | None = None

    @classmethod
    def load(cls, folder: Path, *, base_model: str | Path | None, recipe: Recipe) -> Tuned:
        """Load both; raises what ``models.load`` and ``models.load_adapter`` raise."""
        if recipe.method == "qlora":
            recipe = structs.replace(recipe, method="lora")  # it is the whole base that serves the adapter
        base = models.load(base_model, recipe)
        kind = kind_of(folder)
        if kind == "checkpoint":
            return cls(base, own=models.load(folder, recipe))
        if kind == "prompt":
            return cls(base, prompt=folder)
        models.load_adapter(base, folder)
        return cls(base)

    @contextlib.contextmanager
    def float32(self) -> Iterator[None]:
        """Compute in fp32 for a while."""
        with contextlib.ExitStack() as stack:
            for model in (self.base, self._own):
                if model is not None:
                    stack.enter_context(models.float32(model))
            yield

    def hidden(self, ids: Sequence[int], last: int) -> tuple[Tensor, Tensor]:
        """The last hidden states [last, d], trained and base."""
        tuned, base = (self._run(ids, tuned=one, whole=False)[-last:] for one in (True, False))
        return tuned, base

    def logits(self, ids: Sequence[int], last: int) -> tuple[Tensor, Tensor]:
        """The logits after the last tokens [last, vocabulary], trained and base."""
        tuned, base = (self._run(ids, tuned=one, whole=True)[-last:] for one in (True, False))
        return tuned, base

    def log_probs(self, hidden: Tensor, *, tuned: bool) -> Tensor:
        """log p of the whole vocabulary from hidden states, in fp32."""
        head = self._network(tuned=tuned).get_output_embeddings()
        return head(hidden).float().log_softmax(-1)  # type: ignore[no-any-return]

    def _network(self, *, tuned: bool) -> Any:
        network = (self._own if tuned and self._own is not None else self.base).network
        return network.get_base_model() if hasattr(network, "peft_config") else network

    def _run(self, ids: Sequence[int], *, tuned: bool, whole: bool) -> Tensor:
        import torch

        network = self._network(tuned=tuned)
        body = network if whole else network.base_model
        row = torch.tensor([list(ids)], device=network.device)
        if tuned and self._prompt is not None:
            return self._after_prompt(self._prompt, body, row)
        lora = self.base.network
        bare = not tuned and hasattr(lora, "peft_config")
        with lora.disable_adapter() if bare else contextlib.nullcontext():
            found: Tensor = body(input_ids=row, use_cache=False)[0][0]
        return found

    def _after_prompt(self, prompt: Path, body: Any, row: Tensor) -> Tensor:
        """A pass after the keys and values of the virtual tokens, as the local engine does it."""
        import torch
        from picktune.engines.kv import begin, new_cache
        from picktune.engines.virtual import read_prompt

        network = self.base.network
        word = "cache" if "cache" in inspect.signature(network.forward).parameters else "past_key_values"
        if self._known is None or self._known[0] != network.dtype:
            empty = {word: new_cache(network.config)}
            self._known = network.dtype, read_prompt(prompt, network, empty)
        entry = self._known[1]
        places = entry[0][0].shape[1]
        cache = new_cache(network.config)
        begin(cache, [(places, entry)])
        count = places + row.shape[1]
        found: Tensor = body(
            input_ids=row,
            position_ids=torch.arange(places, count, device=row.device)[None],
            attention_mask=torch.ones((1, count), dtype=torch.long, device=row.device),
            use_cache=True,
            **{word: cache},
        )[0][0]
        return found
