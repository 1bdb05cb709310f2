"""The simulated picker: its rule of taste, its noise, its blindness to places, and its manners over HTTP."""

from __future__ import annotations

import json
import math
import random
from collections import Counter

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from picktune.records import Message
from picktune.simulate import Picker, SimulationFailed, Taste

BEST = "I'm sorry about that. Could you please tell me your order number?"
ASKS = "What is your order number?"
PLAIN = "We will look into it."
LONG = "We will look into it. " * 20
QUIET = Taste(noise=0.0)


@pytest.mark.parametrize(
    ("reply", "points"),
    [
        (BEST, 3),
        ("We apologize for the delay.", 2),
        ("My apologies, it is on its way.", 2),
        (ASKS, 2),
        ("Could you send us a photo of it?", 2),
        ("Can you please specify which size you need?", 2),
        ("Please let me know which size you need.", 2),
        (PLAIN, 1),
        (LONG, 0),
        (LONG + "Sorry.", 1),
        (LONG + "Sorry! Please share your order number.", 2),
        ("We will look into it and then", 0),
        ("I'm sorry, but we cannot", 1),
        ("Please wait. You can send it back.", 1),
        ("You can order number plates here.", 2),  # a rule is only a rule
        ("", 0),
        ("   ", 0),
    ],
)
def test_a_reply_earns_a_point_for_each_thing_it_does(reply: str, points: int) -> None:
    assert QUIET.points(reply) == points


def test_the_limit_of_words_is_exact() -> None:
    taste = Taste(words=5)
    assert taste.is_short("one two three four five.")
    assert not taste.is_short("one two three four five six.")


def test_the_best_reply_is_picked_wherever_it_stands() -> None:
    for place in range(4):
        replies = [PLAIN, LONG, PLAIN]
        replies.insert(place, BEST)
        assert all(QUIET.choose(replies, random.Random(seed)) == place for seed in range(20))


def test_ties_are_broken_evenly() -> None:
    rng = random.Random(1)
    picks = Counter(QUIET.choose([BEST, PLAIN, BEST, LONG], rng) for _ in range(4000))
    assert set(picks) == {0, 2}
    assert abs(picks[0] - 2000) < 4 * math.sqrt(4000 * 0.25)


def test_of_equally_good_replies_the_one_with_fewer_words_is_picked() -> None:
    longer = f"{BEST} Thank you very much."
    assert all(QUIET.choose([longer, BEST, PLAIN], random.Random(seed)) == 1 for seed in range(20))


def test_the_stated_share_of_picks_is_noise() -> None:
    rng, n, taste = random.Random(2), 8000, Taste(noise=0.1)
    picks = Counter(taste.choose([PLAIN, BEST, LONG, LONG], rng) for _ in range(n))
    # A noisy pick is uniform over four, so one of the others is picked in three quarters of a tenth.
    expected = n * 0.1 * 3 / 4
    others = n - picks[1]
    assert abs(others - expected) < 4 * math.sqrt(expected)
    assert all(abs(picks[i] - n * 0.1 / 4) < 4 * math.sqrt(n * 0.1 / 4) for i in (0, 2, 3))


@given(
    replies=st.lists(st.sampled_from([BEST, ASKS, PLAIN, LONG]), min_size=1, max_size=6),
    seed=st.integers(0, 2**32),
)
def test_only_a_reply_of_the_most_points_is_picked(replies: list[str], seed: int) -> None:
    chosen = QUIET.choose(replies, random.Random(seed))
    assert QUIET.points(replies[chosen]) == max(map(QUIET.points, replies))


def test_places_do_not_matter_even_with_noise_and_ties() -> None:
    rng, n = random.Random(3), 6000
    places: Counter[int] = Counter()
    for _ in range(n):
        replies = [BEST, ASKS, PLAIN, LONG]
        rng.shuffle(replies)
        places[Taste().choose(replies, rng)] += 1
    statistic = sum((places[i] - n / 4) ** 2 / (n / 4) for i in range(4))
    assert statistic < 16.3  # chi-square with three degrees of freedom, one in a thousand


def test_an_empty_slate_cannot_be_decided_on() -> None:
    with pytest.raises(ValueError, match="nothing to choose from"):
        QUIET.choose([], random.Random(0))


def test_the_rule_is_stated_in_words() -> None:
    said = str(Taste(words=33, noise=0.2))
    assert "33 words" in said
    assert "20%" in said


def server(answers: list[httpx.Response], requests: list[httpx.Request]) -> httpx.AsyncClient:
    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return answers.pop(0)

    return httpx.AsyncClient(transport=httpx.MockTransport(handle), base_url="http://test/v1")


SLATE = {
    "id": "s1",
    "conversation_id": "c1",
    "candidates": [{"id": "a", "text": PLAIN}, {"id": "b", "text": BEST}],
}
PICK = {"key": "k"}
MESSAGES = [Message(role="user", content="Where is it?")]


async def decide(answers: list[httpx.Response]) -> tuple[str, list[httpx.Request]]:
    requests: list[httpx.Request] = []
    async with server(answers, requests) as client:
        picker = Picker(client, QUIET, rng=random.Random(0))
        decided = await picker.decide(MESSAGES, conversation_id="c1", tags=["delivery"])
    return decided.candidate_id, requests


@pytest.mark.anyio
async def test_it_draws_looks_and_picks_in_the_role_of_a_model() -> None:
    chosen, requests = await decide([httpx.Response(201, json=SLATE), httpx.Response(200, json=PICK)])
    assert chosen == "b"
    drawn, picked = (json.loads(request.content) for request in requests)
    assert [request.url.path for request in requests] == ["/v1/slates", "/v1/picks"]
    assert drawn["viewer"] == picked["annotator"] == "simulated picker"
    assert drawn["conversation_id"] == "c1"
    assert picked["role"] == "model"
    assert picked["verdict"] == "chosen"
    assert picked["candidate_id"] == "b"


@pytest.mark.anyio
async def test_a_busy_server_is_asked_again() -> None:
    busy = httpx.Response(429, headers={"Retry-After": "0"})
    chosen, requests = await decide([busy, httpx.Response(201, json=SLATE), httpx.Response(200, json=PICK)])
    assert chosen == "b"
    assert len(requests) == 3


@pytest.mark.anyio
async def test_a_refusal_ends_it_with_the_servers_reason() -> None:
    body = {"error": {"code": "engine_down", "message": "the engine does not answer", "field": None}}
    with pytest.raises(
        SimulationFailed, match="POST /slates was answered with 503: the engine does not answer"
    ):
        await decide([httpx.Response(503, json=body)])


@pytest.mark.anyio
async def test_an_answer_of_another_kind_is_shown_as_it_is() -> None:
    with pytest.raises(SimulationFailed, match="502: <html>Bad gateway"):
        await decide([httpx.Response(502, text="<html>Bad gateway</html>")])


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
