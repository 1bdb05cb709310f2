"""What the canary lets through, with engines that are wrong in a known way; vLLM itself is in tests/vllm."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from picktune.engines.canary import Scoring, check_canary
from picktune.errors import AdapterCorrupt, EngineError
from picktune_adapters.probes import Probe

pytestmark = pytest.mark.anyio


def probes(seed: int = 1, size: float = 0.5, count: int = 4, tokens: int = 25) -> tuple[Probe, ...]:
    rng = random.Random(seed)
    made = []
    for number in range(count):
        base = [-rng.expovariate(0.5) for _ in range(tokens)]
        made.append(
            Probe(
                prompt=tuple(range(number, number + 10)),
                reply=tuple(range(100, 100 + tokens)),
                base=tuple(base),
                tuned=tuple(one + rng.gauss(0, size) for one in base),
            )
        )
    return tuple(made)


class Engine:
    """Gives the trainer's figures with rounding noise, and ``share`` of its change."""

    def __init__(
        self, known: Sequence[Probe], share: float = 1.0, noise: float = 0.03, shift: float = 0
    ) -> None:
        self.known = {one.prompt: one for one in known}
        self.share, self.noise, self.shift = share, noise, shift

    async def log_probs(
        self, text: str | Sequence[int], *, model: str | None, at: Sequence[int] | None = None
    ) -> list[float]:
        if isinstance(text, str):
            return [-1.0 - (self.share if model else 0.0)] * 5
        one = self.known[tuple(text[:10])]
        rng = random.Random(f"{text} {model}" if self.share else f"{text}")
        said = [
            before + (self.share * (after - before) if model else 0.0) + rng.gauss(0, self.noise) + self.shift
            for before, after in zip(one.base, one.tuned, strict=True)
        ]
        return said if at is None else [said[place - len(one.prompt)] for place in at]


async def test_a_sound_adapter_passes_in_any_precision() -> None:
    known = probes()
    assert isinstance(Engine(known), Scoring)
    for noise in (0.0, 0.03, 0.1):
        await check_canary(Engine(known, noise=noise), "v1", known)


async def test_a_faintly_trained_adapter_passes() -> None:
    known = probes(size=0.01)
    await check_canary(Engine(known, noise=0.03), "v1", known)


@pytest.mark.parametrize("share", [0.25, 0.5, 2.0, 4.0, -1.0])
async def test_another_scaling_is_caught(share: float) -> None:
    known = probes(size=0.2)
    with pytest.raises(AdapterCorrupt, match="of what adapter 'v1' learned arrives"):
        await check_canary(Engine(known, share), "v1", known)


async def test_the_figures_of_another_model_are_caught() -> None:
    known = probes(size=0.2)
    with pytest.raises(AdapterCorrupt, match="nats a token away"):
        await check_canary(Engine(known, shift=-1.0), "v1", known)


async def test_an_adapter_that_changes_nothing_is_caught_with_probes_and_without() -> None:
    known = probes()
    for given_probes in (known, None, ()):
        with pytest.raises(AdapterCorrupt, match="changes nothing"):
            await check_canary(Engine(known, share=0.0), "v1", given_probes)
    await check_canary(Engine(known), "v1", None)


async def test_a_context_that_is_too_short_is_said() -> None:
    class Short(Engine):
        async def log_probs(
            self, text: str | Sequence[int], *, model: str | None, at: Sequence[int] | None = None
        ) -> list[float]:
            return (await super().log_probs(text, model=model, at=at))[:5]

    known = probes()
    with pytest.raises(EngineError, match="--max-model-len"):
        await check_canary(Short(known), "v1", known)


@given(seed=st.integers(0, 10_000), size=st.floats(0.1, 1.0), share=st.sampled_from([0.0, 0.3, 1.0, 3.0]))
def test_right_and_wrong_are_told_apart_whatever_was_trained(seed: int, size: float, share: float) -> None:
    import asyncio

    known = probes(seed, size)
    verdict: Callable[[], object] = lambda: asyncio.run(  # noqa: E731
        check_canary(Engine(known, share, noise=min(0.03, size / 4)), "v1", known)
    )
    if share == 1.0:
        verdict()
    else:
        with pytest.raises(AdapterCorrupt):
            verdict()
