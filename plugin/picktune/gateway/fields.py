"""What a request asks for, in the house's own records; what cannot be honoured is refused, by its name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import structs

from picktune.errors import InvalidInput
from picktune.gateway.bodies import ChatMessage, ChatRequest
from picktune.gateway.errors import Unsupported
from picktune.records import Message, Sampling

LONGEST = 8192  # tokens of one reply, as in Sampling
# What changes the words, and a server that speaks OpenAI's chat completions can do.
_FOR_SLATES = ("response_format", "frequency_penalty", "presence_penalty", "logit_bias")
# These bring calls and figures in place of words, of which no slate can be made.
_FOR_ARMS = ("tools", "tool_choice", "logprobs", "top_logprobs")
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "response_format": ({"type": "text"},),
    "logit_bias": ({},),
    "tools": ((),),
    "tool_choice": ("none", "auto"),
    "functions": ((),),
    "modalities": ((), ("text",)),
}


def messages_of(asked: ChatRequest) -> tuple[Message, ...]:
    """The messages as text; raises ``Unsupported`` for what is none, ``InvalidInput`` for what is missing."""
    return tuple(_message(one, f"messages[{place}]") for place, one in enumerate(asked.messages))


def raw_messages_of(asked: ChatRequest) -> list[dict[str, Any]]:
    """The messages with their tool calls, for a server that takes those."""
    raw = []
    for place, one in enumerate(asked.messages):
        message: dict[str, Any] = {"role": _role(one)}
        if one.content is not None or not one.tool_calls:
            message["content"] = _text(one, f"messages[{place}]")
        if one.tool_calls:
            message["tool_calls"] = one.tool_calls
        if one.tool_call_id is not None:
            message["tool_call_id"] = one.tool_call_id
        raw.append(message)
    return raw


def sampling_of(asked: ChatRequest, usual: Sampling) -> Sampling:
    """The settings' sampling with what the request replaces; more tokens than there can be are the most."""
    wanted: dict[str, Any] = {"temperature": asked.temperature, "top_p": asked.top_p}
    tokens = asked.max_completion_tokens or asked.max_tokens
    wanted["max_tokens"] = tokens and min(tokens, LONGEST)
    if asked.stop is not None:
        wanted["stop"] = (asked.stop,) if isinstance(asked.stop, str) else asked.stop
    return structs.replace(usual, **{name: value for name, value in wanted.items() if value is not None})


def options_of(asked: ChatRequest, *, slate: bool, forwarding: bool) -> dict[str, Any]:
    """The further fields that go to the model's server as they are.

    ``slate`` says whether replies are compared, ``forwarding`` whether the engine has such a server. Raises
    ``Unsupported`` for those that neither can do; their neutral values count as absent.
    """
    options = {}
    for name in (*_FOR_SLATES, *_FOR_ARMS, "functions", "modalities"):
        value = getattr(asked, name)
        # A choice among tools means nothing without them, but with them even the usual one is passed on.
        neutral = () if name == "tool_choice" and asked.tools else _NEUTRAL.get(name, ())
        if not value or value in neutral:
            continue
        if name not in (*_FOR_SLATES, *_FOR_ARMS):
            raise Unsupported(f"{name} is not supported here; leave it out", field=name)
        if slate and name in _FOR_ARMS:
            raise Unsupported(
                f"a slate compares texts, so 'picktune' takes no {name}; leave it out, or ask a named arm",
                field=name,
            )
        if not forwarding:
            raise Unsupported(
                f"the embedded engine cannot do {name}; leave it out, or serve the model with vLLM",
                field=name,
            )
        options[name] = value
    if "tools" in options and asked.parallel_tool_calls is not None:
        options["parallel_tool_calls"] = asked.parallel_tool_calls
    return options


def conversation_of(asked: ChatRequest, caller: str, user: str | None) -> str:
    """An id for a conversation that came without one: the same for all of its turns.

    Every turn repeats what was said, so caller, user and the user's first message name it. System messages
    do not count, for many hold the time of day.
    """
    first = next((one for one in asked.messages if one.role == "user"), asked.messages[0])
    opening = msgspec.json.encode([caller, user, _text(first, "messages[0]")])
    return hashlib.blake2b(opening, digest_size=16).hexdigest()


def _message(one: ChatMessage, where: str) -> Message:
    if one.tool_calls:
        raise Unsupported(
            "tool calls can be given to a named arm on vLLM only; leave them out of the messages",
            field=f"{where}.tool_calls",
        )
    return Message(role=_role(one), content=_text(one, where))


def _role(one: ChatMessage) -> Any:
    # OpenAI's newer name for who sets the rules.
    return "system" if one.role == "developer" else one.role


def _text(one: ChatMessage, where: str) -> str:
    if isinstance(one.content, str):
        return one.content
    if one.content is None:
        raise InvalidInput(f"the message of the {one.role} has no content", field=f"{where}.content")
    texts = []
    for place, part in enumerate(one.content):
        text = part.refusal if part.type == "refusal" else part.text
        if part.type not in ("text", "refusal"):
            raise Unsupported(
                f"a part of type {part.type[:40]!r} cannot be answered; send text",
                field=f"{where}.content[{place}].type",
            )
        if text is None:
            raise InvalidInput(
                f"the part of type {part.type!r} holds no text", field=f"{where}.content[{place}].text"
            )
        texts.append(text)
    return "".join(texts)
