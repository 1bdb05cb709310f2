"""The plugin against the defect that it mends: both slots filled, three adapters, the base beside them."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import httpx
import pytest
from picktune.engines.integrity import check_integrity
from picktune.engines.vllm import VLLMEngine

pytestmark = [pytest.mark.anyio, pytest.mark.vllm, pytest.mark.model, pytest.mark.slow]

QUESTIONS = tuple(
    f"<|im_start|>user\n{one}<|im_end|>\n<|im_start|>assistant\n"
    for one in ("Where is my parcel?", "Can I return shoes that I have worn once?")
)
NAMES = ("arm-a", "arm-b", "arm-c")
TOKENS = 10
# What other requests of the base do to one that is decoded in float32 (0.00002 was seen), with adapters or
# without: there vLLM sums up in another order.
ROUNDING = 1e-4


class Said(NamedTuple):
    text: str
    log_probs: tuple[float, ...]
    likeliest: tuple[tuple[str, float], ...]


async def greedy(client: httpx.AsyncClient, model: str, prompt: Any, tokens: int) -> Said:
    body = {"model": model, "prompt": prompt, "max_tokens": tokens, "temperature": 0, "logprobs": 5}
    body["ignore_eos"] = True
    (choice,) = (await client.post("/v1/completions", json=body)).raise_for_status().json()["choices"]
    found = choice["logprobs"]
    return Said(
        choice["text"], tuple(found["token_logprobs"]), tuple(sorted(found["top_logprobs"][0].items()))
    )


async def test_base_and_adapters_say_together_what_they_say_alone(
    spawned: Any, tiny_adapter: Any, smollm2: Any
) -> None:
    assert "picktune_vllm replaces" in spawned.log.read_text("utf-8", errors="replace")
    engine = VLLMEngine(spawned.url, key=spawned.key)
    await engine.start()
    for seed, name in enumerate(NAMES):
        await engine.load(name, tiny_adapter(name, seed + 20, 0.05, base=smollm2))
    headers = {"Authorization": f"Bearer {spawned.key}"}
    async with httpx.AsyncClient(
        base_url=spawned.url, headers=headers, timeout=300, trust_env=False
    ) as client:
        arms = (str(smollm2), *NAMES)
        asked = [(arm, question) for question in QUESTIONS for arm in arms]
        replies = [await greedy(client, arm, question, TOKENS) for arm, question in asked]
        # Each position of a reply as a request of its own: there vLLM's sums do not depend on the batch.
        steps = [
            (arm, question + reply.text[:cut])
            for (arm, question), reply in zip(asked, replies, strict=True)
            for cut in (0, len(reply.text) // 2, len(reply.text))
        ]
        alone = [await greedy(client, *step, 1) for step in steps]
        together = await asyncio.gather(*(greedy(client, *step, 1) for step in steps))
        for step, one, beside in zip(steps, alone, together, strict=True):
            assert beside == one, step
        assert len({one.log_probs for one in alone}) == len(steps), "the arms do not differ"

        beside = await asyncio.gather(*(greedy(client, *one, TOKENS) for one in asked))
        for one, reply, again in zip(asked, replies, beside, strict=True):
            assert again.text == reply.text, one
            assert again.log_probs == pytest.approx(reply.log_probs, abs=ROUNDING), one
    await check_integrity(engine, NAMES[-1])
    for name in NAMES:
        await engine.unload(name)
    await engine.close()
