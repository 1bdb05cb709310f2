"""The embedded engine: transformers in this process, the base and its adapters mixed in one batch.

A checkpoint is a further model: its own weights, batch and thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from picktune_adapters.kinds import kind_of

from picktune.engines.base import Generation
from picktune.engines.beside import Beside, start_beside
from picktune.engines.remote import Remotes
from picktune.engines.rows import Row
from picktune.engines.sampler import row_seed
from picktune.errors import AdapterNotFound, EngineBusy, EngineDown, EngineError, MissingExtra
from picktune.records import Message, Sampling

if TYPE_CHECKING:
    from picktune.engines.decoder import Decoder
    from picktune.engines.lora import Lora

T = TypeVar("T")

# Seconds that an idle engine waits for the other requests of a slate, and for those still being tokenised.
_WINDOW = 0.005
_WINDOW_ENCODING = 0.05


@dataclass(eq=False, slots=True)
class _Request:
    rows: list[Row]
    answer: asyncio.Future[list[Generation]]
    since: float
    begun: int = 0
    replies: dict[int, Generation] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class _Scoring:
    tokens: Sequence[int]
    adapter: Lora | None
    answer: asyncio.Future[list[float]]


class LocalEngine:
    """Samples replies in this process; a thread of its own owns the model.

    Up to ``batch`` replies are decoded together, whatever their prompts, adapters and sampling; those that
    are done make room for the next between two steps. ``queue`` requests may wait. ``dtype`` is ``auto``
    (bfloat16 where the processor is fast with it, else float32), ``float32`` or ``bfloat16``.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        queue: int = 64,
        batch: int = 32,
        dtype: Literal["auto", "float32", "bfloat16"] = "auto",
    ) -> None:
        self._model = str(model)
        self._queue_limit = queue
        self._batch = batch
        self._dtype: str = dtype
        self._adapters: dict[str, Lora] = {}
        self._models: dict[str, Beside] = {}
        self._remotes = Remotes()
        self._scoring: deque[_Scoring] = deque()
        self._waiting: deque[_Request] = deque()
        self._encoding = 0
        self._running: list[_Request] = []
        self._unloaded: list[Lora] = []
        self._changed = threading.Condition()
        self._closed = False
        self._pace = 1.0
        self._decoder: Decoder | None = None
        self._worker: threading.Thread | None = None
        self._tokenizing = ThreadPoolExecutor(1, "picktune-tokenizer")
        self._lock = asyncio.Lock()

    @property
    def base_model(self) -> str:
        """The folder or the id that the engine was given."""
        return self._model

    @property
    def dtype(self) -> str:
        """The precision that was asked for."""
        return self._dtype

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return len(self._waiting) + self._encoding + sum(one.waiting for one in self._models.values())

    async def start(self) -> None:
        """Load the model; raises ``EngineDown`` if it cannot be, ``MissingExtra`` without torch."""
        async with self._lock:
            if self._closed:
                raise EngineDown("the embedded engine was closed; make a new one")
            if self._worker is None:
                self._decoder = await asyncio.to_thread(self._load_model)
                self._worker = threading.Thread(
                    target=self._work, args=(self._decoder,), name="picktune-engine", daemon=True
                )
                self._worker.start()

    async def generate(
        self, messages: Sequence[Message], *, model: str | None, n: int, sampling: Sampling, seed: int
    ) -> list[Generation]:
        """Sample ``n`` replies; see ``Engine.generate``."""
        decoder = self._started()
        if (remote := self._remotes.get(model)) is not None:
            return await remote.generate(messages, n=n, sampling=sampling, seed=seed)
        if model in self._models:
            async with self._models[model].use() as own:
                return await own.generate(messages, model=None, n=n, sampling=sampling, seed=seed)
        adapter = self._adapter(model)
        if n < 1:
            return []
        places = adapter.places if adapter is not None else 0
        since = time.perf_counter()
        loop = asyncio.get_running_loop()
        with self._changed:
            if len(self._waiting) + self._encoding >= self._queue_limit:
                raise EngineBusy(
                    f"{self._queue_limit} requests are waiting for the model already; "
                    f"try again in {self._retry_after():g} s, or raise the setting 'queue'",
                    retry_after=self._retry_after(),
                )
            self._encoding += 1
        request = None
        try:
            prompt, limit = await loop.run_in_executor(
                self._tokenizing, decoder.network.encode, messages, sampling.max_tokens + places
            )
            prompt, limit = (-1,) * places + prompt, limit - places
            rows = [
                Row(prompt=prompt, adapter=adapter, sampling=sampling, seed=row_seed(seed, i), limit=limit)
                for i in range(n)
            ]
            request = _Request(rows, loop.create_future(), since)
        finally:
            with self._changed:
                self._encoding -= 1
                if request is not None and not self._closed:
                    self._waiting.append(request)
                self._changed.notify()
        self._started()
        try:
            return await request.answer
        finally:
            # However the wait ended, nobody reads what is not there yet.
            with self._changed:
                for row in request.rows:
                    row.cancelled = row.cancelled or not row.done
                with contextlib.suppress(ValueError):
                    self._waiting.remove(request)

    async def log_probs(
        self, text: str | Sequence[int], *, model: str | None, at: Sequence[int] | None = None
    ) -> list[float]:
        """log p of the tokens in these places, or of all but the first, in nats; see ``canary.Scoring``."""
        decoder = self._started()
        if model in self._models:
            async with self._models[model].use() as own:
                return await own.log_probs(text, model=None, at=at)
        loop = asyncio.get_running_loop()
        tokens: Sequence[int] = (
            await loop.run_in_executor(self._tokenizing, decoder.network.tokens, text)
            if isinstance(text, str)
            else text
        )
        asked = _Scoring(tokens, self._adapter(model), loop.create_future())
        with self._changed:
            self._started()
            self._scoring.append(asked)
            self._changed.notify()
        found = await asked.answer
        return found if at is None else [found[place - 1] for place in at]

    async def load(self, name: str, folder: Path) -> None:
        """Load an adapter or a checkpoint beside what is running.

        Raises ``AdapterCorrupt`` if it cannot be served, ``EngineError`` without memory for a checkpoint.
        """
        decoder = self._started()
        async with self._lock:
            if name in self._adapters or name in self._models:
                return
            kind = await asyncio.to_thread(kind_of, folder)
            if kind == "remote":
                await self._remotes.load(name, folder)
            elif kind == "checkpoint":
                self._models[name] = await start_beside(name, folder, decoder.network, self._like_this)
            else:
                self._adapters[name] = await asyncio.to_thread(decoder.network.read_adapter, name, folder)

    async def unload(self, name: str) -> None:
        """Drop an adapter; requests that were made before complete with it."""
        if self._remotes.forget(name):
            return
        async with self._lock:
            adapter, own = self._adapters.pop(name, None), self._models.pop(name, None)
        if own is not None:
            await own.retire()
        if adapter is not None:
            with self._changed:
                self._unloaded.append(adapter)

    async def loaded(self) -> list[str]:
        """The names of the adapters and checkpoints, sorted."""
        return self._names()

    async def ready(self) -> bool:
        """Whether the model is loaded and its thread is alive."""
        return not self._closed and self._worker is not None and self._worker.is_alive()

    async def close(self) -> None:
        """Stop after the current step; whoever still waits gets ``EngineDown``."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        async with self._lock:
            if self._worker is not None:
                await asyncio.to_thread(self._worker.join)
            self._tokenizing.shutdown(wait=False)
            self._decoder = None
            self._adapters.clear()
            for own in self._models.values():
                await own.close()
            self._models.clear()
            await self._remotes.close()

    def _load_model(self) -> Decoder:
        # Where others want the cores too, OpenMP's waiting threads must sleep: spinning, they take the time
        # slices of those that they wait for. It is read once, when torch is loaded.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        try:
            from picktune.engines.decoder import Decoder
            from picktune.engines.network import Network
        except ImportError as error:
            raise MissingExtra("the embedded engine", "local") from error
        return Decoder(Network(self._model, dtype=self._dtype))

    def _like_this(self, folder: Path) -> LocalEngine:
        # In bfloat16 most of what whole weights learn is rounded away: they are served as they were trained.
        dtype: Any = "float32" if self._dtype == "auto" else self._dtype
        return LocalEngine(folder, queue=self._queue_limit, batch=self._batch, dtype=dtype)

    def _names(self) -> list[str]:
        return sorted([*self._adapters, *self._models, *self._remotes.names()])

    def _adapter(self, name: str | None) -> Lora | None:
        if name is None:
            return None
        found = self._adapters.get(name)
        if found is None:
            raise AdapterNotFound(name, self._names())
        return found

    def _started(self) -> Decoder:
        if self._decoder is None or self._closed:
            raise EngineDown("the embedded engine is not running; start it first")
        return self._decoder

    def _retry_after(self) -> float:
        # About when a quarter of the queue has gone.
        return round(min(max(self._pace * self._queue_limit / 4, 0.1), 60.0), 1)

    # From here on: the worker's thread.

    def _work(self, decoder: Decoder) -> None:
        try:
            while self._wait(decoder):
                self._score(decoder)
                try:
                    rows = self._admit(decoder)
                    if rows:
                        decoder.add(rows)
                    else:
                        decoder.step()
                except Exception as error:
                    # Out of memory, or a fault of a model that somebody brought: the next batch may do.
                    decoder.clear()
                    self._fail_running(EngineError(f"the model failed: {type(error).__name__}: {error}"))
                else:
                    self._answer(decoder)
        finally:
            with self._changed:
                self._closed = True
                self._running += self._waiting
                self._waiting.clear()
                unscored = list(self._scoring)
                self._scoring.clear()
            closed = EngineDown("the embedded engine was closed")
            self._fail_running(closed)
            for asked in unscored:
                _settle(asked.answer, closed)

    def _score(self, decoder: Decoder) -> None:
        """Answer who asks for likelihoods, between two steps."""
        while True:
            with self._changed:
                if not self._scoring:
                    return
                asked = self._scoring.popleft()
            answer: list[float] | EngineError
            try:
                answer = decoder.network.log_probs(asked.adapter, asked.tokens)
            except Exception as error:
                answer = EngineError(f"the model failed: {type(error).__name__}: {error}")
                answer = error if isinstance(error, EngineError) else answer
            _settle(asked.answer, answer)

    def _wait(self, decoder: Decoder) -> bool:
        """Wait until there is something to do; false when the engine is closed."""
        with self._changed:
            if decoder.rows:
                return not self._closed
            self._changed.wait_for(lambda: self._closed or self._waiting or self._scoring)
            if not self._closed and self._waiting:
                self._changed.wait_for(lambda: self._closed, _WINDOW)
                self._changed.wait_for(lambda: self._closed or not self._encoding, _WINDOW_ENCODING)
            return not self._closed

    def _admit(self, decoder: Decoder) -> list[Row]:
        """Take waiting rows, first come first served, as long as the batch has room for them."""
        taken: list[Row] = []
        with self._changed:
            while self._unloaded:
                decoder.forget(self._unloaded.pop())
            active = sum(not row.done for row in decoder.rows)
            while self._waiting:
                request = self._waiting[0]
                row = request.rows[request.begun]
                if active + len(taken) >= self._batch or not decoder.fits(row, taken):
                    break
                taken.append(row)
                if request.begun == 0:
                    self._running.append(request)
                request.begun += 1
                if request.begun == len(request.rows):
                    self._waiting.popleft()
        return taken

    def _answer(self, decoder: Decoder) -> None:
        """Give back what is done: a request, when its last reply is."""
        now = time.perf_counter()
        still = []
        for request in self._running:
            for i, row in enumerate(request.rows):
                if row.finish is not None and i not in request.replies:
                    request.replies[i] = Generation(
                        text=decoder.text(row),
                        tokens=len(row.tokens),
                        latency=now - request.since,
                        finish_reason=row.finish,
                        prompt_tokens=len(row.prompt) - (row.adapter.places if row.adapter else 0),
                    )
            error = next((row.error for row in request.rows if row.error is not None), None)
            if error is not None:
                _settle(request.answer, error)
            elif len(request.replies) == len(request.rows):
                self._pace = 0.9 * self._pace + 0.1 * (now - request.since) / max(len(self._running), 1)
                _settle(request.answer, [request.replies[i] for i in range(len(request.rows))])
            elif not any(row.cancelled for row in request.rows):
                still.append(request)
        self._running = still

    def _fail_running(self, error: EngineError) -> None:
        for request in self._running:
            _settle(request.answer, error)
        self._running = []


def _settle(answer: asyncio.Future[T], found: T | EngineError) -> None:
    """Give an answer, from the worker's thread, to whoever still waits for it."""

    def settle() -> None:
        if answer.done():
            return
        if isinstance(found, EngineError):
            answer.set_exception(found)
        else:
            answer.set_result(found)

    # The loop may be gone by now, and with it whoever waited.
    with contextlib.suppress(RuntimeError):
        answer.get_loop().call_soon_threadsafe(settle)
