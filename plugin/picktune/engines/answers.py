"""What a vLLM server answers: the parts of it that are used, and the errors that its statuses stand for."""

from __future__ import annotations

from typing import TypeVar

import httpx
import msgspec
from msgspec import Struct

from picktune.errors import EngineBusy, EngineError

T = TypeVar("T")


class Model(Struct):
    """A model that the server lists; an adapter has its base as ``parent`` and its folder as ``root``."""

    id: str
    root: str | None = None
    parent: str | None = None
    max_model_len: int | None = None


class Models(Struct):
    """The answer of ``/v1/models``."""

    data: list[Model]


class _Said(Struct):
    content: str | None = None


class _Choice(Struct):
    message: _Said
    index: int = 0
    finish_reason: str | None = None
    token_ids: list[int] | None = None


class _Usage(Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Completion(Struct):
    """The answer of ``/v1/chat/completions``."""

    choices: list[_Choice]
    usage: _Usage | None = None


class _LogProbs(Struct):
    token_logprobs: list[float]


class _ScoredChoice(Struct):
    logprobs: _LogProbs


class Scored(Struct):
    """The answer of ``/v1/completions`` to ``logprobs: 0``: log p of each token that was sampled."""

    choices: list[_ScoredChoice]


class Tokenized(Struct):
    """The answer of ``/tokenize``."""

    tokens: list[int]


def checked(response: httpx.Response) -> httpx.Response:
    """The response, if it is a success; else the error that fits."""
    status = response.status_code
    if status < 300:
        return response
    where = f"{response.request.url.path} of vLLM at {response.request.url.netloc.decode()}"
    if status in (429, 503):
        seconds = response.headers.get("retry-after", "")
        raise EngineBusy(
            f"vLLM is busy ({reason(response)}); try again later",
            retry_after=float(seconds) if seconds.isdigit() else 1.0,
        )
    if status in (401, 403):
        raise EngineError(f"{where} refuses the key; mend the setting 'vllm_key'")
    raise EngineError(f"{where} answered {status} ({reason(response)}); look into its log")


def reason(response: httpx.Response) -> str:
    """What the server says went wrong, in at most 300 characters."""
    try:
        body = msgspec.json.decode(response.content)
        error = body.get("error", body)
        return str(error.get("message", error))[:300]
    except (msgspec.MsgspecError, UnicodeDecodeError, AttributeError):
        return response.text[:300] or "no reason given"


def decode(response: httpx.Response, type: type[T]) -> T:
    """The response's JSON as a record; raises ``EngineError`` if it is none."""
    try:
        return msgspec.json.decode(response.content, type=type)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EngineError(
            f"{response.request.url} answered something that is not vLLM's ({error}); "
            "check that the setting 'vllm_url' names a vLLM server"
        ) from error
