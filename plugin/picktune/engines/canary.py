"""The canary: whether an engine that took an adapter also uses it, and as its trainer meant it.

An engine may answer 200 and serve the base (module names that do not match), another scaling (a flipped
``use_rslora``) or the adapter of another base. None of that shows in the text of one reply, all of it in
log-probabilities.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from picktune_adapters.probes import Probe

from picktune.errors import AdapterCorrupt, EngineError

# Nats a token, on average. Rounding to bfloat16 moved single tokens by up to 0.15 from the trainer's float32.
TOLERANCE = 0.25
# The share of the trainer's change that must arrive. No change is 0, half the scaling about 0.5.
LEAST, MOST = 0.6, 1.6
# Root mean square of the trainer's change at the tokens asked for, in nats,
# below which rounding outweighs it.
_FAINT = 0.08
# Of each reply, those that changed most: they tell most, and each is read with all that is before it.
_TOKENS = 8
_SAME = 1e-4
_TEXTS = (
    "My parcel has not arrived and the tracking page has not changed for a week. What now? I am sorry",
    "I was charged twice for the same order. Please explain how I get my money back. First, please send us",
)


@runtime_checkable
class Scoring(Protocol):
    """An engine that tells how likely a text is to it."""

    async def log_probs(
        self, text: str | Sequence[int], *, model: str | None, at: Sequence[int] | None = None
    ) -> list[float]:
        """log p of the tokens in these places, or of all but the first, in nats, under base or adapter."""
        ...


async def check_canary(speaker: Scoring, adapter: str, probes: Sequence[Probe] | None) -> None:
    """Compare an adapter with the base, and both with what the trainer found, if there are its probes.

    Raises ``AdapterCorrupt`` for an adapter that changes nothing, whose change is not the one that was
    trained, or whose figures are more than ``TOLERANCE`` nats a token away.
    """
    if not probes:
        await _differs(speaker, adapter)
        return
    trained: list[float] = []
    arrived: list[float] = []
    wrong: list[float] = []
    for one in probes:
        ids = (*one.prompt, *one.reply)
        changes = [after - before for before, after in zip(one.base, one.tuned, strict=True)]
        asked = sorted(sorted(range(len(changes)), key=lambda i: -abs(changes[i]))[:_TOKENS])
        at = [len(one.prompt) + i for i in asked]
        base, tuned = await asyncio.gather(
            speaker.log_probs(ids, model=None, at=at), speaker.log_probs(ids, model=adapter, at=at)
        )
        if not len(base) == len(tuned) == len(at):
            raise EngineError(
                f"the engine scored {len(tuned)} of {len(at)} tokens of a probe of {adapter!r}; its "
                "context may be too short: raise --max-model-len"
            )
        trained += [changes[i] for i in asked]
        arrived += [after - before for before, after in zip(base, tuned, strict=True)]
        wrong += [abs(found - one.tuned[i]) for found, i in zip(tuned, asked, strict=True)]
    _judge(adapter, trained, arrived, sum(wrong) / len(wrong))


def _judge(adapter: str, trained: Sequence[float], arrived: Sequence[float], wrong: float) -> None:
    """``trained``, ``arrived``: the adapter's changes to log p; their least-squares ratio is the share."""
    if max(map(abs, arrived)) <= _SAME:
        raise _nothing(adapter)
    power = sum(one * one for one in trained)
    if (power / len(trained)) ** 0.5 > _FAINT:
        share = sum(a * b for a, b in zip(trained, arrived, strict=True)) / power
        if not LEAST <= share <= MOST:
            raise AdapterCorrupt(
                f"{share:.0%} of what adapter {adapter!r} learned arrives in the engine ({LEAST:.0%} to "
                f"{MOST:.0%} would do): its modules, its scaling or its base model are not those that it was "
                "trained with; serve the base model it was trained on, or train it again"
            )
    if not wrong <= TOLERANCE:
        raise AdapterCorrupt(
            f"adapter {adapter!r} is {wrong:.2f} nats a token away from what its trainer found, and "
            f"{TOLERANCE} would do; serve the base model that it was trained on, in a similar precision"
        )


async def _differs(speaker: Scoring, adapter: str) -> None:
    for text in _TEXTS:
        base = await speaker.log_probs(text, model=None)
        tuned = await speaker.log_probs(text, model=adapter)
        if any(abs(a - b) > _SAME for a, b in zip(base, tuned, strict=True)):
            return
    raise _nothing(adapter)


def _nothing(adapter: str) -> AdapterCorrupt:
    return AdapterCorrupt(
        f"adapter {adapter!r} changes nothing: the engine took it and says exactly what the base says; its "
        "module names may not be those of this base model, or it was never trained"
    )
