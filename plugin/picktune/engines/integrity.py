"""Arm integrity: whether a base reply stays the base's while an adapter answers in the same batch.

It does not on every engine. vLLM's CPU backend, once all of its adapter slots are full, silently answers base
requests with an adapter's weights, and a slate would compare the tuned model with itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from picktune.engines.base import Speaker
from picktune.errors import ArmUnsound, EngineBusy
from picktune.records import Message, Sampling

# Open questions, which a tuned model answers otherwise than its base, and one to which every model has a firm
# answer that rounding does not change.
_PROMPTS = (
    "My parcel has not arrived and the tracking page has not changed for a week. What now?",
    "I was charged twice for the same order. Please explain how I get my money back.",
    "我昨天买的鞋子尺码不对，想换一双，应该怎么办？",
    "Say the days of the week.",
)
_GREEDY = Sampling(temperature=0.0, top_p=1.0, max_tokens=16)
_PATIENCE = 5
# Rounding may tip a close call to what the other arm says, but neither for several questions nor each time.
_STRAYS = 2


async def check_integrity(engine: Speaker, adapter: str) -> None:
    """Draw greedy replies of the base and of the adapter, apart and together, and compare.

    Raises ``ArmUnsound`` if in mixed batches the replies to most of the questions that tell the arms apart
    follow the other arm, if hardly any is there what it is alone, or if the adapter says nothing; the reason
    is in the message. A suspicion must show twice.
    """
    base = await _say(engine, [None])
    tuned = await _say(engine, [adapter])
    if not any(text.strip() for text in tuned):
        raise ArmUnsound(
            f"adapter {adapter!r} says nothing to any question; it may hold numbers that overflow: "
            "take it out of service and train it again"
        )
    if await _fault(engine, adapter, base, tuned) is None:
        return
    fault = await _fault(engine, adapter, base, tuned)
    if fault is not None:
        raise ArmUnsound(fault)


async def _fault(engine: Speaker, adapter: str, base: list[str], tuned: list[str]) -> str | None:
    """What is wrong with replies that are drawn together, given what both arms say alone."""
    # The adapter goes first and the base twice, so that the base surely runs beside it.
    together = await _say(engine, [adapter, None, None])
    after = await _say(engine, [None])

    count = len(_PROMPTS)
    telling = sum(one != another for one, another in zip(base, tuned, strict=True))
    beside = {
        "an adapter's reply": [(text, tuned, base, i % count) for i, text in enumerate(together[:count])],
        "a base reply": [(text, base, tuned, i % count) for i, text in enumerate(together[count:])],
        "a later base reply": [(text, base, tuned, i) for i, text in enumerate(after)],
    }
    for what, replies in beside.items():
        strays = {i for text, own, other, i in replies if _shared(text, other[i]) > _shared(text, own[i])}
        if len(strays) >= max(_STRAYS, 0.75 * telling):
            return (
                f"{what}, drawn while {adapter!r} and the base were answering together, came from the "
                "other arm, so mixed slates would compare a model with itself; on vLLM's CPU backend "
                "restart the server with a larger --max-loras (see docs/engines.md)"
            )
        kept = {i for text, own, _, i in replies if text == own[i]}
        if len(kept) <= 0.25 * count:
            return (
                f"{what} is hardly ever the same beside {adapter!r} as alone, so replies cannot be told "
                "apart from the batch they are drawn in; on vLLM's CPU backend restart the server with "
                "a larger --max-loras (see docs/engines.md), elsewhere use another engine"
            )
    return None


async def _say(engine: Speaker, models: Sequence[str | None]) -> list[str]:
    """The greedy replies of each model to all prompts, all asked at once, model by model."""
    return await asyncio.gather(*(_reply(engine, model, prompt) for model in models for prompt in _PROMPTS))


async def _reply(engine: Speaker, model: str | None, prompt: str) -> str:
    for left in reversed(range(_PATIENCE)):
        try:
            replies = await engine.generate(
                [Message(role="user", content=prompt)], model=model, n=1, sampling=_GREEDY, seed=0
            )
            return replies[0].text
        except EngineBusy as busy:
            if not left:
                raise
            await asyncio.sleep(busy.retry_after)
    raise AssertionError("unreachable")


def _shared(one: str, other: str) -> int:
    """How many characters both texts begin with."""
    differ = (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differ, min(len(one), len(other)))
