"""An answer as a stream of server-sent events: all replies advance together, a piece each at a time.

A stream begins when all replies are there. Whose tokens came when would tell the arms apart, so nothing of
that is left to see: in every round each reply that has more to say adds one piece, and all end at once.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterator
from itertools import zip_longest

import msgspec
from msgspec import UNSET

from picktune.gateway.bodies import ChatCompletion, ChatCompletionChunk, Choice, ChunkChoice, Delta, Usage

# A word with the blanks before it, or a part of one that is long (Chinese has no blanks).
PIECE = re.compile(r"\s*\S{1,16}|\s+")

DONE = b"data: [DONE]\n\n"


async def events(answer: ChatCompletion, *, include_usage: bool) -> AsyncGenerator[bytes, None]:
    """The answer's events, one round of pieces after the other, ended by ``[DONE]``."""
    for chunks in rounds(answer, include_usage=include_usage):
        yield b"".join(event(chunk) for chunk in chunks)
    yield DONE


def event(record: object) -> bytes:
    """A record as one event."""
    return b"data: %b\n\n" % msgspec.json.encode(record)


def rounds(answer: ChatCompletion, *, include_usage: bool) -> Iterator[list[ChatCompletionChunk]]:
    """The chunks that are sent together: who speaks, piece by piece, who ended how, and the usage."""
    first = True

    def chunk(*choices: ChunkChoice, usage: Usage | None = None) -> ChatCompletionChunk:
        nonlocal first
        note, first = (answer.picktune if first else UNSET), False
        return ChatCompletionChunk(
            id=answer.id,
            created=answer.created,
            model=answer.model,
            choices=choices,
            usage=usage if include_usage else UNSET,
            picktune=note,
        )

    yield [
        chunk(ChunkChoice(index=one.index, delta=Delta(role="assistant", content="")))
        for one in answer.choices
    ]
    texts = [PIECE.findall(one.message.content or "") for one in answer.choices]
    for pieces in zip_longest(*texts):
        yield [
            chunk(ChunkChoice(index=one.index, delta=Delta(content=piece)))
            for one, piece in zip(answer.choices, pieces, strict=True)
            if piece is not None
        ]
    yield [
        chunk(
            ChunkChoice(
                index=one.index, delta=_calls(one), finish_reason=one.finish_reason, logprobs=one.logprobs
            )
        )
        for one in answer.choices
    ]
    if include_usage:
        yield [chunk(usage=answer.usage)]


def _calls(choice: Choice) -> Delta:
    calls = choice.message.tool_calls
    if calls is UNSET or not calls:
        return Delta()
    return Delta(tool_calls=tuple({"index": place, **call} for place, call in enumerate(calls)))
