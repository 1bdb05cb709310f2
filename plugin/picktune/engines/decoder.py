"""The decoding loop: a batch of rows that come and go between its steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from picktune.engines.kv import Entry, begin, gather
from picktune.engines.lora import Lora
from picktune.engines.network import Network
from picktune.engines.prefixes import SHORTEST, PrefixStore, shared
from picktune.engines.rows import Row, side_by_side
from picktune.engines.sampler import next_token
from picktune.errors import EngineError

# In tokens, padding included: what one prefill may compute, and what the cache of a batch may hold.
PREFILL_TOKENS = 16_384
CACHE_TOKENS = 65_536


class Decoder:
    """The rows that a network is working on, with their keys and values.

    Rows are right-aligned: row i occupies the last ``cached`` places of the cache and is masked before them.
    One thread owns it.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.rows: list[Row] = []
        self._cache: Any = None
        self._prefixes = PrefixStore()

    def fits(self, row: Row, beside: Sequence[Row]) -> bool:
        """Whether the row can join now, after the others ``beside`` it that are to be added with it."""
        if not self.rows and not beside:
            return True
        if self.rows and not self.network.elastic:
            return False
        questions = {one.question for one in (*beside, row)}
        longest = max(len(one.prompt) for one in (*beside, row))
        every = [one for one in (*self.rows, *beside, row) if not one.done]
        return (
            len(questions) * longest <= PREFILL_TOKENS
            and len(every) * max((one.cached for one in every), default=0) <= CACHE_TOKENS
        )

    @torch.inference_mode()
    def add(self, rows: Sequence[Row]) -> None:
        """Compute each distinct prompt once per adapter, draw the rows' first tokens, and let them join."""
        questions = list({row.question: row for row in sorted(rows, key=side_by_side)}.values())
        parts = self._prefill(questions)
        for row in rows:
            self._extend(row, next(logits[at[row.question]] for _, at, logits in parts if row.question in at))
        if self.network.elastic:
            old = [(i, row) for i, row in enumerate(self.rows) if not row.done]
            sources = [(self._cache, [row for _, row in old], [i for i, _ in old])]
            for cache, at, _ in parts:
                new = [row for row in rows if row.question in at and not row.done]
                sources.append((cache, new, [at[row.question] for row in new]))
            self._gather(sources)
        else:
            ((cache, at, _),) = parts
            self.rows = sorted(rows, key=side_by_side)
            cache.reorder_cache(self._indices([at[row.question] for row in self.rows]))
            self._cache = cache
            if all(row.done for row in self.rows):
                self.clear()

    @torch.inference_mode()
    def step(self) -> None:
        """Draw the next token of every row that is not done."""
        if not self.rows:
            return
        logits = self.network.forward(
            [row.adapter for row in self.rows],
            [[row.tokens[-1]] for row in self.rows],
            [row.cached + 1 for row in self.rows],
            self._cache,
        )
        for row, scores in zip(self.rows, logits, strict=True):
            if not row.done:
                self._extend(row, scores)
        live = [i for i, row in enumerate(self.rows) if not row.done]
        if not live:
            self.clear()
        # Copying the cache costs as much as a step or two, so a few rows that are done may idle along.
        elif 4 * len(live) <= 3 * len(self.rows) and self.network.elastic:
            self._gather([(self._cache, [self.rows[i] for i in live], live)])

    def clear(self) -> None:
        """Forget all rows."""
        self.rows = []
        self._cache = None

    def forget(self, adapter: Lora) -> None:
        """Forget what an adapter computed, once it is unloaded."""
        self._prefixes.forget(adapter)

    def text(self, row: Row) -> str:
        """What the row says, without its end token and its stop string."""
        ended = row.tokens and row.tokens[-1] in self.network.ends
        text = self.network.decode(row.tokens[:-1] if ended else row.tokens)
        cuts = [at for at in map(text.find, row.sampling.stop) if at >= 0]
        if cuts:
            return text[: min(cuts)]
        # A reply that ran into its limit may end within a character.
        return text.rstrip("\ufffd") if row.finish == "length" else text

    def _prefill(self, questions: list[Row]) -> list[tuple[Any, dict[Any, int], Any]]:
        """The questions' caches, in parts: (cache, which row of it each question is, logits)."""
        if not self.network.elastic:
            return [self._compute([(row, 0, None) for row in questions])]
        parts = []
        while questions:
            now: list[tuple[Row, int, Entry | None]] = []
            later: list[Row] = []
            for row in questions:
                known, entry = self._prefixes.longest(row.adapter, row.prompt)
                if row.adapter is not None and known < row.adapter.places:
                    known, entry = row.adapter.places, row.adapter.prefix
                # What begins like another waits for that one, and takes over what they share.
                same = (one.prompt for one, _, _ in now if one.adapter is row.adapter)
                if max((shared(prompt, row.prompt) for prompt in same), default=0) >= known + 2 * SHORTEST:
                    later.append(row)
                else:
                    now.append((row, known, entry))
            # Rows that have about equally much left to compute go together, for all compute as much.
            # What stands for virtual tokens can never be computed, so that theirs must be equally much.
            lefts = [
                (row.adapter is not None and row.adapter.places > 0, len(row.prompt) - n) for row, n, _ in now
            ]
            sizes = [(exact, left if exact else left.bit_length()) for exact, left in lefts]
            for size in set(sizes):
                parts.append(self._compute([now[i] for i, other in enumerate(sizes) if other == size]))
            questions = later
        return parts

    def _compute(self, questions: list[tuple[Row, int, Entry | None]]) -> tuple[Any, dict[Any, int], Any]:
        rows = [row for row, _, _ in questions]
        new = max(len(row.prompt) - known for row, known, _ in questions)
        taken = [max(len(row.prompt) - new, 0) for row in rows]
        cache = self.network.new_cache()
        if any(taken):
            begin(cache, [(count, entry) for count, (_, _, entry) in zip(taken, questions, strict=True)])
        logits = self.network.forward(
            [row.adapter for row in rows],
            [[0] * (new - len(row.prompt)) + list(row.prompt[-new:]) for row in rows],
            [len(row.prompt) for row in rows],
            cache,
        )
        if self.network.elastic:
            for i, row in enumerate(rows):
                self._prefixes.keep(row.adapter, row.prompt, cache.layers, i)
        return cache, {row.question: i for i, row in enumerate(rows)}, logits

    def _gather(self, sources: list[tuple[Any, list[Row], list[int]]]) -> None:
        self.rows = sorted((row for _, rows, _ in sources for row in rows), key=side_by_side)
        if not self.rows:
            self.clear()
            return
        place = {id(row): i for i, row in enumerate(self.rows)}
        self._cache = gather(
            [
                (cache, self._indices(take), self._indices([place[id(row)] for row in rows]))
                for cache, rows, take in sources
                if rows
            ],
            len(self.rows),
            max(row.cached for row in self.rows),
        )

    def _indices(self, numbers: list[int]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.long, device=self.network.device)

    def _extend(self, row: Row, logits: Any) -> None:
        try:
            token = next_token(logits, row.sampling, row.seed, len(row.tokens))
        except FloatingPointError as error:
            who = f"adapter {row.adapter.name!r}" if row.adapter else "the base model"
            row.error = EngineError(f"{who} cannot answer ({error}); take it out of service")
            return
        row.tokens.append(token)
        if token in self.network.ends or self._said_stop(row):
            row.finish = "stop"
        elif len(row.tokens) >= row.limit:
            row.finish = "length"

    def _said_stop(self, row: Row) -> bool:
        stop = row.sampling.stop
        if not stop:
            return False
        # A token holds at least one byte, and a character four at most.
        tail = self.network.decode(row.tokens[-4 * max(map(len, stop)) - 4 :])
        return any(word in tail for word in stop)
