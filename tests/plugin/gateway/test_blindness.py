"""Nothing in a completion or a stream but the texts themselves tells the arms apart."""

from __future__ import annotations

import json
import random
from typing import Any

import httpx
import pytest
from picktune.service import Service

pytestmark = pytest.mark.anyio

ASK = [{"role": "user", "content": "Where is my order?"}]


def of_answer(answer: httpx.Response) -> tuple[str, list[str], list[list[float]]]:
    """The slate, its candidates by place, and all that is known of each but its words."""
    found = answer.json()
    note = found["picktune"]
    about = []
    for place, (choice, id) in enumerate(zip(found["choices"], note["candidate_ids"], strict=True)):
        told = {**choice, "message": {**choice["message"], "content": ""}}
        about.append(features(answer, place, id, told, found))
    return note["slate_id"], note["candidate_ids"], about


def of_stream(answer: httpx.Response) -> tuple[str, list[str], list[list[float]]]:
    """The same of a stream, with the order and the times in which the pieces came."""
    events = [line.removeprefix("data: ") for line in answer.text.split("\n\n")]
    chunks = [json.loads(event) for event in events if event.startswith("{")]
    note = chunks[0]["picktune"]
    about = []
    for place, id in enumerate(note["candidate_ids"]):
        mine = [
            (number, chunk["choices"][0])
            for number, chunk in enumerate(chunks)
            if chunk["choices"] and chunk["choices"][0]["index"] == place
        ]
        told = [{**one, "delta": dict.fromkeys(one["delta"], "")} for _, one in mine]
        about.append([*features(answer, place, id, told, chunks[-1]), 10.0 * mine[0][0], 10.0 * mine[-1][0]])
    return note["slate_id"], note["candidate_ids"], about


def features(answer: httpx.Response, place: int, id: str, told: object, whole: dict[str, Any]) -> list[float]:
    usage = whole.get("usage") or {}
    return [
        10.0 * place,
        *(int(digit, 16) / 15 for digit in id),
        # One number for whatever it may be: arms that differ in it stand apart.
        float(sum(json.dumps(told, sort_keys=True).replace(f'"index": {place}', "").encode())) * 10,
        float(usage.get("completion_tokens", 0)),
        float(len(answer.headers)),
        float(len(whole)),
    ]


def hits(rows: list[tuple[list[float], bool]]) -> int:
    """How often the nearest of the first 240 rows is of the same arm, among the other 240."""
    random.Random(7).shuffle(rows)
    train, test = rows[:240], rows[240:480]
    right = 0
    for about, label in test:
        nearest = min(train, key=lambda row: sum((a - b) ** 2 for a, b in zip(row[0], about, strict=True)))
        right += nearest[1] == label
    return right


@pytest.mark.parametrize("stream", [False, True])
async def test_a_classifier_does_no_better_than_chance(api: Any, telltale: Service, stream: bool) -> None:
    rows: list[tuple[list[float], bool]] = []
    leaky: list[tuple[list[float], bool]] = []
    for number in range(120):
        asked = {"model": "picktune", "messages": ASK, "user": f"u{number}", "stream": stream}
        asked["stream_options"] = {"include_usage": True}
        answer = await api.post("/v1/chat/completions", asked)
        assert answer.status_code == 200
        slate_id, ids, about = of_stream(answer) if stream else of_answer(answer)
        by_id = {one.id: one for one in (await telltale.slate(slate_id)).candidates}
        for id, known in zip(ids, about, strict=True):
            tuned = by_id[id].arm == "challenger"
            rows.append((known, tuned))
            leaky.append(([*known, 100.0 * (by_id[id].finish_reason == "length")], tuned))
    assert sum(tuned for _, tuned in rows) == 240
    # 240 fair coins give more than 147 heads once in five thousand times.
    assert hits(rows) <= 147
    # And the classifier would have found them by how they ended.
    assert hits(leaky) > 200


@pytest.mark.parametrize("stream", [False, True])
async def test_no_word_of_the_arms(api: Any, telltale: Service, stream: bool) -> None:
    asked = {"model": "picktune", "messages": ASK, "user": "u", "stream": stream}
    answer = await api.post("/v1/chat/completions", asked)
    headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
    everything = answer.text + json.dumps(headers)
    for name in ("base", "challenger", "champion", "v1", "length", "scripted", "latency", "propensity"):
        assert name not in everything


async def test_a_seed_of_the_clients_own_foretells_nothing(api: Any, telltale: Service) -> None:
    texts = set()
    for _ in range(2):
        asked = {"model": "picktune", "messages": ASK, "user": "u", "seed": 7}
        found = (await api.post("/v1/chat/completions", asked)).json()
        texts |= {one["message"]["content"] for one in found["choices"]}
    assert len(texts) == 8
