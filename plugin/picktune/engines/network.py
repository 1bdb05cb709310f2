"""The model behind the embedded engine: its weights, its tokenizer, and one forward pass over a batch."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from picktune.engines.chat import fit_chat
from picktune.engines.kv import begin, is_elastic, new_cache
from picktune.engines.lora import Lora, LoraRouter
from picktune.engines.prompted import kind_of
from picktune.engines.virtual import read_prompt
from picktune.errors import AdapterCorrupt, EngineDown, EngineError
from picktune.records import Message


class Network:
    """A causal language model with its tokenizer and the adapters' way through it."""

    def __init__(self, model: str, *, dtype: str = "auto") -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.dtype = _dtype(dtype, self.device)
        # A folder must never send anybody to a hub; an id may, unless HF_HUB_OFFLINE says no.
        local = Path(model).is_dir()
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(model, local_files_only=local)
            self.model: Any = AutoModelForCausalLM.from_pretrained(
                model, dtype=self.dtype, local_files_only=local
            )
        except Exception as error:
            # Whatever is wrong with other people's files, in whichever library it surfaces.
            reason = " ".join(str(error).split())
            raise EngineDown(
                f"the model {model!r} cannot be loaded ({reason}); name a folder with a model and its "
                "tokenizer, or an id on Hugging Face that is in its cache"
            ) from error
        if self.tokenizer.chat_template is None:
            raise EngineDown(f"the model {model!r} has no chat template; choose one that was tuned for chat")
        self.model.requires_grad_(False).train(False).to(self.device)
        self.router = LoraRouter(self.model)
        self.context = _context(self.model.config)
        self.ends = _ends(self.model, self.tokenizer)
        self.folder = Path(model) if any(Path(model).glob("*.safetensors")) else None
        parameters = inspect.signature(self.model.forward).parameters
        self._positions = "position_ids" in parameters
        self._keep = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}
        self._cache = "cache" if "cache" in parameters else "past_key_values"  # until transformers 5.23
        self.elastic = self._positions and is_elastic(self.new_cache())
        self._whole_masks = False
        self._whole_masks = self.elastic and self._takes_whole_masks()

    def new_cache(self) -> Any:
        """An empty cache for this model."""
        return new_cache(self.model.config)

    def read_adapter(self, name: str, folder: Path) -> Lora:
        """Read an adapter; raises ``AdapterCorrupt`` if it is not sound or does not fit the model."""
        if kind_of(folder) is not None:
            if not self.elastic:
                raise AdapterCorrupt(
                    f"adapter {name!r} is a prompt adapter, and this model's cache cannot begin with one; "
                    "use a LoRA adapter"
                )
            self.router.route([])
            return Lora(name, {}, read_prompt(folder, self.model, {self._cache: self.new_cache()}))
        return self.router.read(name, folder, self.folder, self.device, self.dtype)

    def free_memory(self) -> int | None:
        """How many bytes further weights may take where these lie; ``None`` where nobody says."""
        if self.device.type == "cuda":
            return int(torch.cuda.mem_get_info(self.device)[0])
        try:
            lines = Path("/proc/meminfo").read_text("utf-8").splitlines()
        except OSError:
            return None
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), None)

    def tokens(self, text: str) -> list[int]:
        """A text as token ids, with what the tokenizer puts around every text."""
        ids: list[int] = self.tokenizer(text)["input_ids"]
        return ids

    def encode(self, messages: Sequence[Message], max_tokens: int) -> tuple[tuple[int, ...], int]:
        """The prompt, cut so that the reply has room beside it, and how many tokens the reply may have."""
        room = max(self.context - max_tokens, self.context // 2)
        ids, _ = fit_chat(self.tokenizer, messages, room)
        return tuple(ids), min(max_tokens, self.context - len(ids))

    def decode(self, tokens: Sequence[int]) -> str:
        """What the tokens say, without control tokens."""
        text: str = self.tokenizer.decode(
            list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    @torch.inference_mode()
    def forward(
        self,
        adapters: Sequence[Lora | None],
        tokens: Sequence[Sequence[int]],
        lengths: Sequence[int],
        cache: Any,
    ) -> Any:
        """The logits after each row's last token, as a numpy array (rows, vocabulary) of float32.

        ``tokens`` are equally many for every row and follow what the row has in the cache. Rows are aligned
        to the right end: of row i the last ``lengths[i]`` places count, and what stands before is masked.
        """
        ids = torch.tensor(tokens, device=self.device)
        width = cache.get_seq_length() + ids.shape[1]
        before = torch.tensor([[width - length] for length in lengths], device=self.device)
        columns = torch.arange(width, device=self.device)
        steps = columns[-ids.shape[1] :]
        seen = columns >= before
        mask: Tensor = seen.long()
        if self._whole_masks:
            mask = seen[:, None, None, :] & (columns <= steps[:, None])
        extra: dict[str, Any] = {**self._keep, self._cache: cache}
        if self._positions:
            extra["position_ids"] = (steps - before).clamp(min=0)
        self.router.route(adapters)
        output = self.model(input_ids=ids, attention_mask=mask, use_cache=True, **extra)
        return output.logits[:, -1].float().cpu().numpy()

    @torch.inference_mode()
    def log_probs(self, adapter: Lora | None, tokens: Sequence[int]) -> list[float]:
        """log p of every token but the first, in nats, under the base or an adapter."""
        places = adapter.places if adapter is not None else 0
        count = places + len(tokens)
        if count > self.context:
            raise EngineError(f"{len(tokens)} tokens are more than the {self.context} of the model's context")
        cache = self.new_cache()
        if adapter is not None and places:
            begin(cache, [(places, adapter.prefix)])
        ids = torch.tensor([list(tokens)], device=self.device)
        extra: dict[str, Any] = {self._cache: cache}
        if self._positions:
            extra["position_ids"] = torch.arange(places, count, device=self.device)[None]
        mask = torch.ones((1, count), dtype=torch.long, device=self.device)
        self.router.route([adapter])
        logits = self.model(input_ids=ids, attention_mask=mask, use_cache=True, **extra).logits[0, :-1]
        found: list[float] = logits.float().log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0].tolist()
        return found

    def _takes_whole_masks(self) -> bool:
        """Whether the model gives the same logits for a mask of (rows, 1, tokens, places) as for a plain one.

        With a plain mask that hides nothing, transformers leaves the mask out, and torch then computes
        grouped-query attention on a processor six times slower than with one.
        """
        if getattr(self.model.config, "_attn_implementation", None) != "sdpa":
            return False
        size = int(self.model.config.get_text_config().vocab_size)
        rows = [[i * 7919 % size for i in range(start, start + 12)] for start in (1, 40)]
        found = []
        for whole in (False, True):
            self._whole_masks = whole
            try:
                found.append(self.forward([None, None], rows, [7, 12], self.new_cache()))
            except (RuntimeError, ValueError, TypeError):
                return False
        plain, masked = found
        return bool(abs(plain - masked).mean() < 0.05 * plain.std())


def _context(config: Any) -> int:
    text = config.get_text_config()
    return int(getattr(text, "max_position_embeddings", None) or getattr(text, "n_positions", None) or 2048)


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    configured = model.generation_config.eos_token_id
    ends = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in (*ends, tokenizer.eos_token_id) if token is not None)


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" or _has_fast_bfloat16() else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def _has_fast_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware; elsewhere it is slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text("utf-8", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
