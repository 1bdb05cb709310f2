"""A slate of 2 + 2 through Picktune beside its two requests of n = 2 sent directly, against a real vLLM."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from gateway_peers import Peer, picktune, vllm

TOKENS = 32


def slate_seconds(
    folder: Path, rounds: int, progress: Callable[[int, int], None]
) -> tuple[list[float], list[float]]:
    """Seconds of each slate, and of each pair of direct requests, in turn."""
    with vllm(folder) as model, picktune(folder / "home", f"http://127.0.0.1:{model.ports[0]}") as ours:
        return asyncio.run(_in_turn(model, ours, rounds, progress))


async def _in_turn(
    model: Peer, ours: Peer, rounds: int, progress: Callable[[int, int], None]
) -> tuple[list[float], list[float]]:
    slates: list[float] = []
    direct: list[float] = []
    async with httpx.AsyncClient(timeout=300.0, trust_env=False) as client:
        where = f"http://127.0.0.1:{model.ports[0]}"
        name = (await client.get(f"{where}/v1/models")).json()["data"][0]["id"]

        async def ask(peer: Peer, **fields: Any) -> None:
            address = f"http://127.0.0.1:{peer.ports[0]}{peer.path}"
            answer = await client.post(address, json=fields, headers={"Authorization": f"Bearer {peer.key}"})
            answer.raise_for_status()

        for number in range(-1, rounds):  # the first time nothing is warm
            # Nobody's prompt is in the prefix cache for the other.
            asked = [f"Tell me about lamp {2 * number + one}, please." for one in range(2)]
            said = [[{"role": "user", "content": one}] for one in asked]
            usual = {"temperature": 1.0, "max_tokens": TOKENS}
            times = []
            for turn in (0, 1) if number % 2 else (1, 0):
                before = time.perf_counter()
                if turn:
                    await ask(ours, model="picktune", messages=said[0], **usual)
                else:
                    pair = [{"model": name, "n": 2, "seed": seed, "messages": said[1]} for seed in (1, 2)]
                    await asyncio.gather(*(ask(model, **one, **usual) for one in pair))
                times.append((turn, time.perf_counter() - before))
            if number >= 0:
                slates.append(dict(times)[1])
                direct.append(dict(times)[0])
                progress(number + 1, rounds)
    return slates, direct


def ratio(slates: list[float], direct: list[float]) -> float:
    """The median of the ratios of neighbours."""
    return statistics.median(one / other for one, other in zip(slates, direct, strict=True))
