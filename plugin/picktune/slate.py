"""Slates: the replies drawn for a turn, and the blind order in which they are shown."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from msgspec import structs
from picktune_adapters import Aliases

from picktune.engines.base import Generation, Speaker
from picktune.errors import EngineBusy, EngineError, InvalidInput, PicktuneError
from picktune.policy import POLICIES, Policy, arms_of, policy_named
from picktune.records import Arm, Candidate, Record, Sampling, Slate, Turn, new_id

__all__ = ["POLICIES", "Policy", "arms_of", "draw", "new_candidate_id", "order_for", "policy_named"]

logger = logging.getLogger(__name__)


class _Drawn(Record, frozen=True, kw_only=True):
    arm: Arm
    generation: Generation
    also: tuple[str, ...] = ()


class _Draw(Record, frozen=True, kw_only=True):
    """What one drawing of several arms needs to know; ``deadline`` is on the monotonic clock."""

    turn: Turn
    seed: int
    timeout: float
    deadline: float


async def draw(
    turn: Turn,
    policy: Policy,
    engine: Speaker,
    aliases: Aliases,
    *,
    rng: random.Random,
    now: datetime,
    sampling: Sampling | None = None,
    timeout: float = 60.0,  # noqa: ASYNC109 - an arm's, not the call's
    chance: float = 1.0,
) -> Slate:
    """Draw a slate for a turn: all arms at once, duplicates again once, then a seeded permutation.

    An arm that fails or is slower than ``timeout`` seconds is left out and the slate is marked incomplete; if
    no arm answered, the base is asked once more: whoever waits gets an answer if any can be had. ``chance``
    is the probability with which these aliases speak in this conversation, for the tuned arm's propensity.
    ``rng`` should be a ``SystemRandom``: whoever could foretell the seed could tell the arms apart.

    Raises ``InvalidInput`` for a turn without a message to answer; ``EngineBusy`` if the engine had no room
    for all of the arms, for a slate that lacks one under load would be worth little; and the engine's own
    error if no arm answered at all.
    """
    if not turn.messages or not turn.messages[-1].content.strip():
        raise InvalidInput("the conversation is empty; send at least one message", field="messages")
    seed = rng.getrandbits(63)
    order = _stream(seed, "order")
    arms = arms_of(policy, aliases, sampling or Sampling())
    shares = {arm.name: count / sum(count for _, count in arms) for arm, count in arms}
    if policy.randomised:
        names = [arm for arm, _ in arms]
        arms = [(order.choices(names, weights=[shares[arm.name] for arm in names])[0], 1)]

    plan = _Draw(turn=turn, seed=seed, timeout=timeout, deadline=time.monotonic() + timeout)
    drawn, failures = await _draw_arms(plan, arms, engine, "first")
    if not drawn and (failures or all(arm.kind != "base" for arm, _ in arms)):
        # The base in their place; if it was silent itself, once more, for another replica may answer now.
        spare = Arm(name="base", kind="base", sampling=arms[0][0].sampling)
        size = sum(count for _, count in arms)
        patience = timeout / 2 if any(arm.kind == "base" for arm, _ in arms) else timeout
        late = structs.replace(plan, deadline=time.monotonic() + patience)
        drawn, more = await _draw_arms(late, [(spare, size)], engine, "spare")
        failures += more
    if not drawn:
        raise failures[0]

    # In random order, so that neither arm is the one that has to find other words.
    order.shuffle(drawn)
    drawn, again = await _without_duplicates(plan, drawn, engine)
    failures += again
    order.shuffle(drawn)
    candidates = tuple(
        Candidate(
            id=new_candidate_id(rng),
            arm=one.arm.name,
            kind=one.arm.kind,
            model=one.arm.model,
            text=one.generation.text,
            position=position,
            propensity=shares.get(one.arm.name, 0.0) * (1.0 if one.arm.name == "base" else chance),
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
    _stream(slate.seed, f"viewer:{viewer}").shuffle(order)
    return tuple(order)


def new_candidate_id(rng: random.Random) -> str:
    """32 hexadecimal digits that say nothing of when they were made, nor of the generator's state.

    They are hashed because a viewer who collects enough raw numbers of a Mersenne twister can compute the
    rest of them, and the seed of the order is among those.
    """
    return hashlib.blake2b(rng.getrandbits(256).to_bytes(32, "big"), digest_size=16).hexdigest()


async def _draw_arms(
    plan: _Draw, arms: Sequence[tuple[Arm, int]], engine: Speaker, round_: str
) -> tuple[list[_Drawn], list[PicktuneError]]:
    """What the arms said, with what went wrong; raises ``EngineBusy`` as soon as one arm finds no room."""

    async def one(arm: Arm, count: int) -> list[Generation] | PicktuneError:
        seed = _stream(plan.seed, f"{round_}:{arm.name}").getrandbits(31)
        try:
            async with asyncio.timeout(plan.deadline - time.monotonic()):
                return await engine.generate(
                    plan.turn.messages, model=arm.model, n=count, sampling=arm.sampling, seed=seed
                )
        except EngineBusy:
            raise
        except TimeoutError:
            return EngineError(f"arm {arm.name!r} did not answer within {plan.timeout:g} s")
        except PicktuneError as error:
            return error
        except Exception as error:
            # One arm's fault must not take the other arm's answer away from whoever waits.
            logger.exception("arm %r failed", arm.name)
            return EngineError(f"arm {arm.name!r} failed: {type(error).__name__}: {error}")

    tasks = [asyncio.ensure_future(one(arm, count)) for arm, count in arms]
    try:
        answers = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    drawn: list[_Drawn] = []
    failures: list[PicktuneError] = []
    for (arm, count), answer in zip(arms, answers, strict=True):
        if isinstance(answer, PicktuneError):
            failures.append(answer)
            continue
        said = [generation for generation in answer[:count] if generation.text.strip()]
        drawn += [_Drawn(arm=arm, generation=generation) for generation in said]
        if len(said) < count:
            failures.append(EngineError(f"arm {arm.name!r} gave {len(said)} of {count} replies"))
    return drawn, failures


async def _without_duplicates(
    plan: _Draw, drawn: list[_Drawn], engine: Speaker
) -> tuple[list[_Drawn], list[PicktuneError]]:
    """Draw the repeated texts again once, then merge what is still the same.

    A text that one arm said twice makes the slate incomplete (the arms no longer show equally many); a
    text that both arms said stays in both arms' count, for it carries the names of both.
    """
    repeats = [i for i, one in enumerate(drawn) if _key(one) in {_key(other) for other in drawn[:i]}]
    # A greedy arm would only say the same again.
    wanted = Counter(drawn[i].arm.name for i in repeats if drawn[i].arm.sampling.temperature > 0)
    if wanted:
        arms = {drawn[i].arm.name: drawn[i].arm for i in repeats}
        try:
            fresh, _ = await _draw_arms(
                plan, [(arms[name], count) for name, count in wanted.items()], engine, "again"
            )
        except EngineBusy:
            fresh = []
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


def _stream(seed: int, purpose: str) -> random.Random:
    """A stream of random numbers of its own for each purpose, so that no draw tells of another."""
    return random.Random(f"{seed}:{purpose}")  # noqa: S311 - reproducible; the seed itself is a secret
