"""What a client of OpenAI's chat completions sends, and what it gets back.

Unlike the JSON API's, these records pass over fields that they do not know: clients send many that change
nothing about what is said. Those that would change it are named here, so that they can be refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from picktune.bodies import Locale
from picktune.records import Consent, Record, ShortText, Tags

MOST = 16  # replies in one answer, as in a policy

Who = Annotated[str, Meta(max_length=200)]
Stop = Annotated[str, Meta(min_length=1, max_length=1000)]
Tokens = Annotated[int, Meta(ge=1)]
Penalty = Annotated[float, Meta(ge=-2.0, le=2.0)]
ChatRole = Literal["system", "developer", "user", "assistant", "tool"]


class ContentPart(Struct, frozen=True, kw_only=True):
    """A part of a message; only those of type ``text`` (and an assistant's ``refusal``) can be answered."""

    type: str
    text: str | None = None
    refusal: str | None = None


class ChatMessage(Struct, frozen=True, kw_only=True):
    """One message as OpenAI's clients send it."""

    role: ChatRole
    content: str | tuple[ContentPart, ...] | None = None
    tool_calls: tuple[dict[str, Any], ...] | None = None
    tool_call_id: str | None = None


class StreamOptions(Struct, frozen=True, kw_only=True):
    """Whether the stream ends with a chunk that says how many tokens it took."""

    include_usage: bool | None = None


class PicktuneFields(Record, frozen=True, kw_only=True):
    """What OpenAI has no field for: whose conversation it is, who sees it, and how to file it."""

    conversation_id: ShortText | None = None
    viewer: ShortText | None = None
    tags: Tags = ()
    locale: Locale = "en"
    policy: ShortText | None = None
    consent: Consent | None = None


class ChatRequest(Struct, frozen=True, kw_only=True):
    """A request for chat completions; any other field is passed over."""

    model: ShortText
    messages: Annotated[tuple[ChatMessage, ...], Meta(min_length=1, max_length=1000)]
    n: Annotated[int, Meta(ge=1, le=MOST)] | None = None
    temperature: Annotated[float, Meta(ge=0.0, le=2.0)] | None = None
    top_p: Annotated[float, Meta(gt=0.0, le=1.0)] | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    stop: Stop | Annotated[tuple[Stop, ...], Meta(max_length=4)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: Who | None = None
    safety_identifier: Who | None = None
    picktune: PicktuneFields | None = None
    response_format: dict[str, Any] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: tuple[dict[str, Any], ...] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    functions: tuple[dict[str, Any], ...] | None = None
    modalities: tuple[str, ...] | None = None


class Said(Struct, frozen=True, kw_only=True):
    """One reply; ``tool_calls`` only from a named arm that was given tools."""

    role: Literal["assistant"] = "assistant"
    content: str | None = None
    refusal: str | None = None
    tool_calls: tuple[dict[str, Any], ...] | UnsetType = UNSET


class Choice(Struct, frozen=True, kw_only=True):
    """One reply in its place. On a slate ``finish_reason`` is always ``stop``, whoever spoke."""

    index: int
    message: Said
    finish_reason: str | None = "stop"
    logprobs: dict[str, Any] | None = None


class Usage(Struct, frozen=True, kw_only=True):
    """How many tokens the prompt has, and all replies together."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class SlateNote(Record, frozen=True, kw_only=True):
    """What a decision on the replies needs: ``candidate_ids`` stand in the order of the choices."""

    slate_id: str
    conversation_id: str
    candidate_ids: tuple[str, ...]
    kept: bool | UnsetType = UNSET


class ChatCompletion(Struct, frozen=True, kw_only=True):
    """The answer. ``system_fingerprint`` is always null: nothing tells one arm from another."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: tuple[Choice, ...]
    usage: Usage
    system_fingerprint: None = None
    picktune: SlateNote | UnsetType = UNSET


class Delta(Struct, frozen=True, kw_only=True):
    """What a chunk adds to a reply."""

    role: Literal["assistant"] | UnsetType | None = UNSET
    content: str | UnsetType | None = UNSET
    refusal: str | UnsetType | None = UNSET
    tool_calls: tuple[dict[str, Any], ...] | UnsetType | None = UNSET


class ChunkChoice(Struct, frozen=True, kw_only=True):
    """A piece of one reply."""

    index: int
    delta: Delta
    finish_reason: str | None = None
    logprobs: dict[str, Any] | None = None


class ChatCompletionChunk(Struct, frozen=True, kw_only=True):
    """One event of a stream; the first one carries the slate's ids, the last one, if asked for, the usage."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: tuple[ChunkChoice, ...]
    usage: Usage | UnsetType | None = UNSET
    system_fingerprint: None = None
    picktune: SlateNote | UnsetType = UNSET


class ModelCard(Struct, frozen=True, kw_only=True):
    """A name that may be asked for; ``created`` is when the server started."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "picktune"


class ModelList(Struct, frozen=True, kw_only=True):
    """The names that this key may ask for."""

    object: Literal["list"] = "list"
    data: tuple[ModelCard, ...]


class GatewayError(Struct, frozen=True, kw_only=True):
    """``code`` is for programs and stays; ``param`` names the part of the request."""

    message: str
    type: str
    param: str | None
    code: str


class GatewayErrorBody(Struct, frozen=True, kw_only=True):
    """OpenAI's shape of every error."""

    error: GatewayError
