"""The decoding loop: one model, and a batch of rows that come and go between its steps."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

from picktune.engines.chat import fit_chat
from picktune.engines.kv import gather, is_elastic, new_cache
from picktune.engines.lora import Lora, LoraRouter
from picktune.engines.sampler import next_token
from picktune.errors import EngineDown, EngineError
from picktune.records import Message, Sampling

# In tokens, padding included: what one prefill may compute, and what the cache of a batch may hold.
PREFILL_TOKENS = 16_384
CACHE_TOKENS = 65_536


@dataclass(eq=False, slots=True, kw_only=True)
class Row:
    """One reply in the making. ``limit`` is in tokens; ``finish`` is set when it is done."""

    prompt: tuple[int, ...]
    adapter: Lora | None
    sampling: Sampling
    seed: int
    limit: int
    tokens: list[int] = field(default_factory=list)
    finish: str | None = None
    error: EngineError | None = None
    cancelled: bool = False

    @property
    def done(self) -> bool:
        return self.cancelled or self.error is not None or self.finish is not None

    @property
    def cached(self) -> int:
        """How many of its tokens have their keys and values in the cache: all but the newest."""
        return len(self.prompt) + max(len(self.tokens) - 1, 0)


class Decoder:
    """A causal language model with its tokenizer and the rows that it is working on.

    Rows are right-aligned: row i occupies the last ``cached`` places of the cache and is masked before them.
    Only one thread may call ``add`` and ``step``; ``encode`` may run beside them in another.
    """

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
        self.rows: list[Row] = []
        self._cache: DynamicCache | None = None
        self._folder = Path(model) if any(Path(model).glob("*.safetensors")) else None
        self._ends = _ends(self.model, self.tokenizer)
        parameters = inspect.signature(self.model.forward).parameters
        self._positions = "position_ids" in parameters
        self._keep = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}

    def read_adapter(self, name: str, folder: Path) -> Lora:
        """Read an adapter; raises ``AdapterCorrupt`` if it is not sound or does not fit the model."""
        return self.router.read(name, folder, self._folder, self.device, self.dtype)

    def encode(self, messages: Sequence[Message], max_tokens: int) -> tuple[tuple[int, ...], int]:
        """The prompt, cut so that the reply has room beside it, and how many tokens the reply may have."""
        room = max(self.context - max_tokens, self.context // 2)
        ids, _ = fit_chat(self.tokenizer, messages, room)
        return tuple(ids), min(max_tokens, self.context - len(ids))

    def text(self, row: Row) -> str:
        """What the row says, without its end token and its stop string."""
        ended = row.tokens and row.tokens[-1] in self._ends
        text: str = self.tokenizer.decode(
            row.tokens[:-1] if ended else row.tokens,
            skip_special_tokens=True,
            clean_up_tokenization_spaces=False,
        )
        cuts = [at for at in map(text.find, row.sampling.stop) if at >= 0]
        if cuts:
            return text[: min(cuts)]
        # A reply that ran into its limit may end within a character.
        return text.rstrip("\ufffd") if row.finish == "length" else text

    def fits(self, row: Row, beside: Sequence[Row]) -> bool:
        """Whether the row can join now, after the others ``beside`` it that are to be added with it."""
        if not self.rows and not beside:
            return True
        if self.rows and (self._cache is None or not is_elastic(self._cache)):
            return False
        prompts = {(id(one.adapter), one.prompt) for one in (*beside, row)}
        longest = max(len(one.prompt) for one in (*beside, row))
        every = [one for one in (*self.rows, *beside, row) if not one.done]
        return (
            len(prompts) * longest <= PREFILL_TOKENS
            and len(every) * max(one.cached for one in every) <= CACHE_TOKENS
        )

    @torch.inference_mode()
    def add(self, rows: Sequence[Row]) -> None:
        """Compute each distinct prompt once per adapter, draw the rows' first tokens, and let them join."""
        prompts = list(
            {(id(row.adapter), row.prompt): row for row in sorted(rows, key=_side_by_side)}.values()
        )
        place = {(id(row.adapter), row.prompt): i for i, row in enumerate(prompts)}
        lengths = [len(row.prompt) for row in prompts]
        width = max(lengths)
        padded = [[0] * (width - len(row.prompt)) + list(row.prompt) for row in prompts]
        cache: Any = new_cache(self.model.config)
        logits = self._forward(prompts, torch.tensor(padded, device=self.device), lengths, cache)
        for row in rows:
            self._extend(row, logits[place[id(row.adapter), row.prompt]])

        old, new = [row for row in self.rows if not row.done], [row for row in rows if not row.done]
        if self.rows or is_elastic(cache):
            at = {id(row): i for i, row in enumerate(self.rows)}
            self._gather(
                [
                    (self._cache, old, [at[id(row)] for row in old]),
                    (cache, new, [place[id(row.adapter), row.prompt] for row in new]),
                ]
            )
        else:
            self.rows = sorted(rows, key=_side_by_side)
            cache.reorder_cache(
                torch.tensor([place[id(row.adapter), row.prompt] for row in self.rows], device=self.device)
            )
            self._cache = cache
            self._rest()

    @torch.inference_mode()
    def step(self) -> None:
        """Draw the next token of every row that is not done."""
        if not self.rows or self._cache is None:
            return
        newest = torch.tensor([[row.tokens[-1]] for row in self.rows], device=self.device)
        logits = self._forward(self.rows, newest, [row.cached + 1 for row in self.rows], self._cache)
        for row, scores in zip(self.rows, logits, strict=True):
            if not row.done:
                self._extend(row, scores)
        live = [i for i, row in enumerate(self.rows) if not row.done]
        if not live:
            self.clear()
        # Copying the cache costs as much as a step or two, so a few rows that are done may idle along.
        elif 4 * len(live) <= 3 * len(self.rows) and is_elastic(self._cache):
            self._gather([(self._cache, [self.rows[i] for i in live], live)])

    def clear(self) -> None:
        """Forget all rows."""
        self.rows = []
        self._cache = None

    def _rest(self) -> None:
        if all(row.done for row in self.rows):
            self.clear()

    def _gather(self, sources: list[tuple[DynamicCache | None, list[Row], list[int]]]) -> None:
        self.rows = sorted((row for _, rows, _ in sources for row in rows), key=_side_by_side)
        if not self.rows:
            self.clear()
            return
        place = {id(row): i for i, row in enumerate(self.rows)}
        self._cache = gather(
            [
                (cache, self._indices(take), self._indices([place[id(row)] for row in rows]))
                for cache, rows, take in sources
                if rows and cache is not None
            ],
            len(self.rows),
            max(row.cached for row in self.rows),
        )

    def _indices(self, numbers: list[int]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.long, device=self.device)

    def _forward(
        self, rows: Sequence[Row], tokens: Tensor, lengths: Sequence[int], cache: DynamicCache
    ) -> Any:
        """The logits after the last token, as a numpy array (rows, vocabulary) of float32."""
        width = cache.get_seq_length() + tokens.shape[1]
        before = torch.tensor([[width - length] for length in lengths], device=self.device)
        columns = torch.arange(width, device=self.device)
        extra: dict[str, Any] = dict(self._keep)
        if self._positions:
            extra["position_ids"] = (columns[-tokens.shape[1] :] - before).clamp(min=0)
        self.router.route([row.adapter for row in rows])
        output = self.model(
            input_ids=tokens,
            attention_mask=(columns >= before).long(),
            past_key_values=cache,
            use_cache=True,
            **extra,
        )
        return output.logits[:, -1].float().cpu().numpy()

    def _extend(self, row: Row, logits: Any) -> None:
        try:
            token = next_token(logits, row.sampling, row.seed, len(row.tokens))
        except FloatingPointError as error:
            who = f"adapter {row.adapter.name!r}" if row.adapter else "the base model"
            row.error = EngineError(f"{who} cannot answer ({error}); take it out of service")
            return
        row.tokens.append(token)
        if token in self._ends or self._said_stop(row):
            row.finish = "stop"
        elif len(row.tokens) >= row.limit:
            row.finish = "length"

    def _said_stop(self, row: Row) -> bool:
        stop = row.sampling.stop
        if not stop:
            return False
        # A token holds at least one byte, and a character four at most.
        tail = self.tokenizer.decode(row.tokens[-4 * max(map(len, stop)) - 4 :], skip_special_tokens=True)
        return any(word in tail for word in stop)


def _side_by_side(row: Row) -> tuple[str, int]:
    """A sorting key that puts the rows of one adapter together, the base's first."""
    return (row.adapter.name, id(row.adapter)) if row.adapter else ("", 0)


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
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]


def _has_fast_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware; elsewhere it is slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text("utf-8", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
