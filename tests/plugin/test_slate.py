from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from picktune.engines import Generation
from picktune.errors import AdapterNotFound, EngineBusy, EngineDown, InvalidInput
from picktune.records import Message, Sampling, Slate, Turn
from picktune.slate import POLICIES, Policy, draw, order_for, policy_named
from picktune_adapters import Aliases

NOW = datetime(2026, 11, 24, tzinfo=UTC)
TUNED = Aliases(challenger="v1")
Say = Callable[[str | None, int, int], Sequence[str]]


class ScriptedEngine:
    """Says what ``say(model, n, call)`` returns; an exception in its place is raised."""

    base_model = "scripted"

    def __init__(self, say: Say, *, delays: dict[str | None, float] | None = None) -> None:
        self.say = say
        self.delays = delays or {}
        self.calls: list[tuple[str | None, int, int]] = []

    async def generate(
        self, messages: Sequence[Message], *, model: str | None, n: int, sampling: Sampling, seed: int
    ) -> list[Generation]:
        self.calls.append((model, n, seed))
        said = self.say(model, n, len(self.calls))
        await asyncio.sleep(self.delays.get(model, 0.0))
        if isinstance(said, Exception):
            raise said
        return [Generation(text=text, tokens=3, latency=0.1, finish_reason="stop") for text in said]

    async def start(self) -> None: ...

    async def load(self, name: str, folder: Path) -> None: ...

    async def unload(self, name: str) -> None: ...

    async def loaded(self) -> list[str]:
        return []

    async def ready(self) -> bool:
        return True

    async def close(self) -> None: ...


def fresh(model: str | None, n: int, call: int) -> list[str]:
    return [f"{model} says {call}.{i}" for i in range(n)]


def turn(*texts: str) -> Turn:
    messages = tuple(Message(role="user", content=text) for text in texts or ("Where is my parcel?",))
    return Turn(id="t1", conversation_id="c1", messages=messages, created_at=NOW)


def drawn(
    engine: Any, policy: str | Policy = "2+2", aliases: Aliases = TUNED, seed: int = 0, **options: Any
) -> Slate:
    policy = policy_named(policy) if isinstance(policy, str) else policy
    given_turn = options.pop("turn", turn())
    return asyncio.run(draw(given_turn, policy, engine, aliases, rng=random.Random(seed), now=NOW, **options))


def arms(slate: Slate) -> Counter[str]:
    return Counter(candidate.arm for candidate in slate.candidates)


# Who speaks


@pytest.mark.parametrize(
    ("policy", "aliases", "expected"),
    [
        ("2+2", Aliases(), {"base": 2, "base-b": 2}),
        ("2+2", Aliases(champion="v0"), {"base": 2, "champion": 2}),
        ("2+2", Aliases(champion="v0", challenger="v1"), {"base": 2, "challenger": 2}),
        ("1+1", Aliases(challenger="v1"), {"base": 1, "challenger": 1}),
        ("1+1", Aliases(), {"base": 1, "base-b": 1}),
        ("base", Aliases(champion="v0"), {"base": 4}),
    ],
)
def test_the_policy_and_the_aliases_decide_who_speaks(
    policy: str, aliases: Aliases, expected: dict[str, int]
) -> None:
    slate = drawn(ScriptedEngine(fresh), policy, aliases)
    assert arms(slate) == expected
    assert slate.complete
    assert slate.policy == policy
    for candidate in slate.candidates:
        assert candidate.model == {"champion": "v0", "challenger": "v1"}.get(candidate.kind)


def test_at_cold_start_the_base_is_compared_with_itself_under_other_seeds() -> None:
    engine = ScriptedEngine(fresh)
    slate = drawn(engine, "2+2", Aliases())
    assert {candidate.kind for candidate in slate.candidates} == {"base"}
    assert len({seed for _, _, seed in engine.calls}) == 2


def test_a_randomised_policy_shows_one_reply_of_either_arm() -> None:
    counts: Counter[str] = Counter()
    for seed in range(400):
        slate = drawn(ScriptedEngine(fresh), "1", seed=seed)
        assert len(slate.candidates) == 1
        assert slate.candidates[0].propensity == 0.5
        counts += arms(slate)
    assert 150 < counts["base"] < 250
    assert counts.keys() == {"base", "challenger"}


def test_an_unknown_policy_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match=r"no policy named '3\+1'.*2\+2"):
        policy_named("3+1")


def test_a_policy_that_draws_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput, match="draws no reply"):
        Policy(name="none", base=0, tuned=0)


def test_arms_are_asked_at_the_same_time() -> None:
    both = asyncio.Barrier(2)

    class Meeting(ScriptedEngine):
        async def generate(self, *args: Any, **options: Any) -> list[Generation]:
            await both.wait()
            return await super().generate(*args, **options)

    assert drawn(Meeting(fresh), timeout=5.0).complete


# Order, position, propensity, ids


@given(st.integers(0, 2**32), st.sampled_from(sorted(POLICIES)), st.booleans())
def test_positions_and_propensities_are_consistent(seed: int, policy: str, tuned: bool) -> None:
    slate = drawn(ScriptedEngine(fresh), policy, TUNED if tuned else Aliases(), seed)
    assert [candidate.position for candidate in slate.candidates] == list(range(POLICIES[policy].size))
    assert len({candidate.id for candidate in slate.candidates}) == len(slate.candidates)
    shares = {candidate.arm: candidate.propensity for candidate in slate.candidates}
    if not POLICIES[policy].randomised:
        assert sum(shares.values()) == pytest.approx(1.0)
    assert all(0 < share <= 1 for share in shares.values())


def test_every_order_of_a_slate_is_as_likely() -> None:
    counts: Counter[tuple[str, ...]] = Counter()
    for seed in range(1200):
        slate = drawn(ScriptedEngine(fresh), "2+2", seed=seed)
        counts[tuple(candidate.text for candidate in slate.candidates)] += 1
    # 24 orders, 50 expected of each: chi-squared with 23 degrees of freedom passes 49.7 once in a thousand.
    assert len(counts) == 24
    assert sum((count - 50) ** 2 / 50 for count in counts.values()) < 49.7


def test_every_viewer_has_an_order_of_their_own_and_keeps_it() -> None:
    slate = drawn(ScriptedEngine(fresh))
    ids = [candidate.id for candidate in slate.candidates]
    counts = Counter(order_for(slate, f"viewer-{i}") for i in range(2400))
    assert set(counts) == set(permutations(ids))
    assert sum((count - 100) ** 2 / 100 for count in counts.values()) < 49.7
    again = msgspec.json.decode(msgspec.json.encode(slate), type=Slate)
    assert all(order_for(again, f"viewer-{i}") == order_for(slate, f"viewer-{i}") for i in range(50))


def test_the_order_tells_nothing_of_the_seeds_of_the_texts() -> None:
    first = Counter()
    for seed in range(600):
        engine = ScriptedEngine(fresh)
        slate = drawn(engine, "1+1", seed=seed)
        low = engine.calls[0][2] < 2**30
        first[low, slate.candidates[0].arm] += 1
    assert all(110 < count < 190 for count in first.values())
    assert len(first) == 4


def test_the_same_randomness_draws_the_same_slate() -> None:
    one, other = drawn(ScriptedEngine(fresh), seed=3), drawn(ScriptedEngine(fresh), seed=3)
    assert one.candidates == other.candidates
    assert one.candidates != drawn(ScriptedEngine(fresh), seed=4).candidates


def test_candidate_ids_are_random_and_of_one_shape() -> None:
    ids = [c.id for seed in range(200) for c in drawn(ScriptedEngine(fresh), seed=seed).candidates]
    assert len(set(ids)) == 800
    assert {len(id_) for id_ in ids} == {32}
    for place in range(32):
        assert len({id_[place] for id_ in ids}) == 16


def test_candidate_ids_do_not_show_the_generators_numbers() -> None:
    slate = drawn(ScriptedEngine(fresh), seed=5)
    rng = random.Random(5)
    raw = "".join(f"{rng.getrandbits(32):08x}" for _ in range(200))
    for candidate in slate.candidates:
        assert all(candidate.id[i : i + 8] not in raw for i in range(0, 32, 8))


# Duplicates


def test_a_repeated_text_is_drawn_again_once() -> None:
    def say(model: str | None, n: int, call: int) -> list[str]:
        return ["Sorry!", "Sorry!"] if model == "v1" and n == 2 else fresh(model, n, call)

    engine = ScriptedEngine(say)
    slate = drawn(engine)
    assert slate.complete
    assert arms(slate) == {"base": 2, "challenger": 2}
    assert [call[:2] for call in engine.calls[2:]] == [("v1", 1)]
    assert len({seed for _, _, seed in engine.calls}) == 3


def test_words_that_both_arms_say_are_shown_once_in_the_name_of_both() -> None:
    def say(model: str | None, n: int, call: int) -> list[str]:
        return ["The  same\n"] if model else ["The same"]

    engine = ScriptedEngine(say)
    slate = drawn(engine, "1+1")
    assert len(engine.calls) == 3
    assert len(slate.candidates) == 1
    assert {slate.candidates[0].arm, *slate.candidates[0].also} == {"base", "challenger"}
    assert slate.complete


def test_neither_arm_is_the_one_that_has_to_find_other_words() -> None:
    redrawn: Counter[str | None] = Counter()
    for seed in range(200):
        engine = ScriptedEngine(lambda model, n, call: ["same"] if call <= 2 else [f"other {model}"])
        drawn(engine, "1+1", seed=seed)
        redrawn[engine.calls[2][0]] += 1
    assert 60 < redrawn["v1"] < 140


def test_an_arm_that_repeats_itself_leaves_the_slate_incomplete() -> None:
    slate = drawn(ScriptedEngine(lambda model, n, call: ["Hm."] * n if model else fresh(model, n, call)))
    assert arms(slate) == {"base": 2, "challenger": 1}
    assert not slate.complete
    assert "said the same words twice" in slate.failures[0]


def test_greedy_arms_are_not_asked_again() -> None:
    engine = ScriptedEngine(lambda model, n, call: ["Hm."] * n)
    slate = drawn(engine, sampling=Sampling(temperature=0.0))
    assert len(engine.calls) == 2
    assert len(slate.candidates) == 1


def test_a_failure_while_drawing_again_costs_nothing_but_the_reply() -> None:
    def say(model: str | None, n: int, call: int) -> Any:
        if call > 2:
            return EngineBusy("full")
        return ["Hm.", "Hm."] if model else fresh(model, n, call)

    slate = drawn(ScriptedEngine(say))
    assert arms(slate) == {"base": 2, "challenger": 1}
    assert not slate.complete


# Failures


@pytest.mark.parametrize(
    "failure", [EngineDown("gone"), AdapterNotFound("v1", []), RuntimeError("a bug"), TimeoutError()]
)
def test_the_base_answers_when_the_tuned_arm_fails(failure: Exception) -> None:
    slate = drawn(ScriptedEngine(lambda model, n, call: failure if model else fresh(model, n, call)))
    assert arms(slate) == {"base": 2}
    assert not slate.complete
    assert slate.failures
    alone = [
        drawn(ScriptedEngine(lambda m, n, call: failure if m else fresh(m, n, call)), "1", seed=seed)
        for seed in range(20)
    ]
    assert all(arms(slate) == {"base": 1} for slate in alone)
    assert {slate.complete for slate in alone} == {True, False}


def test_a_policy_of_the_tuned_arm_alone_falls_back_on_the_base() -> None:
    only = Policy(name="tuned", base=0, tuned=2)
    slate = drawn(ScriptedEngine(lambda m, n, call: EngineDown("gone") if m else fresh(m, n, call)), only)
    assert arms(slate) == {"base": 2}
    assert not slate.complete


def test_the_tuned_arm_stays_when_the_base_fails() -> None:
    slate = drawn(ScriptedEngine(lambda m, n, call: fresh(m, n, call) if m else EngineDown("gone")))
    assert arms(slate) == {"challenger": 2}
    assert not slate.complete


def test_a_late_arm_is_left_out() -> None:
    engine = ScriptedEngine(fresh, delays={"v1": 30.0})
    slate = drawn(engine, timeout=0.05)
    assert arms(slate) == {"base": 2}
    assert not slate.complete
    assert "did not answer within 0.05 s" in slate.failures[0]


def test_blank_replies_are_no_candidates() -> None:
    slate = drawn(ScriptedEngine(lambda m, n, call: ["", " \n"] if m else fresh(m, n, call)))
    assert arms(slate) == {"base": 2}
    assert "gave 0 of 2 replies" in slate.failures[0]


def test_more_replies_than_asked_are_not_shown() -> None:
    slate = drawn(ScriptedEngine(lambda m, n, call: fresh(m, n + 3, call)))
    assert arms(slate) == {"base": 2, "challenger": 2}


def test_an_engine_that_is_down_for_all_says_so() -> None:
    with pytest.raises(EngineDown, match="gone"):
        drawn(ScriptedEngine(lambda m, n, call: EngineDown("gone")))


@pytest.mark.parametrize("busy", [None, "v1"])
def test_a_busy_engine_is_busy_for_the_whole_slate(busy: str | None) -> None:
    engine = ScriptedEngine(
        lambda m, n, call: EngineBusy("full", retry_after=3.0) if m == busy else fresh(m, n, call),
        delays={busy: 0.0, ({None, "v1"} - {busy}).pop(): 30.0},
    )
    with pytest.raises(EngineBusy, match="full") as raised:
        drawn(engine, timeout=20.0)
    assert raised.value.retry_after == 3.0


@pytest.mark.parametrize("texts", [(), ("",), ("Hello", "  \n")])
def test_an_empty_conversation_is_refused(texts: tuple[str, ...]) -> None:
    engine = ScriptedEngine(fresh)
    empty = Turn(
        id="t",
        conversation_id="c",
        messages=tuple(Message(role="user", content=text) for text in texts),
        created_at=NOW,
    )
    with pytest.raises(InvalidInput, match="conversation is empty"):
        drawn(engine, turn=empty)
    assert not engine.calls


def test_a_caller_that_goes_away_takes_its_requests_along() -> None:
    gone: list[str] = []

    class Patient(ScriptedEngine):
        async def generate(self, *args: Any, **options: Any) -> list[Generation]:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                gone.append("cancelled")
                raise
            return []

    async def leave() -> None:
        drawing = asyncio.create_task(
            draw(turn(), POLICIES["2+2"], Patient(fresh), TUNED, rng=random.Random(0), now=NOW)
        )
        await asyncio.sleep(0.01)
        drawing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await drawing
        await asyncio.sleep(0)

    asyncio.run(leave())
    assert gone == ["cancelled", "cancelled"]


def test_a_slate_of_a_real_model(tiny_model: Path, tiny_adapter: Any) -> None:
    from picktune.engines.local import LocalEngine

    async def drawn_for_real() -> Slate:
        engine = LocalEngine(tiny_model)
        await engine.start()
        try:
            await engine.load("v1", tiny_adapter("v1", 1))
            return await draw(
                turn(),
                POLICIES["2+2"],
                engine,
                TUNED,
                rng=random.Random(1),
                now=NOW,
                sampling=Sampling(max_tokens=12),
            )
        finally:
            await engine.close()

    slate = asyncio.run(drawn_for_real())
    assert slate.complete
    assert arms(slate) == {"base": 2, "challenger": 2}
    assert len({candidate.text for candidate in slate.candidates}) == 4
