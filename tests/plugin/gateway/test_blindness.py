"""No word of the arms is in a completion or a stream; `tests/plugin/blindness` lets a classifier look."""

from __future__ import annotations

import json
from typing import Any

import pytest
from picktune.service import Service

pytestmark = pytest.mark.anyio

ASK = [{"role": "user", "content": "Where is my order?"}]


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
