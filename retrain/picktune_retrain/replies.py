"""Replies of base, champion and challenger to the same held-out prompts, side by side, and golden prompts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta
from picktune.records import ChoiceSet, Message, Record, Sampling

from picktune_retrain.errors import StateCorrupt
from picktune_retrain.evenly import evenly

BASE = "base"
GOLDEN_FILE = "golden.jsonl"
MOST_GOLDEN = 200


class SideBySide(Record, frozen=True, kw_only=True):
    """What each model says to one held-out prompt, greedily; ``picked`` is what a person picked there."""

    slate_id: str
    messages: tuple[Message, ...]
    picked: str
    replies: dict[str, str]


class Golden(Record, frozen=True, kw_only=True):
    """A prompt that must not get worse: what a good reply has to hold, and what it must not.

    ``must`` and ``must_not`` are regular expressions; case does not count.
    """

    id: Annotated[str, Meta(min_length=1, max_length=200)]
    messages: Annotated[tuple[Message, ...], Meta(min_length=1)]
    must: tuple[str, ...] = ()
    must_not: tuple[str, ...] = ()

    def passes(self, reply: str) -> bool:
        """Whether the reply is as it should be."""
        return all(re.search(one, reply, re.IGNORECASE) for one in self.must) and not any(
            re.search(one, reply, re.IGNORECASE) for one in self.must_not
        )


class GoldenOutcome(Record, frozen=True, kw_only=True):
    """Which models passed a golden prompt, and what the challenger said."""

    id: str
    passed: dict[str, bool]
    reply: str


def golden_prompts(home: Path) -> tuple[Golden, ...]:
    """Those of ``golden.jsonl`` in the home folder, one a line; none if there is no such file.

    Raises ``StateCorrupt``, naming the line, if it cannot be used.
    """
    path = home / GOLDEN_FILE
    if not path.exists():
        return ()
    found: dict[str, Golden] = {}
    remedy = f"mend that line, or move {GOLDEN_FILE} away"
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StateCorrupt(path, str(error), "save it as UTF-8, or move it away") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            one = msgspec.json.decode(line, type=Golden)
            for pattern in (*one.must, *one.must_not):
                re.compile(pattern)
        except (msgspec.MsgspecError, re.error) as error:
            raise StateCorrupt(path, f"line {number}: {error}", remedy) from error
        if one.id in found:
            raise StateCorrupt(path, f"line {number}: the id {one.id!r} is there twice", remedy)
        found[one.id] = one
    if len(found) > MOST_GOLDEN:
        raise StateCorrupt(path, f"{len(found)} prompts, and {MOST_GOLDEN} are the most", "keep fewer")
    return tuple(found.values())


def spread(sets: Sequence[ChoiceSet], count: int) -> list[ChoiceSet]:
    """At most ``count`` sets with different prompts, evenly spread over all."""
    # Only the places are kept: the prompts of a great many held-out sets would fill the memory.
    places = {hash(one.messages): place for place, one in enumerate(sets)}
    return [sets[place] for place in evenly(list(places.values()), count)]


def speak(
    prompts: Sequence[Sequence[Message]],
    *,
    base_model: str,
    adapters: Mapping[str, Path],
    max_tokens: int,
) -> dict[str, list[str]]:
    """The greedy replies to every prompt: of the base under ``"base"``, and of each adapter under its name.

    Raises ``EngineDown`` without the base and ``AdapterCorrupt`` for an adapter that does not fit.
    """

    async def ask() -> dict[str, list[str]]:
        from picktune.engines.local import LocalEngine

        engine = LocalEngine(base_model, queue=4 * (1 + len(adapters)) * max(len(prompts), 1))
        sampling = Sampling(temperature=0.0, max_tokens=max_tokens)
        try:
            await engine.start()
            for name, folder in adapters.items():
                await engine.load(name, folder)
            names = (BASE, *adapters)
            asked = [
                engine.generate(prompt, model=None if name == BASE else name, n=1, sampling=sampling, seed=0)
                for name in names
                for prompt in prompts
            ]
            said = [one[0].text for one in await asyncio.gather(*asked)]
        finally:
            await engine.close()
        size = len(prompts)
        return {name: said[i * size : (i + 1) * size] for i, name in enumerate(names)}

    # A thread of its own has no event loop yet, whoever calls this.
    with ThreadPoolExecutor(1, "picktune-replies") as thread:
        return thread.submit(asyncio.run, ask()).result()
