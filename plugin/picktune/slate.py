"""Slates: which arms speak, how many replies each draws, and the blind order in which they are shown."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated

from msgspec import Meta, structs
from picktune_adapters import Aliases

from picktune.engines.base import Engine, Generation
from picktune.errors import EngineError, InvalidInput, PicktuneError
from picktune.records import Arm, Candidate, Record, Sampling, Slate, Turn, new_id

Count = Annotated[int, Meta(ge=0, le=16)]


class Policy(Record, frozen=True, kw_only=True):
    """How many replies the base and the tuned arm give; with ``randomised``, one of the two gives one.

    Without any adapter the tuned arm's place is taken by the base under the name ``base-b``: an A/A
    comparison, whose picks train the first adapter and whose support rate is the noise floor.
    """

    name: str
    base: Count
    tuned: Count
    randomised: bool = False

    @property
    def size(self) -> int:
        """How many candidates a complete slate of this policy has."""
        return 1 if self.randomised else self.base + self.tuned


POLICIES = {
    policy.name: policy
    for policy in (
        Policy(name="2+2", base=2, tuned=2),
        Policy(name="1+1", base=1, tuned=1),
        Policy(name="1", base=1, tuned=1, randomised=True),
        Policy(name="base", base=4, tuned=0),
    )
}


def policy_named(name: str) -> Policy:
    """The built-in policy of that name; raises ``InvalidInput``, naming the known ones."""
    try:
        return POLICIES[name]
    except KeyError:
        raise InvalidInput(
            f"no policy named {name!r}; choose one of {', '.join(POLICIES)}", field="policy"
        ) from None


def arms_of(policy: Policy, aliases: Aliases, sampling: Sampling) -> list[tuple[Arm, int]]:
    """The arms of a slate with how many replies each gives: the challenger is preferred to the champion."""
    base = Arm(name="base", kind="base", sampling=sampling)
    if aliases.challenger:
        tuned = Arm(name="challenger", kind="challenger", model=aliases.challenger, sampling=sampling)
    elif aliases.champion:
        tuned = Arm(name="champion", kind="champion", model=aliases.champion, sampling=sampling)
    else:
        tuned = Arm(name="base-b", kind="base", sampling=sampling)
    return [(arm, count) for arm, count in ((base, policy.base), (tuned, policy.tuned)) if count]


class _Drawn(Record, frozen=True, kw_only=True):
    arm: Arm
    generation: Generation
    also: tuple[str, ...] = ()


async def draw(
    turn: Turn,
    policy: Policy,
    engine: Engine,
    aliases: Aliases,
    *,
    rng: random.Random,
    now: datetime,
    sampling: Sampling | None = None,
    timeout: float = 60.0,
) -> Slate:
    """Draw a slate for a turn: all arms at once, duplicates again once, then a seeded permutation.

    An arm that fails or is slower than ``timeout`` seconds is left out and the slate is marked incomplete;
    if only the base can answer, the base answers. Raises ``InvalidInput`` for a turn without a message to
    answer, and the engine's own error if no arm answered at all.
    """
    if not turn.messages:
        raise InvalidInput("the conversation is empty; send at least one message", field="messages")
    seed = rng.getrandbits(63)
    order_rng = random.Random(seed)  # noqa: S311 - reproducible order, not a secret
    arms = arms_of(policy, aliases, sampling or Sampling())
    shares = {arm.name: count / sum(count for _, count in arms) for arm, count in arms}
    if policy.randomised:
        names = [arm for arm, _ in arms]
        chosen = order_rng.choices(names, weights=[shares[arm.name] for arm in names])[0]
        arms = [(chosen, 1)]

    drawn, failures = await _draw_arms(turn, arms, engine, seed, timeout)
    if not drawn and isinstance(failures[0], EngineError) and policy.randomised and arms[0][0].kind != "base":
        spare = Arm(name="base", kind="base", sampling=arms[0][0].sampling)
        drawn, more = await _draw_arms(turn, [(spare, 1)], engine, seed, timeout)
        failures += more
    if not drawn:
        raise failures[0]

    drawn, again = await _without_duplicates(turn, drawn, engine, seed, timeout)
    failures += again
    order_rng.shuffle(drawn)
    candidates = tuple(
        Candidate(
            id=new_candidate_id(rng),
            arm=one.arm.name,
            kind=one.arm.kind,
            model=one.arm.model,
            text=one.generation.text,
            position=position,
            propensity=shares[one.arm.name],
            tokens=one.generation.tokens,
            latency=one.generation.latency,
            finish_reason=one.generation.finish_reason,
            also=one.also,
        )
        for position, one in enumerate(drawn)
    )
    return Slate(
        id=new_id(),
        turn=turn,
        candidates=candidates,
        policy=policy.name,
        seed=seed,
        complete=not failures,
        failures=tuple(f"{type(failure).__name__}: {failure}" for failure in failures),
        created_at=now,
    )


def order_for(slate: Slate, viewer: str) -> tuple[str, ...]:
    """The candidate ids in the order in which this viewer sees them: a permutation of the viewer's own.

    It is uniform over viewers, and always the same for one viewer and slate.
    """
    order = [candidate.id for candidate in slate.candidates]
    random.Random(f"{slate.seed}:{viewer}").shuffle(order)  # noqa: S311 - reproducible order, not a secret
    return tuple(order)


def new_candidate_id(rng: random.Random) -> str:
    """128 random bits as 32 hexadecimal digits: unlike a UUIDv7, it says nothing of when it was made."""
    return f"{rng.getrandbits(128):032x}"


async def _draw_arms(
    turn: Turn, arms: Sequence[tuple[Arm, int]], engine: Engine, seed: int, timeout: float
) -> tuple[list[_Drawn], list[PicktuneError]]:
    async def one(arm: Arm, count: int, arm_seed: int) -> list[Generation] | PicktuneError:
        try:
            async with asyncio.timeout(timeout):
                return await engine.generate(
                    turn.messages, model=arm.model, n=count, sampling=arm.sampling, seed=arm_seed
                )
        except TimeoutError:
            return EngineError(f"arm {arm.name!r} did not answer within {timeout:g} s")
        except PicktuneError as error:
            return error

    seeds = _seeds(seed)
    answers = await asyncio.gather(*(one(arm, count, next(seeds)) for arm, count in arms))
    drawn: list[_Drawn] = []
    failures: list[PicktuneError] = []
    for (arm, count), answer in zip(arms, answers, strict=True):
        if isinstance(answer, PicktuneError):
            failures.append(answer)
            continue
        said = [generation for generation in answer if generation.text.strip()]
        drawn += [_Drawn(arm=arm, generation=generation) for generation in said]
        if len(said) < count:
            failures.append(EngineError(f"arm {arm.name!r} gave {len(said)} of {count} replies"))
    return drawn, failures


async def _without_duplicates(
    turn: Turn, drawn: list[_Drawn], engine: Engine, seed: int, timeout: float
) -> tuple[list[_Drawn], list[PicktuneError]]:
    """Draw the repeated texts again once, then merge what is still the same.

    A text that one arm said twice makes the slate incomplete (the arms no longer show equally many); a
    text that both arms said stays in both arms' count, for it carries the names of both.
    """
    repeats = [i for i, one in enumerate(drawn) if _key(one) in {_key(other) for other in drawn[:i]}]
    if repeats:
        wanted = Counter(drawn[i].arm.name for i in repeats)
        arms = {drawn[i].arm.name: drawn[i].arm for i in repeats}
        fresh, _ = await _draw_arms(
            turn, [(arms[name], count) for name, count in wanted.items()], engine, seed ^ 1, timeout
        )
        for i in repeats:
            for replacement in fresh:
                if replacement.arm.name == drawn[i].arm.name:
                    drawn[i] = replacement
                    fresh.remove(replacement)
                    break
    merged: dict[str, _Drawn] = {}
    failures: list[PicktuneError] = []
    for one in drawn:
        first = merged.setdefault(_key(one), one)
        if first is one:
            continue
        if one.arm.name == first.arm.name or one.arm.name in first.also:
            failures.append(EngineError(f"arm {one.arm.name!r} said the same words twice"))
        else:
            merged[_key(one)] = structs.replace(first, also=(*first.also, one.arm.name))
    return list(merged.values()), failures


def _key(drawn: _Drawn) -> str:
    return " ".join(drawn.generation.text.split())


def _seeds(seed: int) -> Iterator[int]:
    source = random.Random(seed)  # noqa: S311 - sampling seeds, not secrets
    while True:
        yield source.getrandbits(31)
