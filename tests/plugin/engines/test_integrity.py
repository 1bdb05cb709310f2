from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from picktune.engines import Generation
from picktune.engines.integrity import check_integrity
from picktune.errors import EngineBusy, EngineError
from picktune.records import Message, Sampling

pytestmark = pytest.mark.anyio


class Batching:
    """Replies to whatever is asked within one turn of the loop as one batch, through ``say``."""

    def __init__(self, say: Callable[[str | None, str, set[str | None]], str]) -> None:
        self.say = say
        self.inside: list[str | None] = []

    async def generate(
        self, messages: Sequence[Message], *, model: str | None, n: int, sampling: Sampling, seed: int
    ) -> list[Generation]:
        assert sampling.temperature == 0.0
        self.inside.append(model)
        await asyncio.sleep(0.01)
        text = self.say(model, messages[-1].content, set(self.inside))
        await asyncio.sleep(0.01)
        self.inside.remove(model)
        return [Generation(text=text, tokens=5, latency=0.02, finish_reason="stop")]


def own(model: str | None, prompt: str) -> str:
    return f"As {model or 'the base'} I say that {prompt} is a good question"


async def check(say: Callable[[str | None, str, set[str | None]], str]) -> None:
    await check_integrity(Batching(say), "v1")  # type: ignore[arg-type]


async def test_a_sound_engine_passes() -> None:
    await check(lambda model, prompt, batch: own(model, prompt))


async def test_an_adapter_that_changes_nothing_yet_passes() -> None:
    await check(lambda model, prompt, batch: own(None, prompt))


async def test_a_base_that_follows_the_adapter_is_caught() -> None:
    with pytest.raises(EngineError, match=r"a base reply.*came from the other arm.*--max-loras"):
        await check(lambda model, prompt, batch: own("v1" if "v1" in batch else None, prompt))


async def test_an_adapter_that_follows_the_base_is_caught() -> None:
    with pytest.raises(EngineError, match=r"an adapter's reply.*other arm"):
        await check(lambda model, prompt, batch: own(None if None in batch else model, prompt))


async def test_a_base_that_stays_wrong_afterwards_is_caught() -> None:
    mixed: list[bool] = []

    def say(model: str | None, prompt: str, batch: set[str | None]) -> str:
        if batch == {None, "v1"}:
            mixed.append(True)
            return own(model, prompt)
        return own("v1" if mixed else model, prompt)

    with pytest.raises(EngineError, match="a later base reply"):
        await check(say)


async def test_rounding_that_tips_a_reply_is_no_fault() -> None:
    def say(model: str | None, prompt: str, batch: set[str | None]) -> str:
        tipped = len(batch) > 1 and ("parcel" in prompt or "charged" in prompt)
        return own(model, prompt).replace("good", "fine") if tipped else own(model, prompt)

    await check(say)


async def test_rounding_that_tips_one_reply_to_the_other_arm_is_no_fault() -> None:
    def say(model: str | None, prompt: str, batch: set[str | None]) -> str:
        return own("v1" if len(batch) > 1 and "parcel" in prompt else model, prompt)

    await check(say)


async def test_an_adapter_that_tells_in_close_calls_only_passes() -> None:
    def say(model: str | None, prompt: str, batch: set[str | None]) -> str:
        return own("v1" if "v1" in batch and "parcel" in prompt else None, prompt)

    await check(say)


async def test_a_suspicion_that_does_not_show_again_is_none() -> None:
    asked: list[str] = []

    def say(model: str | None, prompt: str, batch: set[str | None]) -> str:
        asked.append(prompt)
        # Alone 4 and 4, then 12 together.
        return own("v1" if len(asked) <= 20 and "v1" in batch else model, prompt)

    await check(say)
    assert len(asked) == 8 + 2 * 16


async def test_a_base_that_is_never_itself_in_company_is_caught() -> None:
    def say(model: str | None, prompt: str, batch: set[str | None]) -> str:
        return own(model, prompt).replace("good", "fine" if len(batch) > 1 else "good")

    with pytest.raises(EngineError, match="hardly ever the same"):
        await check(say)


async def test_an_adapter_that_says_nothing_is_caught() -> None:
    with pytest.raises(EngineError, match="says nothing"):
        await check(lambda model, prompt, batch: "" if model else own(model, prompt))


async def test_a_busy_engine_is_asked_again() -> None:
    busy = [EngineBusy("full", retry_after=0.01) for _ in range(3)]

    def say(model: str | None, prompt: str, batch: set[str | None]) -> str:
        return own(model, prompt)

    class Full(Batching):
        async def generate(self, *args: object, **options: object) -> list[Generation]:  # type: ignore[override]
            if busy:
                raise busy.pop()
            return await super().generate(*args, **options)  # type: ignore[arg-type]

    await check_integrity(Full(say), "v1")  # type: ignore[arg-type]
    assert not busy
