"""Whatever a client sends is understood or refused by name; nothing gets past that and falls over later."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from picktune.errors import PicktuneError
from picktune.gateway.bodies import ChatRequest
from picktune.gateway.fields import (
    conversation_of,
    messages_of,
    options_of,
    raw_messages_of,
    sampling_of,
)
from picktune.records import Sampling
from picktune.wire import decode

ASK = [{"role": "user", "content": "Where is my order?"}]

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**64) | st.floats(-3, 3) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
TEXT = st.text(max_size=20)
PART = st.fixed_dictionaries({"type": st.sampled_from(["text", "refusal", "image_url", ""])}, optional={
    "text": TEXT | st.none(), "refusal": TEXT, "image_url": JSON,
})  # fmt: skip
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool"])},
    optional={
        "content": TEXT | st.none() | st.lists(PART, max_size=3) | JSON,
        "tool_calls": st.none() | st.lists(st.dictionaries(TEXT, JSON, max_size=2), max_size=2) | JSON,
        "tool_call_id": TEXT | JSON,
        "name": JSON,
    },
)
FIELDS = [field.name for field in msgspec.structs.fields(ChatRequest) if field.name != "messages"]
SOUND = st.builds(
    lambda role, content: {"role": role, "content": content},
    st.sampled_from(["system", "developer", "user", "assistant", "tool"]),
    TEXT | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": TEXT}), max_size=3),
)
SOUND_FIELDS = st.fixed_dictionaries({}, optional={
    "temperature": st.floats(0, 2) | st.integers(0, 2),
    "max_tokens": st.integers(1, 2**40),
    "stop": st.none() | st.text(min_size=1, max_size=5) | st.lists(st.just("END"), max_size=4),
    "seed": st.integers(-(2**63), 2**63 - 1),
    "response_format": st.just({"type": "json_object"}),
    "presence_penalty": st.floats(-2, 2),
    "tools": st.just([]) | st.just([{"type": "function"}]),
    "logprobs": st.booleans(),
    "unheard_of": JSON,
})  # fmt: skip
REQUEST = st.builds(
    lambda messages, more: {"model": "picktune", "messages": messages, **more},
    st.lists(SOUND, min_size=1, max_size=4) | st.lists(MESSAGE, max_size=4) | JSON,
    SOUND_FIELDS | st.dictionaries(st.sampled_from(FIELDS) | TEXT, JSON, max_size=4),
)


def asked(**more: Any) -> ChatRequest:
    return msgspec.convert({"model": "picktune", "messages": ASK, **more}, ChatRequest)


@given(REQUEST, st.booleans(), st.booleans())
def test_it_is_understood_or_refused(body: dict[str, Any], slate: bool, forwarding: bool) -> None:
    refusal = None
    try:
        request = decode(msgspec.json.encode(body), ChatRequest)
        options = options_of(request, slate=slate, forwarding=forwarding)
        sampling = sampling_of(request, Sampling())
        raw = raw_messages_of(request)
        messages = messages_of(request)
    except PicktuneError as error:
        refusal = error
    if refusal is not None:
        assert refusal.message
        assert refusal.status in (400, 422)
        return
    assert len(messages) == len(raw) == len(request.messages)
    assert [one.content for one in messages] == [one["content"] for one in raw]
    msgspec.convert(msgspec.to_builtins(sampling), Sampling)
    assert set(options) <= set(FIELDS)
    assert forwarding or not options
    assert not slate or not {"tools", "logprobs"} & set(options)
    assert conversation_of(request, "key", None) == conversation_of(request, "key", None)


@pytest.mark.parametrize("parallel", [True, False, None])
def test_tools_go_with_what_belongs_to_them(parallel: bool | None) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    request = asked(tools=tools, tool_choice="auto", parallel_tool_calls=parallel)
    options = options_of(request, slate=False, forwarding=True)
    assert options["tools"] == tuple(tools)
    assert options["tool_choice"] == "auto"
    assert options.get("parallel_tool_calls") is parallel
    without = asked(tool_choice="auto", parallel_tool_calls=parallel)
    assert options_of(without, slate=True, forwarding=False) == {}


def test_what_is_not_said_stays_as_it_is_set() -> None:
    usual = Sampling(temperature=0.3, top_p=0.4, max_tokens=77, stop=("END",))
    assert sampling_of(asked(), usual) == usual
    assert sampling_of(asked(temperature=0, stop=[]), usual) == Sampling(
        temperature=0.0, top_p=0.4, max_tokens=77
    )
