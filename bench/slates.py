"""What a 2 + 2 slate costs on a real vLLM: through Picktune, sent directly, otherwise, and on a plain server.

    python bench/slates.py                      # about four minutes on two idle cores
    python bench/slates.py --repetitions 9 --all

Starts its own servers, one after the other, with SmolLM2-135M-Instruct and a random adapter of rank 8; every
reply has all of its tokens. On the first, with our plugin and flags, each repetition times once, in turn: a
slate drawn by the service (policy, log and all), the same two requests of n = 2 sent directly, and other
forms of asking for the same four replies. On the last, without them, the two requests alone. ``--all`` puts
a server between the two, with our flags and without the plugin. Prompts differ from their beginning on, so
that no cache helps anybody. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
from arm_integrity import make_adapter
from picktune.engines.base import Generation
from picktune.engines.smollm2 import model_folder
from picktune.engines.spawn import SpawnedVLLM, VLLMCommand, default_python, vllm_command
from picktune.engines.vllm import VLLMEngine
from picktune.records import Message, Sampling
from picktune.service import create_service
from picktune.settings import Settings
from picktune_adapters.registry import Registry
from rich.console import Console
from rich.progress import Progress

ADAPTER = "slates"
SAMPLING = Sampling(temperature=0.8, top_p=0.95, max_tokens=48)
_POLICY = (
    "You answer customers of a shop that sells lamps and shoes. Orders leave within two days and take three "
    "to five days in the country, ten abroad. Returns are free within thirty days if nothing was worn; "
    "refunds go back the way they came and take five days. Damaged goods are replaced after a picture was "
    "sent. Never ask for passwords or card numbers. Be brief and kind, say what happens next, and do not "
    "promise what you do not know. If somebody is angry, say sorry first. Discounts cannot be combined. "
)
_numbers = itertools.count(1)


def conversation() -> list[Message]:
    """About 350 tokens, that nobody sent before."""
    number = next(_numbers) * 7919
    said = f"My order {number} has not arrived and the tracking page has not changed for a week. What now?"
    return [
        Message(role="system", content=f"Case {number}. {_POLICY}{_POLICY}"),
        Message(role="user", content=said),
    ]


class Whole:
    """An engine whose replies go on until they have all of their tokens, so that all do the same work."""

    def __init__(self, engine: VLLMEngine) -> None:
        self._engine = engine

    async def generate(
        self, messages: Sequence[Message], *, model: str | None, n: int, sampling: Sampling, seed: int
    ) -> list[Generation]:
        return await self._engine.generate(
            messages, model=model, n=n, sampling=sampling, seed=seed, options={"ignore_eos": True}
        )


class Direct:
    """The server itself, asked by a client that knows nothing of Picktune."""

    def __init__(self, client: httpx.AsyncClient, base: str) -> None:
        self._client = client
        self._base = base

    async def ask(self, messages: Sequence[Message], model: str | None, n: int) -> None:
        body = {
            "model": model or self._base,
            "messages": [{"role": one.role, "content": one.content} for one in messages],
            "n": n,
            "temperature": SAMPLING.temperature,
            "top_p": SAMPLING.top_p,
            "max_tokens": SAMPLING.max_tokens,
            "seed": next(_numbers),
            "ignore_eos": True,
        }
        answer = (await self._client.post("/v1/chat/completions", json=body)).raise_for_status().json()
        tokens = answer["usage"]["completion_tokens"]
        if tokens != n * SAMPLING.max_tokens:
            raise RuntimeError(f"{tokens} tokens came back, not {n * SAMPLING.max_tokens}")

    async def two_of_two(self) -> None:
        said = conversation()
        await asyncio.gather(self.ask(said, None, 2), self.ask(said, ADAPTER, 2))

    async def two_of_two_in_turn(self) -> None:
        said = conversation()
        await self.ask(said, None, 2)
        await self.ask(said, ADAPTER, 2)

    async def four_of_one(self) -> None:
        said = conversation()
        await asyncio.gather(*(self.ask(said, model, 1) for model in (None, None, ADAPTER, ADAPTER)))

    async def four_of_one_in_turn(self) -> None:
        said = conversation()
        for model in (None, None, ADAPTER, ADAPTER):
            await self.ask(said, model, 1)


async def timed(forms: Mapping[str, Callable[[], Awaitable[object]]], repetitions: int) -> dict[str, float]:
    """The median seconds of each form; in each repetition all have a turn, each time another first."""
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    names = list(forms)
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("asking", total=len(names) * (repetitions + 1))
        for number in range(-1, repetitions):  # the first time something is compiled or allocated
            for name in names[number % len(names) :] + names[: number % len(names)]:
                begin = time.perf_counter()
                await forms[name]()
                if number >= 0:
                    seconds[name].append(time.perf_counter() - begin)
                progress.advance(task)
    return {name: statistics.median(values) for name, values in seconds.items()}


@asynccontextmanager
async def server(
    folder: Path, *, plugin: bool, flags: bool, python: str | None
) -> AsyncIterator[SpawnedVLLM]:
    """A vLLM as Picktune starts it, or without the plugin, or also without the flags that make it faster."""

    def make(port: int, key: str) -> VLLMCommand:
        made = vllm_command(
            python or default_python(),
            str(model_folder()),
            port=port,
            key=key,
            max_rank=16,
            max_loras=32 if flags else 8,
            options=("--max-model-len", "2048"),
            plugin=plugin,
        )
        if not flags:
            for name in ("LD_PRELOAD", "VLLM_CPU_NUM_OF_RESERVED_CPU"):
                made.environment.pop(name, None)
        return made

    one = SpawnedVLLM(make, folder / "vllm.log", told=lambda said: print(said, file=sys.stderr, flush=True))
    await asyncio.to_thread(one.start)
    try:
        async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(300):
            while True:
                try:
                    if (await client.get(f"{one.url}/health")).status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.25)
        yield one
    finally:
        await asyncio.to_thread(one.stop)


@asynccontextmanager
async def asked_directly(one: SpawnedVLLM) -> AsyncIterator[Direct]:
    headers = {"Authorization": f"Bearer {one.key}"}
    # vLLM closes a connection that has idled for five seconds.
    limits = httpx.Limits(keepalive_expiry=2.0)
    async with httpx.AsyncClient(
        base_url=one.url, headers=headers, timeout=300, limits=limits, trust_env=False
    ) as client:
        yield Direct(client, str(model_folder()))


async def ours(folder: Path, adapter: Path, repetitions: int, python: str | None) -> dict[str, float]:
    """Seconds on a server with our plugin and flags: a slate by the service, and all forms directly."""
    registry = Registry(folder / "registry")
    registry.add(
        adapter,
        name=ADAPTER,
        base_model=str(model_folder()),
        run_id="r",
        dataset_id="d",
        picks=1,
        now=datetime.now(UTC),
    )
    registry.move("champion", ADAPTER, by="bench", reason="bench", now=datetime.now(UTC))
    async with server(folder, plugin=True, flags=True, python=python) as one, asked_directly(one) as direct:
        settings = Settings(
            home=str(folder), engine="vllm", vllm_url=one.url, vllm_key=one.key, timeout=300.0
        )
        service = create_service(settings)
        await service.until_ready(60)
        try:
            async with asyncio.timeout(300):
                while True:
                    if service.aliases.champion == ADAPTER:
                        break
                    await asyncio.sleep(0.2)
            engine = service.engine
            if not isinstance(engine, VLLMEngine):
                raise TypeError(f"the engine is {type(engine).__name__}")

            async def slate() -> None:
                drawn = await service.draw(
                    conversation(), policy="2+2", sampling=SAMPLING, speaker=Whole(engine)
                )
                if not drawn.complete or len({one.kind for one in drawn.candidates}) != 2:
                    raise RuntimeError("the slate is not complete")

            forms: dict[str, Callable[[], Awaitable[object]]] = {
                "slate": slate,
                "two of n = 2, at once": direct.two_of_two,
                "four of n = 1, at once": direct.four_of_one,
                "two of n = 2, in turn": direct.two_of_two_in_turn,
                "four of n = 1, in turn": direct.four_of_one_in_turn,
            }
            return await timed(forms, repetitions)
        finally:
            await service.close()


async def others(folder: Path, adapter: Path, repetitions: int, python: str | None, *, flags: bool) -> float:
    """Seconds of the two requests on a server without the plugin."""
    async with server(folder, plugin=False, flags=flags, python=python) as one, asked_directly(one) as direct:
        engine = VLLMEngine(one.url, key=one.key)
        await engine.start()
        await engine.load(ADAPTER, adapter)
        await engine.close()
        return (await timed({"two": direct.two_of_two}, repetitions))["two"]


async def measure(
    repetitions: int = 5, *, every: bool = False, python: str | None = None
) -> dict[str, float]:
    """All figures; ``slate_ratio`` is ours over direct, ``plugin_ratio`` direct on our server over plain."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_adapter(folder / ADAPTER, model_folder(), 1)
        found = await ours(folder, folder / ADAPTER, repetitions, python)
        if every:
            name = "two of n = 2, at once, without the plugin"
            found[name] = await others(folder, folder / ADAPTER, repetitions, python, flags=True)
        plain = await others(folder, folder / ADAPTER, repetitions, python, flags=False)
    direct = found["two of n = 2, at once"]
    found["two of n = 2, at once, plain vLLM"] = plain
    return found | {"slate_ratio": found["slate"] / direct, "plugin_ratio": direct / plain}


def main() -> None:
    """Read the arguments, measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--all", action="store_true", help="also our flags without the plugin")
    parser.add_argument("--vllm-python", help="the Python that has vLLM; .venv-vllm's by default")
    arguments = parser.parse_args()
    found = asyncio.run(measure(arguments.repetitions, every=arguments.all, python=arguments.vllm_python))
    direct = found["two of n = 2, at once"]
    print(f"{'a 2 + 2 slate, 48 tokens a reply':>44}  seconds  of direct")
    for name, value in found.items():
        if not name.endswith("_ratio"):
            print(f"{name:>44}  {value:7.2f}  {value / direct:9.2f}")
    for name in ("slate_ratio", "plugin_ratio"):
        print(f"{name:>44}  {found[name]:7.3f}")
    print(json.dumps({name: round(value, 3) for name, value in found.items()}))


if __name__ == "__main__":
    main()
